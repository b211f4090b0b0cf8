package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) placeCommand() *cobra.Command {
	var ids identities
	var total int64
	var near string
	c := command("place ID…", "Give identities an owner, or show the one that they have", nil, func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			p := &placing{app: a, api: apiv1.NewPlacementsClient(c.Conn()), total: total, near: nearFlag(near)}
			return p.run(ctx, ids, args)
		})
	})
	c.Long = `Give each identity (kind/key) an owner, and wait until the owner has confirmed. An identity that has one keeps it: placing
is idempotent, and asked for again after an unknown outcome it is carried out once.

With --stdin, identities are read one a line and placed by the thousand; a bad line is reported and passed over. Every
line of the answer is acknowledged. Placing the same input again shows what is placed already.

With --near, kinds whose strategy is prefer-local (berth kind set) are placed on that member, or on one that carries the
label, as long as it has room.`
	c.Example = `  berth place cart/42 room/lobby
  berth place cart/42 --near zone=a
  find . -name '*.go' | sed 's|^|file/|' | berth place --stdin -o jsonl > placed.jsonl`
	ids.flags(c)
	c.Flags().Int64Var(&total, "total", 0, "with --stdin: how many identities will come, for the progress bar")
	c.Flags().StringVar(&near, "near", "", "where the request comes from: a member's NAME, or LABEL=VALUE of the members near by")
	c.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "do not print the placements")
	a.asking(c)
	return c
}

// placing is one run of the command.
type placing struct {
	*app
	api      apiv1.PlacementsClient
	total    int64
	near     *apiv1.Near
	all      apiv1.BatchPlaceResponse // for the one document of the format JSON
	header   bool
	created  int
	already  int
	failures failures
}

func (p *placing) run(ctx context.Context, from identities, args []string) error {
	if from.stdin {
		return p.stream(ctx)
	}
	ids, err := arguments(args)
	if err != nil {
		return err
	}
	if len(ids) == 1 {
		return p.one(ctx, ids[0])
	}
	for len(ids) > 0 {
		part := ids[:min(len(ids), lookupclient.BatchMax)]
		ids = ids[len(part):]
		resp, err := p.call(ctx, part)
		if err != nil {
			return err
		}
		if err := p.take(resp); err != nil {
			return err
		}
	}
	return errors.Join(p.document(), p.failures.err())
}

func (p *placing) one(ctx context.Context, id placement.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	resp, err := p.api.Place(ctx, &apiv1.PlaceRequest{Kind: id.Kind, Key: id.Key, Near: p.near})
	if err != nil || p.quiet {
		return err
	}
	return p.printer.Print(resp, func(r *output.Rows) {
		placeHeader(r)
		placeRow(r, resp.Placement, resp.Created)
	})
}

func (p *placing) call(ctx context.Context, ids []placement.Identity) (*apiv1.BatchPlaceResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.api.BatchPlace(ctx, &apiv1.BatchPlaceRequest{Identities: messages(ids), Near: p.near})
}

func (p *placing) stream(ctx context.Context) error {
	begin := time.Now()
	bar := newProgress(p.app, "placing", p.total)
	err := stream(ctx, p.in, p.call, func(b *batch[*apiv1.BatchPlaceResponse]) error {
		for _, bad := range b.bad {
			bar.pause()
			p.failures.add(apiv1.ReasonInvalidArgument)
			p.say("error: %v", bad)
		}
		if b.results == nil {
			return nil
		}
		bar.add(len(b.results.Results))
		return p.take(b.results)
	})
	bar.done()
	err = errors.Join(err, p.document())
	n := p.created + p.already
	took := time.Since(begin)
	p.say("%s placed (%s new) in %v, %s/s", humanize.Comma(int64(n)), humanize.Comma(int64(p.created)), took.Round(time.Millisecond),
		humanize.Comma(int64(float64(n)/took.Seconds())))
	if err != nil {
		return err
	}
	return p.failures.err()
}

// take prints a batch, or keeps it.
func (p *placing) take(resp *apiv1.BatchPlaceResponse) error {
	for _, r := range resp.Results {
		switch {
		case r.Error != nil:
			p.failures.add(apiv1.Reason(r.Error.Reason))
		case r.Created:
			p.created++
		default:
			p.already++
		}
	}
	switch {
	case p.quiet:
		p.failures.say(p.app, resultErrors(resp.Results))
		return nil
	case p.printer.Format == output.JSON:
		p.all.Results, p.all.Read = append(p.all.Results, resp.Results...), resp.Read
		return nil
	case p.printer.Format == output.JSONL:
		return output.List(&p.printer, resp, jsonLines(resp), nil)
	}
	p.failures.say(p.app, resultErrors(resp.Results))
	return p.printer.Table(func(rows *output.Rows) {
		if !p.header {
			placeHeader(rows)
			p.header = true
		}
		for _, r := range resp.Results {
			if r.Error == nil {
				placeRow(rows, r.Placement, r.Created)
			}
		}
	})
}

// document prints what the format JSON shows at the end.
func (p *placing) document() error {
	if p.printer.Format != output.JSON || p.quiet {
		return nil
	}
	return p.printer.Print(&p.all, nil)
}

// jsonLines are the answers that as many calls of Place would have given.
func jsonLines(resp *apiv1.BatchPlaceResponse) []any {
	lines := make([]any, len(resp.Results))
	for i, r := range resp.Results {
		if lines[i] = r; r.Error == nil {
			lines[i] = &apiv1.PlaceResponse{Placement: r.Placement, Created: r.Created, Read: resp.Read}
		}
	}
	return lines
}

func placeHeader(r *output.Rows) { r.Row("IDENTITY", "PHASE", "MEMBER", "ADDRESS", "EPOCH", "OUTCOME") }

func placeRow(r *output.Rows, p *apiv1.Placement, created bool) {
	outcome := "already placed, nothing changed"
	if created {
		outcome = "placed"
	}
	r.Row(p.Kind+"/"+p.Key, phaseWord(p.Phase), p.Member, p.Address, p.Epoch, outcome)
}

func messages(ids []placement.Identity) []*apiv1.Identity {
	out := make([]*apiv1.Identity, len(ids))
	for i, id := range ids {
		out[i] = &apiv1.Identity{Kind: id.Kind, Key: id.Key}
	}
	return out
}

// failures counts the items of a stream that failed, and remembers the first one's reason for the exit status.
type failures struct {
	n     int
	first apiv1.Reason
}

func (f *failures) add(r apiv1.Reason) {
	if f.n++; f.n == 1 {
		f.first = r
	}
}

func (f *failures) say(a *app, errs []*apiv1.Error) {
	for _, e := range errs {
		a.say("error: %s  %s", e.Reason, e.Message)
	}
}

// err is what the command ends with; each failure was said already.
func (f *failures) err() error {
	if f.n == 0 {
		return nil
	}
	return &statusError{status: exitStatus(f.first), err: fmt.Errorf("%d of the identities failed", f.n), next: "berth explain " + string(f.first)}
}

func resultErrors[R interface{ GetError() *apiv1.Error }](results []R) []*apiv1.Error {
	var errs []*apiv1.Error
	for _, r := range results {
		if e := r.GetError(); e != nil {
			errs = append(errs, e)
		}
	}
	return errs
}
