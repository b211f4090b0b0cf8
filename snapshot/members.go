package snapshot

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
)

// Join adds an incarnation. The member must be valid, normalized and alive, its kinds must be known, and it must not
// be changed afterwards. From now on it stands for its name in the roster; the incarnation that did so before is
// superseded, or barred when it is blocked.
func (e *Editor) Join(m *placement.Member) {
	if old := e.v.Roster.Find(m.ID); old != nil {
		former := *old
		former.State, former.Drained, former.DrainRate = placement.MemberSuperseded, false, 0
		if old.State.Barred() {
			former.State = placement.MemberBarred
		}
		e.v.slots.edit(e.gen, e.slotOf(old.Incarnation)).member = &former
	}
	var i uint32
	if n := len(e.free); n > 0 {
		i, e.free = e.free[n-1], e.free[:n-1]
	} else {
		i = e.v.slots.add(e.gen)
	}
	*e.v.slots.edit(e.gen, i) = slot{member: m}
	e.v.incarnations = e.v.incarnations.with(incarnationKey(m.Incarnation), i)
	e.v.Roster = e.v.Roster.With(m)
}

// SetMember replaces the description of an incarnation that is alive. Whether it stands for its name must be as before, and m
// must not be changed afterwards.
func (e *Editor) SetMember(m *placement.Member) {
	e.v.slots.edit(e.gen, e.slotOf(m.Incarnation)).member = m
	if m.State.Stands() {
		e.v.Roster = e.v.Roster.With(m)
	}
}

// End ends an incarnation that is alive, at the current index, in the given state. It costs the same however much the
// incarnation owns: its records are seen as removals from now on, and taken out of memory step by step once the
// barrier has passed them.
func (e *Editor) End(inc placement.Incarnation, state placement.MemberState) *placement.Member {
	i := e.slotOf(inc)
	s := e.v.slots.edit(e.gen, i)
	m := *s.member
	m.State, m.Ended = state, e.v.Index
	s.member = &m
	m.Drained, m.DrainRate = false, 0
	e.v.Roster = e.v.Roster.Without(m.ID, inc)
	if e.v.Roster.Find(m.ID) == nil {
		e.dropMovesTo(m.ID)
	}
	e.deaths = append(e.deaths, death{e.v.Index, i})
	return &m
}

// ownersNear is how many incarnations are found without a look into a table, when their numbers fall together.
const ownersNear = 256

// slotNear returns the slot of an incarnation. Most are where they were found last.
func (e *Editor) slotNear(inc placement.Incarnation) (uint32, bool) {
	near := &e.owners[uint64(inc)*0x9e3779b97f4a7c15>>56]
	if int(*near) < e.v.slots.count {
		if m := e.v.slots.at(*near).member; m != nil && m.Incarnation == inc {
			return *near, true
		}
	}
	i, ok := e.v.incarnations.get(incarnationKey(inc))
	if ok {
		*near = i
	}
	return i, ok
}

// Incarnation is View.Incarnation, for those that are asked for again and again.
func (e *Editor) Incarnation(inc placement.Incarnation) *placement.Member {
	i, ok := e.slotNear(inc)
	if !ok || e.v.slots.at(i).hidden {
		return nil
	}
	return e.v.slots.at(i).member
}

func (e *Editor) slotOf(inc placement.Incarnation) uint32 {
	i, ok := e.v.incarnations.get(incarnationKey(inc))
	if !ok || !e.v.slots.at(i).member.State.Alive() {
		panic(fmt.Sprintf("snapshot: incarnation %#x is changed, but it is not alive", inc))
	}
	return i
}

// freeIfUnused gives a slot back when its incarnation is past and no record names it.
func (e *Editor) freeIfUnused(i uint32) {
	s := e.v.slots.edit(e.gen, i)
	if !s.hidden || s.settled != 0 || s.pending != 0 {
		return
	}
	e.v.incarnations = e.v.incarnations.without(incarnationKey(s.member.Incarnation))
	*s = slot{}
	e.free = append(e.free, i)
}
