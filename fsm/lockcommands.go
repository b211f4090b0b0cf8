package fsm

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed13d31b7f/berth/placement"
)

// The commands about sessions and locks, and their wire form.

// OpenSession opens a session, whose number is the epoch of the command.
//
// Verdicts: Done with Result.Session, LimitReached.
type OpenSession struct {
	// Session is the description. ID is not looked at.
	Session placement.Session
}

// CloseSession ends a session whose holder says itself that it stopped everything that its locks protect: they are free at
// once.
//
// Verdicts: Done, SessionGone.
type CloseSession struct{ Session placement.SessionID }

// ExpireSession ends a session that did not prove its lease. The leader decides it by the rules of package lease. Locks that
// it held keep their places for their lock-delay.
//
// Verdicts: Done, SessionGone.
type ExpireSession struct{ Session placement.SessionID }

// AcquireLock claims a lock for a session. The claim's token is the epoch of the command; it holds the lock at once, or
// waits for it behind all others. A session has one claim to a lock: asking again gives the one that it has.
//
// Verdicts: Done with Result.Token, and Result.Queued when it waits; Already with those of the claim that there is;
// LockHeld, SessionGone, LockMismatch, LockLost, LimitReached.
type AcquireLock struct {
	Name    string
	Session placement.SessionID
	Mode    placement.LockMode
	// Permits is the size of the semaphore, when Mode is LockPermit. All claims to it say the same.
	Permits uint32
	// Wait says that the claim waits when the lock is not free. Otherwise the command changes nothing then.
	Wait bool
	// Delay and Patience are those of placement.Claim.
	Delay, Patience time.Duration
}

// ReleaseLock gives a claim up, whether it holds the lock, waits for it or was broken. A Token of zero means whatever the
// session has. With WaitingAlone it gives up only a claim that waits.
//
// Verdicts: Done, LockNotFound, NotHolder, LockGranted when it holds the lock and WaitingAlone is set.
type ReleaseLock struct {
	Name         string
	Session      placement.SessionID
	Token        placement.Epoch
	WaitingAlone bool
}

// BreakLock takes a lock away from a session that holds it, or a claim out of the queue. A Token of zero means all claims
// that hold it. What was held keeps its place until the session has given it up, or every lease that it may rely on is over.
//
// Verdicts: Done, Already when it was lost before, LockNotFound, NotHolder.
type BreakLock struct {
	Name  string
	Token placement.Epoch
}

// EndLockDelay ends a claim that was lost and keeps its place. The leader proposes it when the claim's delay is over.
//
// Verdicts: Done, LockNotFound, NotHolder, LockGranted when the claim is not lost.
type EndLockDelay struct {
	Name  string
	Token placement.Epoch
}

// Validate reports what is wrong with the session's description.
func (c *OpenSession) Validate() error { return c.Session.Validate() }

func validateSession(id placement.SessionID) error {
	if id == 0 {
		return errors.New("the session is zero")
	}
	return nil
}

// Validate wants a session.
func (c *CloseSession) Validate() error { return validateSession(c.Session) }

// Validate wants a session.
func (c *ExpireSession) Validate() error { return validateSession(c.Session) }

// Validate wants a valid name, a session, and a claim that is valid.
func (c *AcquireLock) Validate() error {
	if err := placement.ValidateLockName(c.Name); err != nil {
		return err
	}
	claim := placement.Claim{Mode: c.Mode, Delay: c.Delay, Patience: c.Patience}
	if err := claim.Validate(c.Permits); err != nil {
		return err
	}
	return validateSession(c.Session)
}

// Validate wants a valid name and a session.
func (c *ReleaseLock) Validate() error {
	if err := placement.ValidateLockName(c.Name); err != nil {
		return err
	}
	return validateSession(c.Session)
}

// Validate wants a valid name.
func (c *BreakLock) Validate() error { return placement.ValidateLockName(c.Name) }

// Validate wants a valid name and a token.
func (c *EndLockDelay) Validate() error {
	if c.Token == 0 {
		return errors.New("the token is zero")
	}
	return placement.ValidateLockName(c.Name)
}

func (*OpenSession) op() op   { return opOpenSession }
func (*CloseSession) op() op  { return opCloseSession }
func (*ExpireSession) op() op { return opExpireSession }
func (*AcquireLock) op() op   { return opAcquireLock }
func (*ReleaseLock) op() op   { return opReleaseLock }
func (*BreakLock) op() op     { return opBreakLock }
func (*EndLockDelay) op() op  { return opEndLockDelay }

