package snapshot

import (
	"fmt"
	"iter"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
)

// lockRecord is a lock that somebody has a claim to; there are no others.
//
// Claims stand in the order of their tokens. Those up to granted hold the lock, all above wait: so letting the next one in
// moves one number, nobody can overtake, and the tokens of a lock grow with each claim that is let in.
type lockRecord struct {
	permits uint32
	held    int // claims up to granted
	granted placement.Epoch
	claims  tree[placement.Epoch, placement.Claim]
}

// Lock is a lock as of one view.
type Lock struct {
	// Name is what it is called.
	Name string
	// Use says how it is used.
	Use placement.LockUse

	record *lockRecord
}

// Lock returns the lock of that name; ok is false when nobody holds it or waits for it.
func (v *View) Lock(name string) (l Lock, ok bool) {
	r := v.tables.locks.get(name)
	if r == nil {
		return Lock{Name: name}, false
	}
	return lockOf(name, r), true
}

func lockOf(name string, r *lockRecord) Lock {
	l := Lock{Name: name, record: r}
	_, oldest, _ := r.claims.after(0)
	l.Use = placement.LockUse{Mode: oldest.Mode, Permits: r.permits, Held: r.held, Waiting: r.claims.count - r.held}
	return l
}

// Locks yields the locks whose names are above the given one, ascending.
func (v *View) Locks(above string) iter.Seq[Lock] {
	return func(yield func(Lock) bool) {
		for name, r := range v.tables.locks.from(above) {
			if !yield(lockOf(name, r)) {
				return
			}
		}
	}
}

// LockCount is the number of locks that somebody holds or waits for.
func (v *View) LockCount() int { return v.tables.locks.count }

// ClaimCount is the number of claims to all locks, at most ClaimsMax.
func (v *View) ClaimCount() int { return v.tables.claims }

// Claims yields the claims to the lock in their order: first those that hold it, which held says, then those that wait.
func (l Lock) Claims() iter.Seq2[placement.Claim, bool] {
	return func(yield func(placement.Claim, bool) bool) {
		if l.record == nil {
			return
		}
		for token, c := range l.record.claims.from(0) {
			if !yield(*c, token <= l.record.granted) {
				return
			}
		}
	}
}

// Claim returns the claim of a token. held says that it holds the lock; a lost claim that keeps its place does so too.
func (l Lock) Claim(token placement.Epoch) (c placement.Claim, held, ok bool) {
	if l.record == nil {
		return c, false, false
	}
	at := l.record.claims.get(token)
	if at == nil {
		return c, false, false
	}
	return *at, token <= l.record.granted, true
}

// Next returns the claim that is the first to wait.
func (l Lock) Next() (c placement.Claim, ok bool) {
	if l.record == nil {
		return c, false
	}
	_, at, ok := l.record.claims.after(l.record.granted)
	if !ok {
		return c, false
	}
	return *at, true
}

// ClaimOf returns the claim that a session has to a lock.
func (v *View) ClaimOf(id placement.SessionID, name string) (c placement.Claim, held, ok bool) {
	s := v.tables.sessions.get(id)
	if s == nil {
		return c, false, false
	}
	token := s.claims.get(name)
	if token == nil {
		return c, false, false
	}
	l, _ := v.Lock(name)
	return l.Claim(*token)
}

// AddClaim lets a claim wait for a lock, behind all others; permits is the size of a semaphore. Its session must be open
// and have no claim to the lock, its token must be above all that the lock ever had, and it must fit. name is kept.
func (e *Editor) AddClaim(name string, permits uint32, c placement.Claim) {
	if _, open := e.v.Session(c.Session); !open || c.Lost != placement.LockKept {
		panic(fmt.Sprintf("snapshot: claim %+v to the lock %q is of no session, or lost", c, name))
	}
	e.addClaim(name, permits, c)
}

func (e *Editor) addClaim(name string, permits uint32, c placement.Claim) {
	t := e.lockTables()
	if t.locks.get(name) == nil {
		t.locks.add(e.gen, name, e.v.namePriority(name), lockRecord{permits: permits})
		t.digest += lockDigest(name, &lockRecord{permits: permits})
	}
	l := t.locks.edit(e.gen, name)
	if l.permits != permits || c.Token <= l.granted {
		panic(fmt.Sprintf("snapshot: claim %+v does not fit the lock %q", c, name))
	}
	l.claims.add(e.gen, c.Token, e.v.priority(uint64(c.Token)), c)
	t.claims++
	t.digest += claimDigest(name, &c)
	if t.sessions.get(c.Session) != nil { // a lost claim outlives its session
		t.sessions.edit(e.gen, c.Session).claims.add(e.gen, name, e.v.namePriority(name), c.Token)
		t.digest += linkDigest(c.Session, name, c.Token)
	}
}

