package fsm

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (m *Machine) applyPlace(b []byte) (Result, error) {
	c, err := decodePlace(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	r := m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		if e.Phase != placement.Absent {
			return e.Place(m.epoch(), false, nil)
		}
		if _, blocked := m.edit.View().Block(snapshot.Subject{Identity: c.Identity}); blocked {
			return e, placement.Blocked
		}
		p := m.plan(c.Identity.Kind)
		return e.Place(m.epoch(), p.settings.Settle == placement.SettleOnPlace, func() placement.Choice {
			if choice, ok := m.moved(c.Identity); ok {
				return choice
			}
			return m.choose(p, placement.Query{Identity: c.Identity, Near: c.Near})
		})
	})
	if r.Verdict == placement.Done {
		m.edit.DropMove(c.Identity)
	}
	return r, nil
}

func (m *Machine) applyConfirm(b []byte) (Result, error) {
	h, err := decodeHeld(b, 3, 4)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h.identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		next, verdict := e.Confirm(h.incarnation, h.epoch)
		if owner := m.edit.Incarnation(h.incarnation); verdict == placement.Done && owner.State.Barred() {
			return e, placement.Barred // it owns what it had, and nothing more
		}
		return next, verdict
	}), nil
}

func (m *Machine) applyFail(b []byte) (Result, error) {
	c, err := decodeFail(b)
	if err != nil || c.Identity.Validate() != nil || validateFailure(&c.Failure) != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	n := len(m.out.Changes)
	var before placement.Entry
	r := m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		before = e
		p := m.plan(c.Identity.Kind)
		return e.Fail(c.Epoch, m.epoch(), int(p.settings.Attempts), func(attempt uint8) placement.Choice {
			return m.choose(p, placement.Query{Identity: c.Identity, Attempt: attempt, Failed: e.Owner})
		})
	})
	if len(m.out.Changes) > n {
		m.out.Changes[n].Failed = &c.Failure
	}
	if r.Verdict == placement.Done && r.Entry.Phase == placement.Absent { // that was the last candidate
		m.crashed(c.Identity, before, c.Failure)
	}
	return r, nil
}

func (m *Machine) applyRelease(b []byte) (Result, error) {
	c, err := decodeRelease(b)
	if err != nil || c.Identity.Validate() != nil || validateFailure(&c.Failure) != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	n := len(m.out.Changes)
	var before placement.Entry
	r := m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		before = e
		return e.Release(c.Incarnation, c.Epoch, m.out.Index)
	})
	if f := c.Failure; r.Verdict == placement.Done && f != (placement.Failure{}) {
		if len(m.out.Changes) > n {
			m.out.Changes[n].Failed = &f
		}
		m.crashed(c.Identity, before, f)
	}
	return r, nil
}

func (m *Machine) applyEvict(b []byte) (Result, error) {
	h, err := decodeHeld(b, 0, 3)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h.identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Evict(h.epoch)
	}), nil
}

// transition takes the entry of an identity through one step.
func (m *Machine) transition(id placement.Identity, step func(placement.Entry) (placement.Entry, placement.Verdict)) Result {
	before := m.edit.Seek(id)
	after, verdict := step(before)
	r := Result{Verdict: verdict, Entry: after}
	if after.Owner != 0 {
		r.Owner = m.edit.Incarnation(after.Owner)
	}
	if verdict != placement.Done {
		return r
	}
	c := Change{Type: PlacementChanged, Before: before, Entry: after, Member: r.Owner}
	if m.Observed && before.Phase == placement.Absent {
		if cut, owner := m.edit.Cut(); owner != nil {
			kept := cut // no other Place is to have it on the heap
			c.Cut, c.Former = &kept, owner
		}
	}
	m.edit.Put(after)
	if m.Observed {
		c.Identity = cloned(id)
		if before.Owner != 0 && before.Epoch != after.Epoch {
			c.Former = m.edit.Incarnation(before.Owner)
		}
		m.changed(c)
	}
	return r
}

// cloned copies the texts of an identity that points into the entry, in one piece.
func cloned(id placement.Identity) placement.Identity {
	text := id.Kind + id.Key
	return placement.Identity{Kind: text[:len(id.Kind)], Key: text[len(id.Kind):]}
}

// choose asks the kind's strategy for an owner. The texts of the query point into the entry.
func (m *Machine) choose(p *plan, q placement.Query) placement.Choice {
	c := p.strategy.Choose(m.question(p, q), p.candidates)
	m.answered()
	return c
}

// question completes a query, in the place that is reused for all of them.
func (m *Machine) question(p *plan, q placement.Query) *placement.Query {
	q.Epoch, q.Load, q.KindLoad, q.KindCapacity = m.epoch(), m.query.Load, m.query.KindLoad, p.settings.MemberCapacity
	m.query = q
	return &m.query
}

// answered lets go of the texts of the query.
func (m *Machine) answered() {
	m.query = placement.Query{Load: m.query.Load, KindLoad: m.query.KindLoad}
}

func (m *Machine) load(member *placement.Member) uint32 {
	l := m.edit.View().MemberLoad(member.Incarnation)
	return l.Settled + l.Pending
}

// kindLoad is what a member owns of the kind that is being placed.
func (m *Machine) kindLoad(member *placement.Member) uint32 {
	return m.edit.View().MemberKindLoad(member.Incarnation, m.query.Identity.Kind)
}