func (c *OpenSession) append(b []byte) []byte {
	b = appendText(appendUint(b, 1, uint64(c.Session.TTL)), 2, c.Session.Holder)
	return appendText(b, 3, c.Session.Owner)
}

func (c *CloseSession) append(b []byte) []byte  { return appendFixed(b, 1, uint64(c.Session)) }
func (c *ExpireSession) append(b []byte) []byte { return appendFixed(b, 1, uint64(c.Session)) }

func (c *AcquireLock) append(b []byte) []byte {
	b = appendFixed(appendText(b, 1, c.Name), 2, uint64(c.Session))
	b = appendUint(appendUint(b, 3, uint64(c.Mode)), 4, uint64(c.Permits))
	b = appendBool(b, 5, c.Wait)
	return appendUint(appendUint(b, 6, uint64(c.Delay)), 7, uint64(c.Patience))
}

func (c *ReleaseLock) append(b []byte) []byte {
	b = appendFixed(appendText(b, 1, c.Name), 2, uint64(c.Session))
	return appendBool(appendFixed(b, 3, uint64(c.Token)), 4, c.WaitingAlone)
}

func (c *BreakLock) append(b []byte) []byte {
	return appendFixed(appendText(b, 1, c.Name), 2, uint64(c.Token))
}

func (c *EndLockDelay) append(b []byte) []byte {
	return appendFixed(appendText(b, 1, c.Name), 2, uint64(c.Token))
}

// duration reads nanoseconds; what is too long for any rule stays so.
func (f *field) duration() time.Duration { return time.Duration(min(f.value, 1<<63-1)) }

func decodeOpenSession(b []byte) (c OpenSession, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.VarintType):
			c.Session.TTL = f.duration()
		case f.is(2, protowire.BytesType):
			c.Session.Holder = string(f.bytes)
		case f.is(3, protowire.BytesType):
			c.Session.Owner = string(f.bytes)
		default:
			return f.unknown("an OpenSession")
		}
		return nil
	})
	return c, err
}

// decodeSession reads the bodies of CloseSession and ExpireSession.
func decodeSession(b []byte) (id placement.SessionID, err error) {
	err = fields(b, func(f *field) error {
		if !f.is(1, protowire.Fixed64Type) {
			return f.unknown("a command about a session")
		}
		id = placement.SessionID(f.value)
		return nil
	})
	return id, err
}

// decodeAcquireLock reads the body of AcquireLock. Its name points into the entry.
func decodeAcquireLock(b []byte) (c AcquireLock, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			c.Name = f.text()
		case f.is(2, protowire.Fixed64Type):
			c.Session = placement.SessionID(f.value)
		case f.is(3, protowire.VarintType):
			c.Mode = placement.LockMode(min(f.value, 255)) // no mode, so it is refused
		case f.is(4, protowire.VarintType):
			c.Permits = uint32(min(f.value, 1<<32-1))
		case f.is(5, protowire.VarintType):
			c.Wait = f.value != 0
		case f.is(6, protowire.VarintType):
			c.Delay = f.duration()
		case f.is(7, protowire.VarintType):
			c.Patience = f.duration()
		default:
			return f.unknown("an AcquireLock")
		}
		return nil
	})
	return c, err
}

// decodeReleaseLock reads the body of ReleaseLock. Its name points into the entry.
func decodeReleaseLock(b []byte) (c ReleaseLock, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			c.Name = f.text()
		case f.is(2, protowire.Fixed64Type):
			c.Session = placement.SessionID(f.value)
		case f.is(3, protowire.Fixed64Type):
			c.Token = placement.Epoch(f.value)
		case f.is(4, protowire.VarintType):
			c.WaitingAlone = f.value != 0
		default:
			return f.unknown("a ReleaseLock")
		}
		return nil
	})
	return c, err
}

// decodeLockToken reads the bodies of BreakLock and EndLockDelay. The name points into the entry.
func decodeLockToken(b []byte) (name string, token placement.Epoch, err error) {
	err = fields(b, func(f *field) error {
		switch {
		case f.is(1, protowire.BytesType):
			name = f.text()
		case f.is(2, protowire.Fixed64Type):
			token = placement.Epoch(f.value)
		default:
			return f.unknown("a command about a lock")
		}
		return nil
	})
	return name, token, err
}