func (v *View) namePriority(name string) uint64 { return xxh3.HashStringSeed(name, v.Cluster.Seed) }

// Grant lets the first claim that waits hold the lock, and returns it. There must be one.
func (e *Editor) Grant(name string) placement.Claim {
	t := e.lockTables()
	l := t.locks.edit(e.gen, name)
	t.digest -= lockDigest(name, l)
	token, c, ok := l.claims.after(l.granted)
	if !ok {
		panic(fmt.Sprintf("snapshot: nobody waits for the lock %q", name))
	}
	l.granted = token
	l.held++
	t.digest += lockDigest(name, l)
	return *c
}

// SetClaim replaces what is known of a claim, which stays that of its session, in its mode.
func (e *Editor) SetClaim(name string, c placement.Claim) {
	t := e.lockTables()
	at := t.locks.edit(e.gen, name).claims.edit(e.gen, c.Token)
	t.digest += claimDigest(name, &c) - claimDigest(name, at)
	*at = c
}

// RemoveClaim takes a claim away, which must be there. A lock without claims is gone.
func (e *Editor) RemoveClaim(name string, token placement.Epoch) {
	t := e.lockTables()
	l := t.locks.edit(e.gen, name)
	c := *l.claims.get(token)
	t.digest -= claimDigest(name, &c) + lockDigest(name, l)
	t.claims--
	l.claims.remove(e.gen, token)
	if token <= l.granted {
		l.held--
	}
	if l.claims.count == 0 {
		t.locks.remove(e.gen, name)
	} else {
		t.digest += lockDigest(name, l)
	}
	if t.sessions.get(c.Session) == nil {
		return // a lost claim outlived its session
	}
	t.sessions.edit(e.gen, c.Session).claims.remove(e.gen, name)
	t.digest -= linkDigest(c.Session, name, token)
}

// setGranted says which claims hold a lock, as a file has it.
func (e *Editor) setGranted(name string, token placement.Epoch, held int) {
	t := e.lockTables()
	l := t.locks.edit(e.gen, name)
	t.digest -= lockDigest(name, l)
	l.granted, l.held = token, held
	t.digest += lockDigest(name, l)
}

func lockDigest(name string, l *lockRecord) uint64 {
	return foldText(fold(fold(fold(3, uint64(l.permits)), uint64(l.held)), uint64(l.granted)), name)
}

func claimDigest(name string, c *placement.Claim) uint64 {
	x := fold(fold(4, uint64(c.Token)), uint64(c.Session))
	x = fold(fold(x, uint64(c.Mode)|uint64(c.Lost)<<8), uint64(c.Delay))
	return foldText(fold(x, uint64(c.Patience)), name)
}

// foldLocks mixes sessions and locks into a digest; a view without any leaves it as it is. sum is that of their shares.
func (v *View) foldLocks(x, sum uint64) uint64 {
	t := &v.tables
	if v.Cluster.MaxSessionTTL != 0 {
		x = fold(x, v.Cluster.MaxSessionTTL)
	}
	if t.sessions.count|t.locks.count == 0 {
		return x
	}
	x = fold(fold(x, uint64(t.sessions.count)), uint64(t.locks.count))
	return fold(fold(x, uint64(t.claims)), sum)
}

// sumLocks computes the sum of the shares anew, from both sides: what the locks know of their claims, and what the
// sessions know.
func (v *View) sumLocks() (sum uint64) {
	for _, s := range v.tables.sessions.from(0) {
		sum += sessionDigest(&s.Session)
		for name, token := range s.claims.from("") {
			sum += linkDigest(s.ID, name, *token)
		}
	}
	for name, l := range v.tables.locks.from("") {
		anew := lockRecord{permits: l.permits, granted: l.granted}
		for token, c := range l.claims.from(0) {
			sum += claimDigest(name, c)
			if token <= l.granted {
				anew.held++
			}
		}
		sum += lockDigest(name, &anew)
	}
	return sum
}
