package placement

import (
	"fmt"
	"time"
)

// Limits of locks.
const (
	// LockNameBytesMax is the length of the longest name of a lock, in bytes: that of a key.
	LockNameBytesMax = KeyBytesMax
	// PermitsMax is the number of permits of the largest semaphore.
	PermitsMax = 1 << 15
	// LockDelayMax is the longest lock-delay.
	LockDelayMax = 5 * time.Minute
	// LockPatienceMax is how long a claim may wait at most when nobody asks for it any more.
	LockPatienceMax = 5 * time.Minute
)

// LockMode says how a claim shares its lock. The numbers are part of the log and of snapshots: a mode is never renumbered.
type LockMode uint8

// The modes of a claim.
const (
	// LockExclusive shares with nobody.
	LockExclusive LockMode = 1
	// LockShared shares with other claims that are shared.
	LockShared LockMode = 2
	// LockPermit takes one of the permits of a semaphore.
	LockPermit LockMode = 3
)

var lockModes = [...]string{"none", "exclusive", "shared", "semaphore"}

// String is the mode's word in lower case.
func (m LockMode) String() string {
	if int(m) < len(lockModes) {
		return lockModes[m]
	}
	return "unknown"
}

// Known says whether the number is that of a mode.
func (m LockMode) Known() bool { return m >= LockExclusive && m <= LockPermit }

// LockLoss says how a claim was lost that still keeps its place. The numbers are part of snapshots: a loss is never
// renumbered.
type LockLoss uint8

// The ways to lose a lock.
const (
	// LockKept: it is not lost.
	LockKept LockLoss = 0
	// LockExpired: its session did not prove its lease.
	LockExpired LockLoss = 1
	// LockBroken: an operator took it away. Its session may still believe that it holds the lock.
	LockBroken LockLoss = 2
)

var lockLosses = [...]string{"kept", "expired", "broken"}

// String is the loss's word in lower case.
func (l LockLoss) String() string {
	if int(l) < len(lockLosses) {
		return lockLosses[l]
	}
	return "unknown"
}

// Claim is one session's part in a lock: it holds the lock, or waits for it.
type Claim struct {
	// Token is the fencing token, and the claim's place in the queue: the epoch of the command that asked for the lock.
	Token Epoch
	// Session is who asked.
	Session SessionID
	// Mode says how it shares the lock.
	Mode LockMode
	// Delay is the lock-delay: how long a lost claim keeps its place after the loss was committed.
	Delay time.Duration
	// Patience is how long the claim may go on waiting when nobody asks for it any more. Zero: as long as its session lasts.
	Patience time.Duration
	// Lost says how a claim was lost that keeps its place until its Delay is over.
	Lost LockLoss
}

// Validate reports the first rule that the claim breaks, as a *LockError; nil when it breaks none. permits is the size of
// the semaphore. It does not look at Token, Session and Lost.
func (c *Claim) Validate(permits uint32) error {
	switch {
	case !c.Mode.Known():
		return &LockError{"mode", "exclusive, shared and semaphore are allowed"}
	case c.Mode == LockPermit && (permits == 0 || permits > PermitsMax):
		return &LockError{"permits", fmt.Sprintf("%d: a semaphore has 1 to %d", permits, PermitsMax)}
	case c.Mode != LockPermit && permits != 0:
		return &LockError{"permits", "only a semaphore has permits"}
	case c.Delay < 0 || c.Delay > LockDelayMax:
		return &LockError{"delay", fmt.Sprintf("%v: 0 to %v is allowed", c.Delay, LockDelayMax)}
	case c.Patience < 0 || c.Patience > LockPatienceMax:
		return &LockError{"patience", fmt.Sprintf("%v: 0 to %v is allowed", c.Patience, LockPatienceMax)}
	}
	return nil
}

// Lose is what becomes of a claim that holds its lock when it is lost uncleanly. keeps says that the claim keeps its place
// until its delay is over; otherwise it is gone at once. ttl is that of its session.
//
// A session that expired cannot believe any more that it holds anything, so its claim keeps its place for the lock-delay
// that it asked for, and no longer. Where a lock is broken, the session lives on and believes what it was told last: the
// claim keeps its place at least until every lease that was granted before is over.
func (c Claim) Lose(how LockLoss, ttl time.Duration) (next Claim, keeps bool) {
	if c.Lost != LockKept {
		return c, true
	}
	if how == LockBroken {
		c.Delay = max(c.Delay, ttl)
	}
	c.Lost = how
	return c, c.Delay > 0
}

// LockUse is what decides whether a claim is let in: how a lock is held, and whether others wait for it. The zero value is
// that of a lock that nobody has to do with.
//
// The claims of a lock are ordered by their tokens. Those that hold it are always the first of that order, and the next
// one to hold it is the first that waits: nobody overtakes.
type LockUse struct {
	// Mode is that of the oldest claim that there is, and Permits the size of the semaphore.
	Mode    LockMode
	Permits uint32
	// Held and Waiting count the claims that hold the lock, lost ones that keep their place included, and those that wait.
	Held, Waiting int
}

// Fits says whether a claim of the mode can have to do with the lock at all: a semaphore is no lock of another kind or size.
func (u *LockUse) Fits(mode LockMode, permits uint32) bool {
	if u.Held+u.Waiting == 0 {
		return true
	}
	return (u.Mode == LockPermit) == (mode == LockPermit) && u.Permits == permits
}

// Admits says whether the first claim that waits, of the given mode, may hold the lock now. The claim must fit.
func (u *LockUse) Admits(mode LockMode) bool {
	if u.Held == 0 {
		return true
	}
	switch mode {
	case LockShared:
		return u.Mode == LockShared
	case LockPermit:
		return u.Held < int(u.Permits)
	}
	return false
}

// AdmitsAtOnce says whether a claim that does not wait for anybody may hold the lock now.
func (u *LockUse) AdmitsAtOnce(mode LockMode) bool { return u.Waiting == 0 && u.Admits(mode) }

// ValidateLockName reports the rule that the name of a lock breaks, as a *LockError; nil when it breaks none. The rules
// are those of a key: 1 to LockNameBytesMax bytes of UTF-8 without control characters; it may contain slashes.
func ValidateLockName(name string) error {
	if rule := textRule("the name", name, LockNameBytesMax); rule != "" {
		return &LockError{"name", rule}
	}
	return nil
}
