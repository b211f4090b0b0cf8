package lease

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Sessions is a tenure's table of the sessions' leases. The rules are those of the members' (M2 to M4), but for one thing: a
// session's TTL is in its record and never changes, so the longest that any leader granted is its own. It belongs to
// whoever holds the lock around it.
type Sessions struct {
	full     map[placement.SessionID]time.Duration // the TTL, stretched
	due      Timers[placement.SessionID]
	expiring map[placement.SessionID]bool
}

// NewSessions makes the table of a tenure. Whoever is open as it begins is noted with Opened, at its beginning: everybody is
// granted the full time, since the new leader cannot know until when the former one granted it.
func NewSessions() *Sessions {
	return &Sessions{full: map[placement.SessionID]time.Duration{}, expiring: map[placement.SessionID]bool{}}
}

// Opened notes a session when this server first sees it in its own state.
func (s *Sessions) Opened(id placement.SessionID, ttl time.Duration, now Instant) {
	if _, ok := s.full[id]; !ok {
		s.full[id] = Stretch(ttl)
		s.due.Set(id, now.Add(s.full[id]))
	}
}

// Ended forgets a session when this server sees its end in its own state.
func (s *Sessions) Ended(id placement.SessionID) {
	delete(s.full, id)
	delete(s.expiring, id)
	s.due.Drop(id)
}

// Answer says whether a keepalive may be answered, and notes it when it may. open is what this server's own state says of the
// session, and t0 the instant just before the proposal of the pulse that proved the tenure. A session that is marked to
// expire is refused for the rest of the tenure, since the decision may be on its way already.
func (s *Sessions) Answer(id placement.SessionID, open bool, t0 Instant) bool {
	full, known := s.full[id]
	if !open || !known || s.expiring[id] {
		return false
	}
	at, _ := s.due.At(id)
	s.due.Set(id, max(at, t0.Add(full)))
	return true
}

// Expire marks the sessions whose leases have ended, at the latest possible, and returns them, ascending, at most so many.
// Their expiry may be proposed now, in this tenure's term alone.
func (s *Sessions) Expire(now Instant, most int) []placement.SessionID {
	due := s.due.Due(now, most)
	for _, id := range due {
		s.expiring[id] = true
	}
	slices.Sort(due)
	return due
}

// Left is how long the lease of a session may still last at the longest; zero when it is not in the table, or marked.
func (s *Sessions) Left(id placement.SessionID, now Instant) time.Duration {
	at, ok := s.due.At(id)
	if !ok {
		return 0
	}
	return max(0, at.Sub(now))
}

// Known says whether a session is in the table.
func (s *Sessions) Known(id placement.SessionID) bool {
	_, ok := s.full[id]
	return ok
}

// All lists the sessions in the table, ascending.
func (s *Sessions) All() []placement.SessionID {
	out := make([]placement.SessionID, 0, len(s.full))
	for id := range s.full {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
