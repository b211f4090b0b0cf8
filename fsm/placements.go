package fsm

import (
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

func (m *Machine) applyPlace(b []byte) (Result, error) {
	h, err := decodeHeld(b, 0, 0)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Place(m.epoch(), false, func() placement.Choice { return m.choose(h.identity, 0) })
	}), nil
}

func (m *Machine) applyConfirm(b []byte) (Result, error) {
	h, err := decodeHeld(b, 3, 4)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Confirm(h.incarnation, h.epoch)
	}), nil
}

func (m *Machine) applyFail(b []byte) (Result, error) {
	h, err := decodeHeld(b, 0, 3)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Fail(h.epoch, m.epoch(), AttemptsDefault, func(attempt uint8) placement.Choice {
			return m.choose(h.identity, attempt)
		})
	}), nil
}

func (m *Machine) applyRelease(b []byte) (Result, error) {
	h, err := decodeHeld(b, 3, 4)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Release(h.incarnation, h.epoch, m.out.Index)
	}), nil
}

func (m *Machine) applyEvict(b []byte) (Result, error) {
	h, err := decodeHeld(b, 0, 3)
	if err != nil || h.identity.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(h, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		return e.Evict(h.epoch)
	}), nil
}

// transition takes the entry of an identity through one step.
func (m *Machine) transition(h held, step func(placement.Entry) (placement.Entry, placement.Verdict)) Result {
	before := m.edit.Seek(h.identity)
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
		id := placement.Identity{Kind: strings.Clone(h.identity.Kind), Key: strings.Clone(h.identity.Key)}
		m.changed(Change{Type: PlacementChanged, Identity: id, Before: before, Entry: after, Member: r.Owner})
	}
	return r
}

// choose asks the kind's strategy for an owner.
func (m *Machine) choose(id placement.Identity, attempt uint8) placement.Choice {
	q := placement.Query{Identity: id, Attempt: attempt, Load: m.load}
	return placement.Rendezvous{}.Choose(&q, m.eligible(id.Kind))
}

func (m *Machine) load(member *placement.Member) uint32 {
	l := m.edit.View().MemberLoad(member.Incarnation)
	return l.Settled + l.Pending
}

// eligible returns the members that may be given the kind. kind points into the entry.
func (m *Machine) eligible(kind string) []*placement.Member {
	if c, ok := m.candidates[kind]; ok {
		return c
	}
	if !m.edit.View().HasKind(kind) {
		return nil // not cached: strangers could fill the cache with kinds that nobody hosts
	}
	if len(m.candidates) >= candidatesMax {
		clear(m.candidates)
	}
	c := m.edit.View().Roster.Eligible(nil, kind)
	m.candidates[strings.Clone(kind)] = c
	return c
}
