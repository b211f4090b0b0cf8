package fsm

import (
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

func (m *Machine) applyPlace(b []byte) (Result, error) {
	c, err := decodePlace(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Place(m.epoch(), false, func() placement.Choice {
			return m.choose(m.plan(c.Identity.Kind), placement.Query{Identity: c.Identity, Near: c.Near})
		})
	}), nil
}

func (m *Machine) applyConfirm(b []byte) (Result, error) {
	h, err := decodeHeld(b, 3, 4)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h.identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Confirm(h.incarnation, h.epoch)
	}), nil
}

func (m *Machine) applyFail(b []byte) (Result, error) {
	h, err := decodeHeld(b, 0, 3)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h.identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		p := m.plan(h.identity.Kind)
		return e.Fail(h.epoch, m.epoch(), p.attempts, func(attempt uint8) placement.Choice {
			return m.choose(p, placement.Query{Identity: h.identity, Attempt: attempt, Failed: e.Owner})
		})
	}), nil
}

func (m *Machine) applyRelease(b []byte) (Result, error) {
	h, err := decodeHeld(b, 3, 4)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h.identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Release(h.incarnation, h.epoch, m.out.Index)
	}), nil
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
		r.Owner = m.edit.View().Incarnation(after.Owner)
	}
	if verdict != placement.Done {
		return r
	}
	m.edit.Put(after)
	if m.Observed {
		id := placement.Identity{Kind: strings.Clone(id.Kind), Key: strings.Clone(id.Key)}
		m.changed(Change{Type: PlacementChanged, Identity: id, Before: before, Entry: after, Member: r.Owner})
	}
	return r
}

// choose asks the kind's strategy for an owner. The texts of the query point into the entry.
func (m *Machine) choose(p *plan, q placement.Query) placement.Choice {
	q.Epoch, q.Load = m.epoch(), m.query.Load
	m.query = q
	c := p.strategy.Choose(&m.query, p.candidates)
	m.query = placement.Query{Load: q.Load}
	return c
}

func (m *Machine) load(member *placement.Member) uint32 {
	l := m.edit.View().MemberLoad(member.Incarnation)
	return l.Settled + l.Pending
}

// plan returns what a choice for the kind needs. kind points into the entry.
func (m *Machine) plan(kind string) *plan {
	if p, ok := m.plans[kind]; ok {
		return p
	}
	v := m.edit.View()
	s := v.KindSettings(kind)
	p := &plan{strategy: placement.StrategyNamed(s.Strategy), attempts: int(s.Attempts)}
	if !v.HasKind(kind) {
		return p // not kept: strangers could fill the memory with kinds that nobody hosts
	}
	if len(m.plans) >= plansMax {
		clear(m.plans)
	}
	p.candidates = v.Roster.Eligible(nil, kind)
	m.plans[strings.Clone(kind)] = p
	return p
}
