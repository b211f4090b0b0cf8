package fsm

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (m *Machine) applyJoin(b []byte) (Result, error) {
	member, err := decodeJoin(b)
	if err != nil || member.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	if _, blocked := m.edit.View().Block(snapshot.Subject{Member: member.ID}); blocked {
		return Result{Verdict: placement.Barred}, nil
	}
	if m.members >= MembersMax || !m.roomForKinds(member.Kinds) {
		return Result{Verdict: placement.LimitReached}, nil
	}
	for _, kind := range member.Kinds {
		if err := m.edit.AddKind(kind); err != nil {
			return Result{}, err // there was room: the machine is broken
		}
	}
	member.Incarnation = placement.Incarnation(m.epoch())
	member.State = placement.MemberLive
	old := m.edit.View().Roster.Find(member.ID)
	m.edit.Join(member)
	m.members++
	if old != nil {
		m.rosterChanged(MemberChanged, m.edit.View().Incarnation(old.Incarnation))
	}
	m.rosterChanged(MemberJoined, member)
	return Result{Verdict: placement.Done, Incarnation: member.Incarnation}, nil
}

// roomForKinds says whether the kinds that are new still fit.
func (m *Machine) roomForKinds(kinds []string) bool {
	v := m.edit.View()
	n := v.KindCount()
	for _, kind := range kinds {
		if !v.HasKind(kind) {
			n++
		}
	}
	return n <= snapshot.KindsMax
}

func (m *Machine) applyEnd(b []byte, state placement.MemberState) (Result, error) {
	inc, err := decodeIncarnation(b)
	if err != nil {
		return Result{}, err
	}
	if m.alive(inc) == nil {
		return Result{Verdict: placement.MemberGone}, nil
	}
	member := m.edit.End(inc, state)
	m.members--
	m.rosterChanged(MemberEnded, member)
	return Result{Verdict: placement.Done}, nil
}

func (m *Machine) applyDrain(b []byte) (Result, error) {
	c, err := decodeDrain(b)
	if err != nil {
		return Result{}, err
	}
	if c.Off && c.Rate != 0 {
		return Result{Verdict: placement.Invalid}, nil
	}
	member := m.alive(c.Incarnation)
	if member == nil {
		return Result{Verdict: placement.MemberGone}, nil
	}
	if barred := member.State.Barred(); barred || member.State == placement.MemberSuperseded {
		switch {
		case !c.Off:
			return Result{Verdict: placement.Already}, nil
		case barred:
			return Result{Verdict: placement.Barred}, nil
		}
		return Result{Verdict: placement.MemberGone}, nil
	}
	next := *member
	if next.State, next.DrainRate = placement.MemberDraining, c.Rate; c.Off {
		next.State = placement.MemberLive
	}
	if member.State == next.State && member.DrainRate == next.DrainRate {
		return Result{Verdict: placement.Already}, nil
	}
	m.edit.SetMember(&next)
	m.rosterChanged(MemberChanged, &next)
	return Result{Verdict: placement.Done}, nil
}

// alive returns the member of an incarnation that is alive, nil for all others.
func (m *Machine) alive(inc placement.Incarnation) *placement.Member {
	member := m.edit.View().Incarnation(inc)
	if member == nil || !member.State.Alive() {
		return nil
	}
	return member
}

func (m *Machine) rosterChanged(t ChangeType, member *placement.Member) {
	m.plans.rosterChanged(member.ID)
	m.changed(Change{Type: t, Member: member})
}

func (m *Machine) applyRegisterServer(b []byte) (Result, error) {
	s, err := decodeServer(b)
	if err != nil {
		return Result{}, err
	}
	if (&RegisterServer{s}).Validate() != nil {
		return Result{Verdict: placement.Invalid}, nil
	}
	old, known := m.edit.View().Server(s.Name)
	switch {
	case known && (old.Removed || old.Incarnation != s.Incarnation):
		return Result{Verdict: placement.ServerMismatch}, nil
	case known && old == s:
		return Result{Verdict: placement.Already}, nil
	}
	if err := m.edit.PutServer(s); err != nil {
		return Result{Verdict: placement.LimitReached}, nil
	}
	return Result{Verdict: placement.Done}, nil
}

func (m *Machine) applyRemoveServer(b []byte) (Result, error) {
	name, err := decodeName(b)
	if err != nil {
		return Result{}, err
	}
	if ValidateServerName(name) != nil {
		return Result{Verdict: placement.Invalid}, nil
	}
	s, _ := m.edit.View().Server(name)
	if s.Removed {
		return Result{Verdict: placement.Already}, nil
	}
	s.Name, s.Removed = name, true
	if err := m.edit.PutServer(s); err != nil {
		return Result{Verdict: placement.LimitReached}, nil
	}
	return Result{Verdict: placement.Done}, nil
}
