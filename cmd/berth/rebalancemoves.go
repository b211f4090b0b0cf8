package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

const (
	// rebalanceGrace is how long moves that are on their way are waited for after an interrupt.
	rebalanceGrace = 10 * time.Second
	// rebalanceFailuresMax is how many failures are told one by one.
	rebalanceFailuresMax = 100
)

// carryOut makes the moves: so many at once, so many a second. It stops when it is interrupted and when the cluster cannot be
// asked any more, and waits for those that are on their way.
func (r *rebalance) carryOut(ctx context.Context, c *lookupclient.Client, moves []plannedMove) error {
	begin := time.Now()
	bar := r.progress("moving", int64(len(moves)), progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("id"))
	bar.logs = !bar.draws
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What was begun outlives the interrupt for a while.
	calls, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(rebalanceGrace, end) })()
	work, done := make(chan plannedMove), make(chan plannedMove)
	var movers sync.WaitGroup
	for range min(r.atOnce, len(moves)) {
		movers.Go(func() { // ends when work is closed
			for m := range work {
				if err := r.move(calls, c, m); err != nil {
					cancel(err)
				}
				done <- m
			}
		})
	}
	go func() { // ends when every mover has
		r.pace(stop, work, moves)
		close(work)
		movers.Wait()
		close(done)
	}()
	var err error
	for m := range done {
		if e := r.take(m.line, bar); err == nil && e != nil {
			err = e
			cancel(e)
		}
		bar.add(1)
	}
	bar.done()
	r.say("moved %s of %s in %v%s", humanize.Comma(int64(r.all.Moved)), humanize.Comma(int64(r.all.Planned)), time.Since(begin).Round(10*time.Millisecond), r.others())
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		r.say("run it again to go on")
		return context.Cause(ctx)
	case stop.Err() != nil:
		return context.Cause(stop)
	}
	return r.failures.err()
}

// pace hands the moves out, not faster than the rate.
func (r *rebalance) pace(ctx context.Context, work chan<- plannedMove, moves []plannedMove) {
	begin := time.Now()
	for i, m := range moves {
		if r.rate > 0 {
			due := begin.Add(time.Duration(i) * time.Second / time.Duration(r.rate))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return
		}
		select {
		case work <- m:
		case <-ctx.Done():
			return
		}
	}
}

// move makes one move, and notes in its line what became of it. The error is one after which no other is tried.
func (r *rebalance) move(ctx context.Context, c *lookupclient.Client, m plannedMove) error {
	ctx, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	p, err := c.Move(ctx, m.request)
	if err == nil {
		m.line.Member, m.line.Epoch, m.line.Outcome = string(p.Member), uint64(p.Epoch), apiv1.RebalanceMove_MOVED
		if p.Member != m.request.To {
			m.line.Outcome = apiv1.RebalanceMove_ELSEWHERE
		}
		return nil
	}
	var e *lookupclient.Error
	if !errors.As(err, &e) {
		e = &lookupclient.Error{Reason: apiv1.ReasonUnsettled, Message: err.Error()} // its time was over
	}
	m.line.Error = &apiv1.Error{Reason: string(e.Reason), Message: e.Message, Metadata: e.Metadata}
	switch {
	case errors.Is(e, lookupclient.ErrNotPlaced), errors.Is(e, lookupclient.ErrFenced):
		m.line.Outcome = apiv1.RebalanceMove_OVERTAKEN
	case errors.Is(e, lookupclient.ErrUnsettled), errors.Is(e, lookupclient.ErrUnknown):
		m.line.Outcome = apiv1.RebalanceMove_UNFINISHED
	default:
		m.line.Outcome = apiv1.RebalanceMove_REFUSED
	}
	if errors.Is(e, lookupclient.ErrUnavailable) || errors.Is(e, lookupclient.ErrClusterMismatch) {
		return err
	}
	return nil
}

// take counts what became of a move, and tells it.
func (r *rebalance) take(line *apiv1.RebalanceMove, bar *progress) error {
	failed := line.Outcome != apiv1.RebalanceMove_MOVED
	switch line.Outcome {
	case apiv1.RebalanceMove_MOVED:
		r.all.Moved++
	case apiv1.RebalanceMove_ELSEWHERE:
		r.all.Elsewhere++
	case apiv1.RebalanceMove_OVERTAKEN:
		r.all.Overtaken++
	case apiv1.RebalanceMove_UNFINISHED:
		r.all.Unfinished++
		r.failures.add(apiv1.ReasonUnsettled)
	default:
		r.all.Refused++
		r.failures.add(apiv1.Reason(line.Error.GetReason()))
	}
	if failed && len(r.all.Failures) < rebalanceFailuresMax {
		r.all.Failures = append(r.all.Failures, line)
		if r.printer.Format == output.Table {
			bar.pause()
			r.say("%s/%s to %s: %s", line.Kind, line.Key, line.To, whatBecame(line))
		}
	}
	if r.printer.Format == output.JSONL {
		return r.printer.Print(line, nil)
	}
	return nil
}

// whatBecame is a move that is not done, in words.
func whatBecame(line *apiv1.RebalanceMove) string {
	switch line.Outcome {
	case apiv1.RebalanceMove_ELSEWHERE:
		return fmt.Sprintf("it could not be given it any more, so %s was", line.Member)
	case apiv1.RebalanceMove_OVERTAKEN:
		return "not needed any more: " + line.Error.GetMessage()
	case apiv1.RebalanceMove_UNFINISHED:
		return "still on its way: " + line.Error.GetMessage()
	}
	return "refused: " + line.Error.GetReason() + "  " + line.Error.GetMessage()
}

// others counts what was not moved.
func (r *rebalance) others() (text string) {
	for _, x := range []struct {
		n    uint64
		what string
	}{
		{r.all.Elsewhere, "went elsewhere"}, {r.all.Overtaken, "not needed any more"}, {r.all.Unfinished, "still on their way"}, {r.all.Refused, "refused"},
		{r.all.Planned - r.all.Moved - r.all.Elsewhere - r.all.Overtaken - r.all.Unfinished - r.all.Refused, "not begun"},
	} {
		if x.n > 0 {
			text += fmt.Sprintf("; %s %s", humanize.Comma(int64(x.n)), x.what)
		}
	}
	return text
}
