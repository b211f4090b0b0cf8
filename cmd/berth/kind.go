package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) kindCommand() *cobra.Command {
	list := command("list", "List the kinds, and how each is placed", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.listKinds(ctx, c) })
	})
	var req apiv1.SetKindRequest
	var flags kindFlags
	set := command("set NAME", "Say how the identities of a kind are placed", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		req.Name = args[0]
		if err := flags.into(&req); err != nil {
			return err
		}
		return a.ask(func(c *lookupclient.Client) error { return a.setKind(ctx, c, &req) })
	})
	set.Long = `Say how the identities of a kind are placed from now on. What is placed stays where it is, and a setting that is not given stays
as it is. A kind can be set before any member hosts it.

Strategies:
  rendezvous        by the hash of identity and member, in proportion to the members' weights (the default)
  least-loaded      the member that owns least for its weight
  prefer-local      the member that the request is near to (berth place --near), else by rendezvous
  random-by-index   drawn anew for each placement, in proportion to the weights
  protoactor-go/1   as protoactor-go does it; weights do not count

With --settle on-place an identity is settled as soon as it has an owner, who activates it when it is first used.`
	set.Example = `  berth kind set cart --strategy least-loaded
  berth kind set cart --strategy rendezvous --attempts 3
  berth kind set cart --require zone=a --require disk=ssd --member-capacity 10000 --confirm-within 2s
  berth kind set cart --require none --member-capacity 0 --confirm-within 0s`
	set.Flags().StringVar(&req.Strategy, "strategy", "", "how the owner is chosen: "+strings.Join(placement.StrategyNames(), ", "))
	set.Flags().Uint32Var(&req.Attempts, "attempts", 0, "how many candidates are asked before a placement fails, 1 to 16")
	flags.flags(set)
	a.asking(list, set)
	return groupCommand("kind", "The kinds of activations, and how they are placed", list, set)
}

// listKinds prints all kinds, whatever the number of pages.
func (a *app) listKinds(ctx context.Context, c *lookupclient.Client) error {
	var all apiv1.ListKindsResponse
	var req apiv1.ListKindsRequest
	for {
		resp, err := a.kindsPage(ctx, c, &req)
		if err != nil {
			return err
		}
		all.Kinds, all.Read = append(all.Kinds, resp.Kinds...), resp.Read
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	return output.List(&a.printer, &all, all.Kinds, func(r *output.Rows) { kindTable(r, all.Kinds...) })
}

func (a *app) kindsPage(ctx context.Context, c *lookupclient.Client, req *apiv1.ListKindsRequest) (*apiv1.ListKindsResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	return apiv1.NewKindsClient(c.Conn()).ListKinds(ctx, req)
}

func (a *app) setKind(ctx context.Context, c *lookupclient.Client, req *apiv1.SetKindRequest) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := apiv1.NewKindsClient(c.Conn()).SetKind(ctx, req)
	if err != nil {
		return err
	}
	return a.printer.Print(resp, func(r *output.Rows) { kindTable(r, resp.Kind) })
}

func kindTable(r *output.Rows, kinds ...*apiv1.Kind) {
	r.Row("KIND", "STRATEGY", "ATTEMPTS", "MEMBERS", "SETTLE", "REQUIRE", "MEMBER CAPACITY", "CONFIRM WITHIN")
	for _, k := range kinds {
		r.Row(k.Name, k.Strategy, k.Attempts, k.Members, k.Settle, requireWords(k.Require), capacityWord(k.MemberCapacity), confirmWord(k.ConfirmWithin))
	}
}

// nearFlag reads where a request comes from, NAME or LABEL=VALUE.
func nearFlag(text string) *apiv1.Near {
	if text == "" {
		return nil
	}
	if label, value, ok := strings.Cut(text, "="); ok {
		return &apiv1.Near{Label: label, Value: value}
	}
	return &apiv1.Near{Member: text}
}
