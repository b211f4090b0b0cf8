package snapshot

import (
	"iter"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
)

// LockChangeType says how two views differ in who holds a lock.
type LockChangeType uint8

// The types of changes of locks.
const (
	// LockGranted: nobody held it, and now somebody does.
	LockGranted LockChangeType = iota + 1
	// LockReleased: somebody held it, and nobody does now.
	LockReleased
	// LockMoved: others hold it, or the same under other tokens.
	LockMoved
)

// String is the type's name, in small letters.
func (t LockChangeType) String() string {
	switch t {
	case LockGranted:
		return "granted"
	case LockReleased:
		return "released"
	case LockMoved:
		return "moved"
	}
	return "unknown"
}

// LockChange is the difference between two views in one lock.
type LockChange struct {
	Type LockChangeType
	// From and To are what the views say. A lock that is not in a view has its name there, and no claims.
	From, To Lock
}

// Holders yields the claims that hold the lock and are not lost, in their order.
func (l Lock) Holders() iter.Seq[placement.Claim] {
	return func(yield func(placement.Claim) bool) {
		for c, held := range l.Claims() {
			if !held || c.Lost == placement.LockKept && !yield(c) {
				return
			}
		}
	}
}

// DiffLocks returns the locks whose holders differ between two views, ascending by name. Who waits does not count. It
// costs a pass over the locks of both.
func DiffLocks(from, to *View) iter.Seq[LockChange] {
	return func(yield func(LockChange) bool) {
		next, stop := iter.Pull(to.Locks(""))
		defer stop()
		b, more := next()
		for a := range from.Locks("") {
			for ; more && b.Name < a.Name; b, more = next() {
				if !yieldLock(yield, Lock{Name: b.Name}, b) {
					return
				}
			}
			other := Lock{Name: a.Name}
			if more && b.Name == a.Name {
				other = b
				b, more = next()
			}
			if !yieldLock(yield, a, other) {
				return
			}
		}
		for ; more; b, more = next() {
			if !yieldLock(yield, Lock{Name: b.Name}, b) {
				return
			}
		}
	}
}

// yieldLock yields the change of one lock, when there is one. It says whether more are wanted.
func yieldLock(yield func(LockChange) bool, from, to Lock) bool {
	a, b := slices.Collect(from.Holders()), slices.Collect(to.Holders())
	same := func(x, y placement.Claim) bool { return x.Token == y.Token }
	switch {
	case slices.EqualFunc(a, b, same):
		return true
	case len(a) == 0:
		return yield(LockChange{LockGranted, from, to})
	case len(b) == 0:
		return yield(LockChange{LockReleased, from, to})
	}
	return yield(LockChange{LockMoved, from, to})
}
