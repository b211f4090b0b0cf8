package leader

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// drainWindow is how many placements a member that drains may be asked to stop at once. Not larger: what is asked
	// has no other owner until the member has let it go. Not smaller: a step is made every clockTick.
	drainWindow = 256
	// drainScan is how many placements one step looks at for those of members that drain: a few milliseconds.
	drainScan = 1 << 15
)

// drain is how far the driver is with evicting what members own that drain or are blocked. Nothing of it matters to the
// next tenure: what is asked back is so in the state.
type drain struct {
	changed atomic.Bool // the members may be others
	running atomic.Bool // evictions are on their way

	// Owned by the goroutine of the clock.
	leaving map[placement.Incarnation]bool
	paces   map[placement.Incarnation]*pace // of those that drain at a rate
	at      snapshot.Cursor                 // where the next step goes on; of an older view, so it says about where
}

// pace is how far a member is that drains at a rate. A new tenure begins with none, and so asks for less at first.
type pace struct {
	rate uint32
	from lease.Instant // what may be asked for since then has not been
}

// due is how many placements may be asked for now: those of a second at most, so that a member that was slow is not asked
// for all of them at once.
func (p *pace) due(now lease.Instant) int {
	p.from = min(max(p.from, now.Add(-time.Second)), now)
	return int(uint64(now.Sub(p.from)) * uint64(p.rate) / uint64(time.Second))
}

// asked notes that so many have been asked for.
func (p *pace) asked(n int) {
	p.from = p.from.Add(time.Duration((uint64(n)*uint64(time.Second) + uint64(p.rate) - 1) / uint64(p.rate)))
}

// paced finds the pace of each member that drains at a rate, and those that are there already go on.
func paced(v *snapshot.View, leaving map[placement.Incarnation]bool, old map[placement.Incarnation]*pace, now lease.Instant) map[placement.Incarnation]*pace {
	paces := map[placement.Incarnation]*pace{}
	for inc := range leaving {
		m := v.Incarnation(inc)
		if m == nil || m.State != placement.MemberDraining || m.DrainRate == 0 {
			continue // who is blocked is to be rid of everything
		}
		if p := old[inc]; p != nil && p.rate == m.DrainRate {
			paces[inc] = p
		} else {
			paces[inc] = &pace{m.DrainRate, now}
		}
	}
	return paces
}

// drainStep asks for a few more of the placements of members that are to be rid of them, and ends those that were blocked and
// have let go of everything.
func (d *Driver) drainStep(ctx context.Context) {
	v := d.group.View()
	if d.drain.changed.Swap(false) {
		d.drain.leaving = leaving(v)
		d.drain.paces = paced(v, d.drain.leaving, d.drain.paces, d.config.Now())
	}
	if len(d.drain.leaving) == 0 {
		return
	}
	if free := d.released(); len(free) > 0 {
		d.tasks.Go(func() {
			d.proposeEnds(ctx, free, func(inc placement.Incarnation) fsm.Body { return &fsm.Leave{Incarnation: inc} })
		})
	}
	if d.drain.running.Load() {
		return
	}
	evict := d.evictions(v)
	if len(evict) == 0 {
		return
	}
	d.drain.running.Store(true)
	d.tasks.Go(func() {
		defer d.drain.running.Store(false)
		// What is refused, or whose outcome is not known, is found again by a later step.
		_, _ = proposeEach(ctx, d.group, evict, func(p snapshot.Placement) fsm.Body {
			return &fsm.Evict{Identity: p.Identity, Epoch: p.Entry.Epoch}
		})
	})
}

// leaving are the incarnations that are to be rid of what they own.
func leaving(v *snapshot.View) map[placement.Incarnation]bool {
	out := map[placement.Incarnation]bool{}
	for m := range v.Members() {
		if m.State.Leaving() {
			out[m.Incarnation] = true
		}
	}
	return out
}

// released marks the incarnations that were blocked and own nothing, and returns those whose end is not on its way. They are
// given nothing any more, so nobody can become a second owner by it, and nobody has to wait for their leases.
func (d *Driver) released() (free []placement.Incarnation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.group.View() // under the lock: an end that is noted is in it
	for inc := range d.drain.leaving {
		m, load := v.Incarnation(inc), v.MemberLoad(inc)
		if m != nil && m.State.Barred() && load.Settled+load.Pending == 0 && !d.mu.proposed[inc] {
			d.mu.proposed[inc] = true
			free = append(free, inc)
		}
	}
	slices.Sort(free)
	return free
}

// evictions are settled placements that may be asked back now, from where the step before ended on.
func (d *Driver) evictions(v *snapshot.View) (list []snapshot.Placement) {
	room := map[placement.Incarnation]int{}
	for inc := range d.drain.leaving {
		if v.MemberLoad(inc).Settled > 0 {
			room[inc] = drainWindow
		}
	}
	d.mu.Lock()
	for _, o := range d.mu.open {
		if o.stop && room[o.owner] > 0 {
			room[o.owner]--
		}
	}
	d.mu.Unlock()
	now := d.config.Now()
	for inc, p := range d.drain.paces {
		room[inc] = min(room[inc], p.due(now))
	}
	for inc, n := range room {
		if n == 0 {
			delete(room, inc)
		}
	}
	if len(room) == 0 {
		return nil
	}
	next, whole := v.Scan(snapshot.Filter{Phase: placement.Settled}, d.drain.at, drainScan, func(p snapshot.Placement) bool {
		if len(list) == placement.BatchCommandsMax {
			return false
		}
		if e := &p.Entry; !e.Draining && room[e.Owner] > 0 {
			room[e.Owner]--
			list = append(list, p)
			if pace := d.drain.paces[e.Owner]; pace != nil {
				pace.asked(1)
			}
		}
		return true
	})
	if d.drain.at = next; whole {
		d.drain.at = 0 // the next step begins anew
	}
	return list
}

// End has an incarnation expire as soon as its lease must be over: it is not kept any more, and told so. That lasts as long
// as the tenure. It fails with ErrGone when the incarnation is not alive.
func (d *Driver) End(inc placement.Incarnation) error {
	if m := d.group.View().Incarnation(inc); m == nil || !m.State.Alive() {
		return ErrGone
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.ended[inc] = true
	if s := d.mu.sessions[inc]; s != nil {
		s.end(ErrGone)
	}
	return nil
}
