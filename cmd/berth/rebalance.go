package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// atOnceMax is the largest --at-once: a cluster takes snapshot.MovesMax of all that move identities.
	atOnceMax = snapshot.MovesMax / 16
	// rateMax is the largest --rate: more than any cluster moves.
	rateMax = 1_000_000
)

func (a *app) rebalanceCommand() *cobra.Command {
	r := &rebalance{app: a}
	c := command("rebalance", "Move placements until each member owns its share", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return r.run(ctx)
	})
	c.Long = `Find out which placements would have to move so that what each member owns of each kind comes close to its share, by weight and
by capacity, and move them: each owner is asked to stop and to release, then the other member is given it, as berth move does.
A member that joins takes nothing from anybody by itself; this is how it comes to its share.

Only members that are live take part, and of those the ones that may be given the kind. As long as nobody is further away from
its share than --within allows, nothing moves. Kinds of the strategy prefer-local lie where they are asked for, and are evened
out only when --kind names one. Which identities move, and where to, is the choice of the kind's strategy.

The plan is made once, as of the state at that moment, and does not change while it is carried out. When it is interrupted, it
waits for the moves that are on their way, for 10 s at most. Run it again to go on: it continues what had been begun, and plans
what is missing. What was refused is said, and left where it is.`
	c.Example = `  berth rebalance --dry-run
  berth rebalance --kind cart --rate 50 --max-moves 1000
  berth rebalance --within 5 -o jsonl`
	f := c.Flags()
	f.StringVar(&r.what.Kind, "kind", "", "only this kind")
	f.Uint32Var(&r.what.Within, "within", 10, "how far from its share a member may be, in percent; one identity is allowed in any case")
	f.IntVar(&r.what.Most, "max-moves", 10_000, "the most placements that are moved")
	f.Uint32Var(&r.rate, "rate", 100, "the most moves that are begun in a second (0: as many as --at-once allows)")
	f.IntVar(&r.atOnce, "at-once", 16, "the most moves that are on their way at once")
	f.DurationVar(&r.wait, "wait", time.Minute, "how long to wait for one move")
	f.BoolVar(&r.dry, "dry-run", false, "only say what would move")
	a.asking(c)
	return c
}

// rebalance is one run of the command.
type rebalance struct {
	*app
	what   fsm.Rebalancing
	rate   uint32
	atOnce int
	wait   time.Duration
	dry    bool

	all      apiv1.Rebalance
	failures failures
}

func (r *rebalance) run(ctx context.Context) error {
	switch {
	case r.atOnce < 1 || r.atOnce > atOnceMax:
		return usage("--at-once %d: 1 to %d is allowed", r.atOnce, atOnceMax)
	case r.rate > rateMax:
		return usage("--rate %d: at most %d is allowed", r.rate, rateMax)
	case r.wait <= 0:
		return usage("--wait %v: more than 0 is allowed", r.wait)
	}
	return r.ask(func(c *lookupclient.Client) error {
		v, err := r.fetch(ctx, c)
		if err != nil {
			return err
		}
		var plan *fsm.Rebalanced
		r.during("planning", func() { plan, err = fsm.Rebalance(v, r.what) })
		var fault *fsm.RebalanceError
		if errors.As(err, &fault) {
			return usage("%s", fault.Rule)
		}
		if err != nil {
			return err
		}
		moves := r.sum(v, plan)
		if err := r.show(moves); err != nil {
			return err
		}
		if !r.dry && len(moves) > 0 {
			err = r.carryOut(ctx, c, moves)
		}
		if r.printer.Format == output.JSON {
			err = errors.Join(r.printer.Print(&r.all, nil), err)
		}
		return err
	})
}

// plannedMove is one move of the plan.
type plannedMove struct {
	request lookupclient.MoveRequest
	line    *apiv1.RebalanceMove
}

// sum notes what the plan says, and lists its moves, those first that had been begun.
func (r *rebalance) sum(v *snapshot.View, p *fsm.Rebalanced) (moves []plannedMove) {
	r.all.Cluster, r.all.Index, r.all.Within = v.Cluster.ID, v.Index, r.what.Within
	for _, k := range p.Kinds {
		kind := &apiv1.Rebalance_Kind{Name: k.Kind, Strategy: k.Strategy, Uneven: uint32(k.Uneven)}
		for _, m := range k.Members {
			kind.Members = append(kind.Members, &apiv1.Rebalance_Member{
				Name: string(m.Member.ID), Weight: m.Member.Weight, Before: uint64(m.Before), Share: uint64(m.Share), After: uint64(m.After),
			})
		}
		r.all.Kinds = append(r.all.Kinds, kind)
	}
	for _, m := range p.Begun {
		moves = append(moves, plannedMove{lookupclient.MoveRequest{Identity: m.Identity, To: m.To}, &apiv1.RebalanceMove{
			Kind: m.Identity.Kind, Key: m.Identity.Key, To: string(m.To), Reason: "begun", Outcome: apiv1.RebalanceMove_PLANNED,
		}})
	}
	for _, m := range p.Moves {
		moves = append(moves, plannedMove{lookupclient.MoveRequest{Identity: m.Identity, To: m.To.ID, Epoch: m.Epoch}, &apiv1.RebalanceMove{
			Kind: m.Identity.Kind, Key: m.Identity.Key, From: string(m.From.ID), To: string(m.To.ID), Reason: m.Reason.String(), Outcome: apiv1.RebalanceMove_PLANNED,
		}})
	}
	r.all.Planned, r.all.Begun = uint64(len(moves)), uint64(len(p.Begun))
	return moves
}

// show prints the plan: as a table, or with --dry-run a line for each move. In the other formats it comes at the end.
func (r *rebalance) show(moves []plannedMove) error {
	switch {
	case r.printer.Format == output.Table:
		return r.printer.Table(func(rows *output.Rows) { rebalanceTable(rows, &r.all) })
	case r.printer.Format == output.JSONL && r.dry:
		for _, m := range moves {
			if err := r.printer.Print(m.line, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func rebalanceTable(r *output.Rows, p *apiv1.Rebalance) {
	comma := func(n uint64) string { return humanize.Comma(int64(n)) }
	more := ""
	if p.Begun > 0 {
		more = fmt.Sprintf(", %s of them begun before", comma(p.Begun))
	}
	r.Line("as of index %d: %s to be moved%s, so that nobody is more than %d%% from its share", p.Index, comma(p.Planned), more, p.Within)
	if len(p.Kinds) == 0 {
		return
	}
	r.Line("")
	r.Row("KIND", "STRATEGY", "MEMBER", "WEIGHT", "OWNS", "SHARE", "AFTER")
	uneven := 0
	for _, k := range p.Kinds {
		if !slices.ContainsFunc(k.Members, func(m *apiv1.Rebalance_Member) bool { return m.Before > 0 }) {
			continue // there is nothing of it
		}
		for _, m := range k.Members {
			r.Row(k.Name, k.Strategy, m.Name, m.Weight, comma(m.Before), comma(m.Share), comma(m.After))
		}
		if k.Uneven > 0 {
			uneven++
		}
	}
	if uneven > 0 {
		r.Line("")
		r.Line("kinds that are not even by that: %d (more moves are needed than --max-moves, or what would have to move cannot)", uneven)
	}
}
