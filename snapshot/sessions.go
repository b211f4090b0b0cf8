package snapshot

import (
	"fmt"
	"iter"

	"github.com/seed13d31b7f/berth/placement"
)

// Limits of sessions and locks.
const (
	// SessionsMax is the number of sessions that may be open at once.
	SessionsMax = 1_000_000
	// SessionClaimsMax is the number of locks that one session may hold or wait for. Not larger: its end takes all of them
	// from it within one command.
	SessionClaimsMax = 1024
	// LockClaimsMax is the number of claims that one lock may have. Not larger: a lock stands whole in one frame of a file.
	LockClaimsMax = 1 << 15
	// ClaimsMax is the number of claims to all locks, and so the number of locks.
	ClaimsMax = 1_000_000
)

// sessionRecord is a session with the locks that it has a claim to.
type sessionRecord struct {
	placement.Session
	claims tree[string, placement.Epoch] // tokens by the name of the lock
}

// lockTables are the sessions and the locks of a view.
type lockTables struct {
	sessions tree[placement.SessionID, sessionRecord]
	locks    tree[string, lockRecord]
	claims   int    // of all locks
	digest   uint64 // sum of the digests of all of them
	gen      uint64 // that wrote last
}

// Session returns the session of that number; ok is false when it is not open.
func (v *View) Session(id placement.SessionID) (s placement.Session, ok bool) {
	r := v.tables.sessions.get(id)
	if r == nil {
		return s, false
	}
	return r.Session, true
}

// Sessions yields the open sessions whose numbers are above the given one, ascending: those that were opened later.
func (v *View) Sessions(above placement.SessionID) iter.Seq[placement.Session] {
	return func(yield func(placement.Session) bool) {
		for _, r := range v.tables.sessions.from(above) {
			if !yield(r.Session) {
				return
			}
		}
	}
}

// SessionCount is the number of sessions that are open, at most SessionsMax.
func (v *View) SessionCount() int { return v.tables.sessions.count }

// SessionLocks yields the names of the locks that a session holds or waits for, ascending, with the tokens of its claims.
// Claims of it that were broken and keep their place are among them.
func (v *View) SessionLocks(id placement.SessionID) iter.Seq2[string, placement.Epoch] {
	return func(yield func(string, placement.Epoch) bool) {
		r := v.tables.sessions.get(id)
		if r == nil {
			return
		}
		for name, token := range r.claims.from("") {
			if !yield(name, *token) {
				return
			}
		}
	}
}

// SessionClaimCount is the number of locks that a session holds or waits for, at most SessionClaimsMax.
func (v *View) SessionClaimCount(id placement.SessionID) int {
	r := v.tables.sessions.get(id)
	if r == nil {
		return 0
	}
	return r.claims.count
}

// OpenSession adds a session, which must be valid and larger in number than all before it.
func (e *Editor) OpenSession(s placement.Session) {
	if e.v.tables.sessions.get(s.ID) != nil {
		panic(fmt.Sprintf("snapshot: session %#x is opened twice", s.ID))
	}
	t := e.lockTables()
	t.sessions.add(e.gen, s.ID, e.v.priority(uint64(s.ID)), sessionRecord{Session: s})
	t.digest += sessionDigest(&s)
	if ttl := uint64(s.TTL); ttl > e.v.Cluster.MaxSessionTTL {
		e.v.Cluster.MaxSessionTTL = ttl
	}
}

// CloseSession takes a session away. Its claims must have been removed, or be lost: those keep their place without it.
func (e *Editor) CloseSession(id placement.SessionID) {
	t := e.lockTables()
	r := t.sessions.get(id)
	for name, token := range r.claims.from("") {
		if t.locks.get(name).claims.get(*token).Lost == placement.LockKept {
			panic(fmt.Sprintf("snapshot: session %#x is closed with a claim to %q", id, name))
		}
		t.digest -= linkDigest(id, name, *token)
	}
	t.digest -= sessionDigest(&r.Session)
	t.sessions.remove(e.gen, id)
}

// DropSessions forgets every session, and with them every lock.
func (e *Editor) DropSessions() { e.v.tables = lockTables{gen: e.gen} }

// lockTables returns the tables to write to.
func (e *Editor) lockTables() *lockTables {
	e.v.tables.gen = e.gen
	return &e.v.tables
}

// priority spreads numbers that only grow.
func (v *View) priority(n uint64) uint64 { return fold(v.Cluster.Seed, n) }

func sessionDigest(s *placement.Session) uint64 {
	return foldText(foldText(fold(fold(1, uint64(s.ID)), uint64(s.TTL)), s.Holder), s.Owner)
}

// linkDigest is the share of a session's knowledge that it has a claim to a lock.
func linkDigest(id placement.SessionID, name string, token placement.Epoch) uint64 {
	return foldText(fold(fold(2, uint64(id)), uint64(token)), name)
}
