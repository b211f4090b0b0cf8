package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// What the loop does about activations.

// activate begins an activation that the cluster asks for. Orders may come twice: after a new session all that is open
// comes again.
func (l *loop) activate(h *apiv1.Held) {
	id, epoch := placement.Identity{Kind: h.Kind, Key: h.Key}, placement.Epoch(h.Epoch)
	if old := l.activations[id]; old != nil {
		switch {
		case old.Epoch == epoch && old.state == confirming:
			l.report(old)
		case old.Epoch < epoch:
			// What is there was given up by the cluster, which chose this member again. It must be gone first.
			l.waiting[id] = h
			l.stopActivation(old, ErrNotOwner)
		}
		return
	}
	if l.ghosts[id] != nil {
		l.waiting[id] = h
		return
	}
	if l.leaving != nil {
		l.refuse(h, "the member leaves")
		return
	}
	kind, ok := l.m.config.Kinds[h.Kind]
	if !ok {
		l.refuse(h, fmt.Sprintf("kind %s is not registered on this member", h.Kind))
		return
	}
	a := &Activation{Identity: id, Epoch: epoch, life: l.life, state: starting}
	ctx, cancel := context.WithCancelCause(l.life.ctx)
	a.ctx, a.cancel = &leased{ctx, l.life}, cancel
	a.span = l.m.client.conn.tracing.activating(id, epoch)
	l.activations[id] = a
	if kind.Activate == nil {
		l.ready(a, nil)
		return
	}
	within := traced(a.ctx, a.span)
	l.m.tasks.Go(func() {
		var err error
		select {
		case l.m.slots <- struct{}{}:
			err = kind.Activate(within, a)
			<-l.m.slots
		case <-a.ctx.Done():
			err = context.Cause(a.ctx)
		}
		l.m.post(func() { l.ready(a, err) })
	})
}

// runs says whether a function of Kind runs for the activation.
func (l *loop) runs(a *Activation) bool {
	kind := l.m.config.Kinds[a.Identity.Kind]
	switch a.state {
	case starting:
		return kind.Activate != nil
	case acting, stopping:
		return kind.Run != nil
	}
	return false
}

// drop forgets an activation that has stopped, and begins what waited for that.
func (l *loop) drop(a *Activation) {
	id := a.Identity
	a.endSpan(context.Cause(a.ctx))
	if l.ghosts[id] == a {
		delete(l.ghosts, id)
	}
	if l.activations[id] == a {
		l.reports.forget(a)
		delete(l.activations, id)
	}
	if h := l.waiting[id]; h != nil && l.activations[id] == nil && l.ghosts[id] == nil {
		delete(l.waiting, id)
		l.activate(h)
	}
}

// mine says whether the activation is one of the current life that the loop still knows.
func (l *loop) mine(a *Activation) bool { return l.activations[a.Identity] == a }

// ready goes on when Activate has returned.
func (l *loop) ready(a *Activation, err error) {
	if !l.mine(a) {
		a.cancel(ErrNotOwner)
		l.drop(a)
		return
	}
	if err == nil {
		err = a.Check()
	}
	if err != nil || a.stopped {
		a.cancel(ErrNotOwner)
		if err == nil {
			err = ErrStopRequested
		}
		l.tell(a.Identity, activated{err: err})
		l.fail(heldOf(a), err.Error())
		a.endSpan(err)
		l.drop(a)
		return
	}
	a.state = confirming
	l.report(a)
}

// outcome takes the cluster's answer to a report.
func (l *loop) outcome(o *apiv1.HeldOutcome) {
	id := placement.Identity{Kind: o.Held.GetKind(), Key: o.Held.GetKey()}
	a := l.activations[id]
	if a == nil || a.Epoch != placement.Epoch(o.Held.GetEpoch()) {
		return
	}
	switch {
	case a.state == releasing:
		// Whatever the answer, the epoch is not used again.
		l.drop(a)
	case a.state == confirming && o.Ok:
		l.reports.forget(a)
		l.hold(a)
	case a.state == confirming:
		a.cancel(ErrNotOwner)
		l.tell(id, activated{err: ErrOwnedElsewhere})
		l.drop(a)
	}
}

// hold lets a confirmed activation act.
func (l *loop) hold(a *Activation) {
	a.endSpan(nil)
	a.state = acting
	l.held++
	run := l.m.config.Kinds[a.Identity.Kind].Run
	if a.stopped || l.leaving != nil {
		cause := ErrStopRequested
		if l.leaving != nil {
			cause = ErrLeaving
		}
		a.cancel(cause)
	}
	if err := context.Cause(a.ctx); err != nil {
		l.tell(a.Identity, activated{err: err})
	} else {
		l.tell(a.Identity, activated{activation: a})
	}
	if run == nil {
		if a.ctx.Err() != nil {
			l.ended(a)
		}
		return
	}
	l.m.tasks.Go(func() {
		run(a)
		l.m.post(func() { l.ended(a) })
	})
}

