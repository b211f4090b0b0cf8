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

func (a *app) removeCommand() *cobra.Command {
	var epoch uint64
	var wait time.Duration
	c := command("remove ID", "Have the owner of an identity stop and release it", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		ids, err := arguments(args)
		if err != nil {
			return err
		}
		return a.ask(func(c *lookupclient.Client) error { return a.remove(ctx, c, ids[0], placement.Epoch(epoch), wait) })
	})
	c.Long = `Ask the owner of an identity to stop and to release it, and wait until nobody can see the placement any more. Only the
owner's release, or the end of its lease, frees an identity: berth never takes it away from a member that may still act.
While it waits, it says for what. When it stops waiting the removal goes on.`
	c.Example = `  berth remove cart/42
  berth remove cart/42 --epoch 18423    only if that is still the placement`
	c.Flags().Uint64Var(&epoch, "epoch", 0, "remove only the placement with this epoch (0: whatever is there)")
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the owner")
	a.asking(c)
	return c
}

func (a *app) remove(ctx context.Context, c *lookupclient.Client, id placement.Identity, epoch placement.Epoch, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := c.Remove(ctx, id, epoch, a.waiting())
	if errors.Is(err, context.DeadlineExceeded) {
		return &statusError{status: exitUnsettled, err: fmt.Errorf("after %v: %w", wait, err), next: "run it again to go on waiting, or look at: berth member list"}
	}
	if err != nil {
		return err
	}
	return a.printer.Print(&apiv1.RemoveResponse{Done: true}, func(r *output.Rows) {
		r.Row("IDENTITY", "PHASE")
		r.Row(id, "absent")
	})
}
