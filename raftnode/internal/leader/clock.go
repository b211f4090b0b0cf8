package leader

import (
	"context"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

const clockTick = 100 * time.Millisecond

// watchClock expires members and sessions, ends lock-delays, and gives up on owners that do not confirm, or may not, and on claims
// that nobody asks for.
func (d *Driver) watchClock(ctx context.Context) {
	tick := time.NewTicker(clockTick)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-d.acked:
			d.pushBarrier(ctx)
			continue
		case <-ctx.Done():
			return
		}
		now := d.config.Now()
		d.pushBarrier(ctx) // a lease that kept it back may be over
		d.drainStep(ctx)
		d.raiseLevel(ctx, now)
		if due := d.expired(now); len(due) > 0 {
			d.tasks.Go(func() { d.expire(ctx, due) })
		}
		if late := d.overdue(now); len(late) > 0 {
			d.tasks.Go(func() { d.fail(ctx, late) })
		}
		if due := d.dueLocks(now); len(due.sessions)+len(due.delays)+len(due.withdrawn) > 0 {
			d.tasks.Go(func() { d.proposeLocks(ctx, due) })
		}
	}
}

// expired marks the incarnations whose time is up and returns those whose expiry is not on its way.
func (d *Driver) expired(now lease.Instant) (due []placement.Incarnation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.members.Expire(now)
	for _, inc := range d.mu.members.Expiring() {
		if !d.mu.proposed[inc] {
			d.mu.proposed[inc] = true
			due = append(due, inc)
		}
	}
	return due
}

// proposeEach proposes a command for each item. Either all are refused with the error, or each has its outcome.
func proposeEach[T any](ctx context.Context, p Proposer, items []T, body func(T) fsm.Body) ([]group.Outcome, error) {
	commands := make([][]byte, len(items))
	for i, item := range items {
		var err error
		if commands[i], err = fsm.Encode(fsm.Command{Body: body(item)}); err != nil {
			return nil, err
		}
	}
	return p.ProposeAll(ctx, commands)
}

// expire proposes that incarnations end whose time is up.
func (d *Driver) expire(ctx context.Context, due []placement.Incarnation) {
	d.proposeEnds(ctx, due, func(inc placement.Incarnation) fsm.Body { return &fsm.Expire{Incarnation: inc} })
}

// proposeEnds proposes the ends of incarnations. One whose proposal failed is proposed again.
func (d *Driver) proposeEnds(ctx context.Context, due []placement.Incarnation, how func(placement.Incarnation) fsm.Body) {
	outcomes, err := proposeEach(ctx, d.group, due, how)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, inc := range due {
		if err != nil || outcomes[i].Err != nil {
			delete(d.mu.proposed, inc)
		}
	}
}

// late is one placement whose owner has not confirmed in time, or may not.
type late struct {
	id  placement.Identity
	o   *open
	why placement.Failure
}

func (d *Driver) overdue(now lease.Instant) (out []late) {
	v := d.group.View()
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, o := range d.mu.open {
		if o.stop || o.failed {
			continue
		}
		why := confirmedNot
		if m := v.Incarnation(o.owner); m != nil && m.State.Barred() {
			why = ownerBlocked // it may not confirm any more
		} else if now < o.since.Add(d.confirmTime(v, id.Kind)) {
			continue
		}
		o.failed = true
		out = append(out, late{id, o, why})
		d.failureLocked(id, o.owner, why)
		if len(out) == placement.BatchCommandsMax {
			break
		}
	}
	for id, f := range d.mu.failures {
		if now >= f[len(f)-1].at.Add(failuresKept) {
			delete(d.mu.failures, id)
		}
	}
	return out
}

// confirmTime is how long the owner of an identity of a kind may take to confirm.
func (d *Driver) confirmTime(v *snapshot.View, kind string) time.Duration {
	if ms := v.KindSettings(kind).ConfirmMs; ms != 0 {
		return time.Duration(ms) * time.Millisecond
	}
	return d.config.ActivationTimeout
}

var (
	confirmedNot = placement.Failure{Code: placement.FailureTimeout}
	ownerBlocked = placement.Failure{Code: placement.FailureRefused, Text: "the member is blocked"}
)

// fail proposes that activations failed.
func (d *Driver) fail(ctx context.Context, list []late) {
	outcomes, err := proposeEach(ctx, d.group, list, func(l late) fsm.Body { return &fsm.Fail{Identity: l.id, Epoch: l.o.epoch, Failure: l.why} })
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, l := range list {
		if err != nil || outcomes[i].Err != nil {
			l.o.failed = false // tried again with the next tick
		}
	}
}