// stop takes the cluster's request to stop an activation.
func (l *loop) stop(h *apiv1.Held) {
	a := l.activations[placement.Identity{Kind: h.Kind, Key: h.Key}]
	if a == nil || a.Epoch != placement.Epoch(h.Epoch) {
		// It has stopped already, or never was: the cluster waits for a release all the same.
		l.reports.releaseUnknown(h)
		return
	}
	cause := ErrStopRequested
	if l.leaving != nil {
		cause = ErrLeaving
		if !a.stopped {
			l.leaving.stopped++
		}
	}
	l.stopActivation(a, cause)
}

// stopActivation ends an activation's context; it is released when its Run has returned.
func (l *loop) stopActivation(a *Activation, cause error) {
	a.stopped = true
	a.cancel(cause)
	switch a.state {
	case acting:
		a.state = stopping
		if l.m.config.Kinds[a.Identity.Kind].Run == nil {
			l.ended(a)
		}
	}
	// One that is starting ends when Activate returns, and one that is confirming with its outcome, which may be that it
	// begins: then it ends at once.
}

// ended goes on when an activation has stopped for good: only now is it released.
func (l *loop) ended(a *Activation) {
	a.cancel(ErrStopRequested)
	if !l.mine(a) {
		l.drop(a)
		return
	}
	l.held--
	if h := l.waiting[a.Identity]; h != nil {
		l.drop(a) // the cluster has given its epoch up: there is nothing to release
		return
	}
	a.state = releasing
	l.report(a)
}

// fail says why an activation does not come about.
func (l *loop) fail(h *apiv1.Held, reason string) {
	l.reports.failures = append(l.reports.failures, &apiv1.Failure{Held: h, Reason: reason})
}

// refuse says why an activation was not tried.
func (l *loop) refuse(h *apiv1.Held, reason string) {
	l.tell(placement.Identity{Kind: h.Kind, Key: h.Key}, activated{err: errors.New(reason)})
	l.reports.failures = append(l.reports.failures, &apiv1.Failure{Held: h, Reason: reason, Refused: true})
}

func heldOf(a *Activation) *apiv1.Held {
	return &apiv1.Held{Kind: a.Identity.Kind, Key: a.Identity.Key, Epoch: uint64(a.Epoch)}
}

// reports is what the cluster has to be told.
type reports struct {
	confirm  []*apiv1.Held
	released []*apiv1.Held
	crashed  []*apiv1.Failure
	failures []*apiv1.Failure
	open     map[*Activation]time.Duration // since when an answer is waited for
}

func (r *reports) forget(a *Activation) { delete(r.open, a) }

// overdue says whether an answer is waited for too long.
func (r *reports) overdue(now time.Duration) bool {
	for _, since := range r.open {
		if now >= since+reportAgain {
			return true
		}
	}
	return false
}

func (r *reports) releaseUnknown(h *apiv1.Held) { r.released = append(r.released, h) }

// report has the cluster told of an activation, now or when there is a session.
func (l *loop) report(a *Activation) {
	if l.reports.open == nil {
		l.reports.open = map[*Activation]time.Duration{}
	}
	l.reports.open[a] = l.m.config.Now()
	switch fault := a.fault.Load(); {
	case a.state != releasing:
		l.reports.confirm = append(l.reports.confirm, heldOf(a))
	case fault != nil:
		l.reports.crashed = append(l.reports.crashed, &apiv1.Failure{Held: heldOf(a), Reason: *fault})
	default:
		l.reports.released = append(l.reports.released, heldOf(a))
	}
}

// reportAll makes every report anew that has no answer.
func (l *loop) reportAll() {
	l.reports.confirm, l.reports.released, l.reports.crashed = nil, nil, nil
	for a := range l.reports.open {
		l.report(a)
	}
}

// reportMax is how many activations one message names.
const reportMax = 1000

// flush sends what has to be said, when there is somebody to say it to. The loop calls it once a turn, so that what came
// about together is one message, and one entry of the log.
func (l *loop) flush() {
	if l.session == nil {
		return
	}
	r := &l.reports
	for len(r.confirm) > 0 {
		n := min(len(r.confirm), reportMax)
		l.session.send(&apiv1.FromMember{Message: &apiv1.FromMember_Confirm{Confirm: &apiv1.Confirm{Held: r.confirm[:n:n]}}})
		r.confirm = r.confirm[n:]
	}
	for len(r.released) > 0 {
		n := min(len(r.released), reportMax)
		l.session.send(&apiv1.FromMember{Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Held: r.released[:n:n]}}})
		r.released = r.released[n:]
	}
	for len(r.crashed) > 0 {
		n := min(len(r.crashed), reportMax)
		l.session.send(&apiv1.FromMember{Message: &apiv1.FromMember_Released{Released: &apiv1.Released{Crashed: r.crashed[:n:n]}}})
		r.crashed = r.crashed[n:]
	}
	for len(r.failures) > 0 {
		n := min(len(r.failures), reportMax)
		l.session.send(&apiv1.FromMember{Message: &apiv1.FromMember_Failed{Failed: &apiv1.Failed{Failures: r.failures[:n:n]}}})
		r.failures = r.failures[n:]
	}
	r.confirm, r.released, r.crashed, r.failures = nil, nil, nil, nil
}
