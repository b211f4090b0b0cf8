package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// why shows why an identity is placed as it is, and since when. The exit status is that of a look-up.
func (l *looking) why(ctx context.Context, id placement.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	begin := time.Now()
	req := l.request(id)
	req.Explain = true
	resp, err := l.api.Lookup(ctx, req)
	took := time.Since(begin)
	if err != nil {
		return err
	}
	if err := l.printer.Print(resp, func(r *output.Rows) { whyTable(r, resp, took) }); err != nil {
		return err
	}
	switch resp.Placement.GetPhase() {
	case apiv1.Placement_SETTLED:
		return nil
	case apiv1.Placement_ABSENT:
		return &statusError{status: exitNotThere}
	}
	return &statusError{status: exitUnsettled}
}

func whyTable(r *output.Rows, resp *apiv1.LookupResponse, took time.Duration) {
	p, x := resp.Placement, resp.Explanation
	if p.Member == "" {
		r.Line("%s/%s is %s", p.Kind, p.Key, phaseWord(p.Phase))
	} else {
		r.Line("%s/%s → %s (%s)  %s  epoch %d", p.Kind, p.Key, p.Member, p.Address, phaseWord(p.Phase), p.Epoch)
	}
	r.Line("")
	fact := func(name, format string, args ...any) { r.Line("  %-11s %s", name, fmt.Sprintf(format, args...)) }
	fact("asked", "%s, in %v", servedBy(resp.Read), took.Round(10*time.Microsecond))
	fact("proof", "%s", promise(resp.Read))
	switch {
	case p.Member == "":
	case x.PlacedIndex == 0:
		fact("placed", "before the cluster was restored, or in a former generation of epochs")
	default:
		fact("placed", "at index %d, %s", x.PlacedIndex, ago(x.PlacedFrom, x.PlacedTo, x.Now))
	}
	switch {
	case x.SettledIndex != 0:
		text := ago(x.Settled, x.Settled, x.Now)
		if x.PlacedFrom != nil && x.PlacedFrom.AsTime().Equal(x.PlacedTo.AsTime()) {
			text = fmt.Sprintf("%v after it was placed", x.Settled.AsTime().Sub(x.PlacedFrom.AsTime()))
		}
		fact("settled", "at index %d, %s", x.SettledIndex, text)
	case p.Phase == apiv1.Placement_SETTLED:
		fact("settled", "when is no longer remembered by %s", resp.Read.GetServedBy())
	case p.Phase == apiv1.Placement_PENDING:
		fact("settled", "not yet: %s has not confirmed", p.Member)
	case p.Phase == apiv1.Placement_TOMBSTONE:
		fact("removed", "at index %d, not complete before the barrier is there, which is at %d", x.RemovedIndex, x.Barrier)
		holdLines(r, x.Hold)
	}
	if p.Member != "" {
		fact("owner", "%s is %s", p.Member, x.OwnerState)
		text := p.Reason
		if p.Attempt > 0 {
			text += fmt.Sprintf(", after %d candidates that failed", p.Attempt)
		}
		fact("why", "%s, when it was placed", text)
	}
	if p.Draining {
		fact("stopping", "the owner was asked to stop")
	}
	if x.MovingTo != "" {
		fact("moving", "to %s", x.MovingTo)
	}
	if x.Crashes > 0 {
		fact("crashes", "%d in a row, the last %s", x.Crashes, ago(x.LastCrash, x.LastCrash, x.Now))
	}
	if x.Blocked != "" {
		fact("blocked", "nobody is given it: %s", x.Blocked)
	}
	fact("strategy", "%s; as of now:", x.Strategy)
	r.Line("")
	r.Row("MEMBER", "RANK", "LOAD", "WEIGHT", scoreTitle(x.Strategy), "WHY NOT")
	for _, c := range x.Candidates {
		rank, score := "", ""
		if c.Rank > 0 {
			rank = fmt.Sprint(c.Rank)
		}
		if c.Excluded == "" {
			score = scoreText(x.Strategy, c.Score)
		}
		r.Row(c.Member, rank, c.Load, c.Weight, score, c.Excluded)
	}
	if n := int(x.Members) - len(x.Candidates); n > 0 {
		r.Line("and %s more", humanize.Comma(int64(n)))
	}
}

// scoreTitle says what a strategy compares.
func scoreTitle(strategy string) string {
	switch strategy {
	case placement.LeastLoaded{}.Name():
		return "LOAD BY WEIGHT"
	case placement.ProtoActorGo1{}.Name():
		return "SCORE"
	}
	return "WAIT"
}

// scoreText is the number that a strategy compares, in its unit.
func scoreText(strategy string, score uint64) string {
	switch strategy {
	case placement.LeastLoaded{}.Name():
		return fmt.Sprintf("%.4f", float64(score)/(1<<20))
	case placement.ProtoActorGo1{}.Name():
		return fmt.Sprint(score)
	}
	return fmt.Sprintf("%.6f", float64(score)/(1<<52))
}

// ago says how long before now something was that lies between two moments.
func ago(from, to, now *timestamppb.Timestamp) string {
	switch {
	case now == nil || to == nil:
		return "at a time that is not known"
	case from == nil:
		return fmt.Sprintf("%v ago or earlier", span(now.AsTime().Sub(to.AsTime())))
	}
	least, most := now.AsTime().Sub(to.AsTime()), now.AsTime().Sub(from.AsTime())
	if span(least) == span(most) {
		return fmt.Sprintf("%v ago", span(most))
	}
	return fmt.Sprintf("%v to %v ago", span(least), span(most))
}

// span is a duration with as many digits as one reads.
func span(d time.Duration) time.Duration {
	switch {
	case d > time.Hour:
		return d.Round(time.Minute)
	case d > time.Second:
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
