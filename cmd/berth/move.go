package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) moveCommand() *cobra.Command {
	var to string
	var epoch uint64
	var wait time.Duration
	c := command("move ID", "Have another member own an identity, under another epoch", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		ids, err := arguments(args)
		if err != nil {
			return err
		}
		if to == "" {
			return usage("where to? --to names a member of berth member list")
		}
		r := lookupclient.MoveRequest{Identity: ids[0], To: placement.MemberID(to), Epoch: placement.Epoch(epoch)}
		return a.ask(func(c *lookupclient.Client) error { return a.move(ctx, c, r, wait) })
	})
	c.Long = `Ask the owner of an identity to stop and to release it, and have the member that is named own it then. Nothing is taken away
from a member that may still act: an owner that does not answer is waited for until its lease is over. While it waits, it
says for what. When it stops waiting the move goes on: whoever places the identity next finds it at the member.`
	c.Example = `  berth move cart/42 --to host-2
  berth move cart/42 --to host-2 --epoch 18423    only if that is still the placement`
	c.Flags().StringVar(&to, "to", "", "the member that is to own it")
	c.Flags().Uint64Var(&epoch, "epoch", 0, "move only the placement with this epoch (0: whatever is there)")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait until it is settled there")
	a.asking(c)
	return c
}

func (a *app) move(ctx context.Context, c *lookupclient.Client, r lookupclient.MoveRequest, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	r.OnWaiting = a.waiting()
	p, err := c.Move(ctx, r)
	if errors.Is(err, context.DeadlineExceeded) {
		return &statusError{status: exitUnsettled, err: fmt.Errorf("after %v: %w", wait, err), next: "run it again to go on waiting, or look at: berth member list"}
	}
	if err != nil {
		return err
	}
	if p.Member != r.To {
		a.say("note: %s could not be given it any more, so %s was", r.To, p.Member)
	}
	resp := &apiv1.MoveResponse{Done: true, Placement: &apiv1.Placement{
		Kind: p.Identity.Kind, Key: p.Identity.Key, Phase: apiv1.Placement_SETTLED, Member: string(p.Member), Address: p.Address, Epoch: uint64(p.Epoch),
		Draining: p.Draining,
	}}
	return a.printer.Print(resp, func(rows *output.Rows) {
		rows.Row("IDENTITY", "PHASE", "MEMBER", "ADDRESS", "EPOCH")
		rows.Row(p.Identity, phaseWord(resp.Placement.Phase), p.Member, p.Address, uint64(p.Epoch))
	})
}

// waiting says what is waited for, once for each thing.
func (a *app) waiting() func(what string) {
	said := ""
	return func(what string) {
		if what != said {
			a.say("waiting for %s", what)
			said = what
		}
	}
}
