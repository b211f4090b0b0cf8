package main

import (
	"context"
	"errors"
	"os"
	"os/user"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// blockFlags are what is said of a block.
type blockFlags struct {
	reason, by string
	lasts      time.Duration
}

func (f *blockFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.reason, "reason", "", "why, for whoever meets the block")
	c.Flags().StringVar(&f.by, "by", "", "who wants it (default: user@host)")
	c.Flags().DurationVar(&f.lasts, "for", 0, "how long it lasts (0: until it is taken off the list)")
}

// request is the call without its subject.
func (f *blockFlags) request() (*apiv1.BlockRequest, error) {
	r := &apiv1.BlockRequest{Reason: f.reason, By: f.by}
	if f.by == "" {
		r.By = whoami()
	}
	if f.lasts < 0 {
		return nil, usage("--for %v: it cannot be negative", f.lasts)
	}
	if f.lasts > 0 {
		r.Lasts = durationpb.New(f.lasts)
	}
	return r, nil
}

// whoami is the user and the host, as far as they are known.
func whoami() string {
	name, host := "", ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		host = "@" + h
	}
	return placement.FitText(name+host, 128)
}

func (a *app) blockCommand() *cobra.Command {
	var flags blockFlags
	c := command("block ID...", "Keep identities from being given an owner", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		ids, err := arguments(args)
		if err != nil {
			return err
		}
		var all []*apiv1.BlockRequest
		for _, id := range ids {
			r, err := flags.request()
			if err != nil {
				return err
			}
			r.Kind, r.Key = id.Kind, id.Key
			all = append(all, r)
		}
		return a.ask(func(c *lookupclient.Client) error { return a.block(ctx, c, all...) })
	})
	c.Long = `Put identities on the block list: they are given no owner, and the owner that one has is asked to stop and to release it.
To block a member: berth member block.`
	c.Example = `  berth block cart/42 --reason "it crashes its host" --for 1h
  berth block list`
	flags.flags(c)
	list := command("list", "List the blocked members and identities", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.listBlocks(ctx, c) })
	})
	a.asking(c, list)
	c.AddCommand(list)
	return c
}

func (a *app) unblockCommand() *cobra.Command {
	c := command("unblock ID...", "Let identities be given an owner again", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		ids, err := arguments(args)
		if err != nil {
			return err
		}
		var all []*apiv1.UnblockRequest
		for _, id := range ids {
			all = append(all, &apiv1.UnblockRequest{Kind: id.Kind, Key: id.Key})
		}
		return a.ask(func(c *lookupclient.Client) error { return a.unblock(ctx, c, all...) })
	})
	c.Example = "  berth unblock cart/42"
	a.asking(c)
	return c
}

func (a *app) block(ctx context.Context, c *lookupclient.Client, all ...*apiv1.BlockRequest) error {
	var answers []*apiv1.BlockResponse
	var err error
	for _, req := range all {
		var resp *apiv1.BlockResponse
		if resp, err = a.blockOne(ctx, c, req); err != nil {
			break // those before it are done, and said
		}
		answers = append(answers, resp)
	}
	return errors.Join(err, printEach(a, answers, func(r *output.Rows) {
		blockHeader(r)
		for _, x := range answers {
			blockRow(r, x.Block)
		}
	}))
}

// printEach prints one table of all answers, or each answer as a document.
func printEach[T any](a *app, answers []T, table func(*output.Rows)) error {
	if a.printer.Format == output.Table && len(answers) > 0 {
		return a.printer.Table(table)
	}
	for _, x := range answers {
		if err := a.printer.Print(x, nil); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) blockOne(ctx context.Context, c *lookupclient.Client, req *apiv1.BlockRequest) (*apiv1.BlockResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := apiv1.NewBlocksClient(c.Conn()).Block(ctx, req)
	if err == nil && resp.Placement != nil {
		p := resp.Placement
		a.say("%s/%s is on %s, which is asked to stop and to release it", p.Kind, p.Key, p.Member)
	}
	return resp, err
}

func (a *app) unblock(ctx context.Context, c *lookupclient.Client, all ...*apiv1.UnblockRequest) error {
	var answers []*apiv1.UnblockResponse
	var err error
	for _, req := range all {
		var resp *apiv1.UnblockResponse
		if resp, err = a.unblockOne(ctx, c, req); err != nil {
			break // those before it are done, and said
		}
		answers = append(answers, resp)
	}
	return errors.Join(err, printEach(a, answers, func(r *output.Rows) {
		r.Row("WHAT", "OUTCOME")
		for i, x := range answers {
			outcome := "was not blocked"
			if x.Changed {
				outcome = "unblocked"
			}
			r.Row(blockedWhat(all[i]), outcome)
		}
	}))
}

func (a *app) unblockOne(ctx context.Context, c *lookupclient.Client, req *apiv1.UnblockRequest) (*apiv1.UnblockResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return apiv1.NewBlocksClient(c.Conn()).Unblock(ctx, req)
}

// listBlocks prints all blocks, whatever the number of pages.
func (a *app) listBlocks(ctx context.Context, c *lookupclient.Client) error {
	var all apiv1.ListBlocksResponse
	var req apiv1.ListBlocksRequest
	for {
		resp, err := a.blocksPage(ctx, c, &req)
		if err != nil {
			return err
		}
		all.Blocks, all.Read = append(all.Blocks, resp.Blocks...), resp.Read
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	return output.List(&a.printer, &all, all.Blocks, func(r *output.Rows) {
		blockHeader(r)
		for _, b := range all.Blocks {
			blockRow(r, b)
		}
	})
}

func (a *app) blocksPage(ctx context.Context, c *lookupclient.Client, req *apiv1.ListBlocksRequest) (*apiv1.ListBlocksResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return apiv1.NewBlocksClient(c.Conn()).ListBlocks(ctx, req)
}

// blockedWhat is a member's name, or an identity.
func blockedWhat(x interface {
	GetMember() string
	GetKind() string
	GetKey() string
}) string {
	if x.GetMember() != "" {
		return "member " + x.GetMember()
	}
	return x.GetKind() + "/" + x.GetKey()
}

func blockHeader(r *output.Rows) { r.Row("BLOCKED", "SINCE", "UNTIL", "BY", "REASON") }

func blockRow(r *output.Rows, b *apiv1.BlockEntry) {
	until := "unblocked"
	if b.Until != nil {
		until = clock(b.Until)
	}
	r.Row(blockedWhat(b), clock(b.Since), until, b.By, b.Reason)
}

// clock is a moment in local time.
func clock(t *timestamppb.Timestamp) string { return t.AsTime().Local().Format(time.DateTime) }
