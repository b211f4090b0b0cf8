package fsm

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (m *Machine) applyOpenSession(b []byte) (Result, error) {
	c, err := decodeOpenSession(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	if m.edit.View().SessionCount() >= snapshot.SessionsMax {
		return Result{Verdict: placement.LimitReached}, nil
	}
	c.Session.ID = placement.SessionID(m.epoch())
	m.edit.OpenSession(c.Session)
	m.changed(Change{Type: SessionOpened, Session: c.Session.ID})
	return Result{Verdict: placement.Done, Session: c.Session.ID}, nil
}

// applyEndSession ends a session. how says how the locks that it held are lost; LockKept when it gave them up itself.
//
// Its work is bounded by snapshot.SessionClaimsMax claims that go, and by the claims that they let in: each of those
// was queued by a command of its own, and is let in once.
func (m *Machine) applyEndSession(b []byte, how placement.LockLoss) (Result, error) {
	id, err := decodeSession(b)
	if err != nil {
		return Result{}, err
	}
	v := m.edit.View()
	s, open := v.Session(id)
	if !open {
		return Result{Verdict: placement.SessionGone}, nil
	}
	names := make([]string, 0, v.SessionClaimCount(id))
	for name := range v.SessionLocks(id) {
		names = append(names, name)
	}
	for _, name := range names {
		c, held, _ := v.ClaimOf(id, name)
		if how == placement.LockKept || !held {
			m.removeClaim(name, c, LockReleased)
		} else {
			m.loseClaim(name, c, how, s.TTL)
		}
	}
	m.edit.CloseSession(id)
	m.changed(Change{Type: SessionEnded, Session: id})
	return Result{Verdict: placement.Done}, nil
}
