package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// drainLook is how often a drain that is waited for is looked at.
const drainLook = 300 * time.Millisecond

func (a *app) memberDrainCommand() *cobra.Command {
	var wait time.Duration
	var rate uint32
	c := command("drain NAME", "Take everything from a member in order, and give it nothing new", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			if err := a.drain(ctx, c, &apiv1.DrainMemberRequest{Name: args[0], Rate: rate}); err != nil || wait == 0 {
				return err
			}
			return a.awaitDrained(ctx, c, args[0], wait)
		})
	})
	c.Long = `Give a member nothing new, and ask it to stop and to release what it owns, some at a time. Identities that it has released are
placed on other members when somebody asks for them. berth member list shows how much is left. It goes on when the leader
changes, until berth member undrain.`
	c.Example = `  berth member drain host-3
  berth member drain host-3 --rate 200 --wait 5m`
	c.Flags().Uint32Var(&rate, "rate", 0, "the most placements a second that it is asked for (0: as many as it can let go)")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until it owns nothing (0: not at all)")
	a.asking(c)
	return c
}

func (a *app) memberUndrainCommand() *cobra.Command {
	c := command("undrain NAME", "Let a member be given new placements again", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			return a.drain(ctx, c, &apiv1.DrainMemberRequest{Name: args[0], Off: true})
		})
	})
	c.Example = "  berth member undrain host-3"
	a.asking(c)
	return c
}

func (a *app) drain(ctx context.Context, c *lookupclient.Client, req *apiv1.DrainMemberRequest) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := apiv1.NewMembersClient(c.Conn()).DrainMember(ctx, req)
	if err != nil {
		return err
	}
	if resp.Member == nil {
		return fmt.Errorf("member %s has ended meanwhile", req.Name)
	}
	return a.printer.Print(resp, func(r *output.Rows) { memberTable(r, resp.Member) })
}

// awaitDrained waits until no incarnation of a member owns anything.
func (a *app) awaitDrained(ctx context.Context, c *lookupclient.Client, name string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	say := a.waiting()
	for {
		resp, err := apiv1.NewMembersClient(c.Conn()).ListMembers(ctx, &apiv1.ListMembersRequest{})
		if err != nil && ctx.Err() == nil {
			return err
		}
		left := int64(0)
		for _, m := range resp.GetMembers() {
			if m.Name == name {
				left += int64(m.Settled) + int64(m.Pending)
			}
		}
		if err == nil && left == 0 {
			a.say("%s owns nothing", name)
			return nil
		}
		if err == nil {
			say(fmt.Sprintf("%s placements to be released", humanize.Comma(left)))
		}
		select {
		case <-time.After(drainLook):
		case <-ctx.Done():
			return &statusError{status: exitUnsettled, err: fmt.Errorf("after %v %s still owns something, and goes on draining", wait, name), next: "berth member list"}
		}
	}
}

func (a *app) memberExpireCommand() *cobra.Command {
	var wait time.Duration
	c := command("expire NAME", "End a member as soon as its lease must be over", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.expire(ctx, c, args[0], wait) })
	})
	c.Long = `Tell a member to stop everything, give it no more time, and end it when its lease must be over by the rules, whether it
answered or not: nobody is given what it owned before that. A process that is well joins again at once, as another
incarnation; block it first to keep it away.`
	c.Example = "  berth member expire host-3"
	c.Flags().DurationVar(&wait, "wait", time.Minute, "how long to wait for the lease to be over")
	a.asking(c)
	return c
}

func (a *app) expire(ctx context.Context, c *lookupclient.Client, name string, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	req := &apiv1.ExpireMemberRequest{Name: name, Wait: durationpb.New(500 * time.Millisecond)}
	say := a.waiting()
	for {
		resp, err := apiv1.NewMembersClient(c.Conn()).ExpireMember(ctx, req)
		switch {
		case err != nil && len(req.Incarnations) > 0 && errors.Is(ctx.Err(), context.DeadlineExceeded):
			return &statusError{status: exitUnsettled, err: fmt.Errorf("after %v the lease of %s is not over", wait, name), next: "run it again to go on waiting"}
		case err != nil:
			return err
		case resp.Done:
			return a.printer.Print(resp, func(r *output.Rows) {
				r.Row("MEMBER", "INCARNATION", "STATE")
				for _, inc := range resp.Incarnations {
					r.Row(name, inc, "expired")
				}
			})
		}
		say(resp.WaitsFor)
		req.Incarnations = resp.Incarnations
	}
}

func (a *app) memberBlockCommand() *cobra.Command {
	var flags blockFlags
	c := command("block NAME", "Keep a member away: it releases what it owns, ends, and may not join", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		req, err := flags.request()
		if err != nil {
			return err
		}
		req.Member = args[0]
		return a.ask(func(c *lookupclient.Client) error { return a.block(ctx, c, req) })
	})
	c.Long = `Put a member on the block list, by its name, also when no such member is there yet. It is given nothing new and no more time,
is asked to release what it owns, and ends when it has done so, or with its lease. It may not join until the block is over;
then its process joins as a new incarnation, by itself. berth block list shows all blocks.`
	c.Example = `  berth member block host-3 --reason "bad disk" --for 24h`
	flags.flags(c)
	a.asking(c)
	return c
}

func (a *app) memberUnblockCommand() *cobra.Command {
	c := command("unblock NAME", "Take a member off the block list", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.unblock(ctx, c, &apiv1.UnblockRequest{Member: args[0]}) })
	})
	c.Example = "  berth member unblock host-3"
	a.asking(c)
	return c
}
