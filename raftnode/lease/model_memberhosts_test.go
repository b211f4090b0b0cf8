package lease

import "github.com/seed13d31b7f/berth/placement"

// takeHost takes the steps of the members that are about X.
func (m *hosts) takeHost(s *memberState, kind, p int) bool {
	x := &s.M[p]
	switch kind {
	case memberConfirmStep:
		v := &m.views(s)[s.Len]
		return v.entry.Phase == placement.Pending && int(v.owner) == p && v.entry.Owner == placement.Incarnation(x.Incarnation) &&
			s.append(memberEntry{memberConfirm, s.Term, uint8(p), uint8(v.entry.Epoch)})
	case memberReplyStep:
		return m.reply(s, p)
	case memberStopStep:
		return m.stop(s, p)
	case memberReleaseStep:
		v := &m.views(s)[s.Len]
		if x.ToRelease == 0 || v.entry.Epoch != placement.Epoch(x.ToRelease) || !s.append(memberEntry{memberRelease, s.Term, uint8(p), x.ToRelease}) {
			return false
		}
		x.ToRelease = pick(stopFirst, x.ToRelease, 0)
	case memberJoinStep:
		if m.views(s)[s.Len].alive[p] != 0 || s.Joins >= m.joins || !s.append(memberEntry{memberJoin, s.Term, uint8(p), 0}) {
			return false
		}
		s.Joins++
		m.giveUp(s, p)
		x.Incarnation = s.Len
		if !off(rejoinDrops) {
			x.Holds, x.ToRelease, x.Left, x.Slow = 0, 0, 0, 0
		}
		x.hold(Keep(present, m.granted(s.Term)), 0) // the answer to a Join is a first lease
	default:
		return false
	}
	return true
}

// reply delivers the answer to the oldest Confirm that has none: from then on the member holds X.
func (m *hosts) reply(s *memberState, p int) bool {
	x := &s.M[p]
	for _, e := range s.Log[:s.Len] {
		if e.Kind != memberConfirm || int(e.Who) != p || e.What <= x.Answered {
			continue
		}
		x.Answered = e.What
		if m.views(s)[e.What].entry.Owner == placement.Incarnation(x.Incarnation) || off(confirmOwn) {
			x.Holds = e.What
		}
		return true
	}
	return false
}

// stop ends the activation, which is released from then on. In a merged run it is released at once.
func (m *hosts) stop(s *memberState, p int) bool {
	x := &s.M[p]
	switch {
	case x.Holds == 0:
		return false
	case m.merged:
		if m.views(s)[s.Len].entry.Epoch != placement.Epoch(x.Holds) || !s.append(memberEntry{memberRelease, s.Term, uint8(p), x.Holds}) {
			return false
		}
		x.Holds = 0
	case off(stopFirst) && x.ToRelease == 0:
		x.ToRelease = x.Holds // it stops later
	case off(stopFirst):
		x.Holds = 0
	default:
		x.ToRelease, x.Holds = x.Holds, 0
	}
	return true
}
