package fsm

import (
	"errors"
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Limits of what is proposed.
const (
	// CommandBytesMax is the size of the largest encoded command. A member that hosts a thousand kinds of the
	// longest names fits.
	CommandBytesMax = 128 << 10
	// ServerTextBytesMax is the length of the longest text in a server's registration.
	ServerTextBytesMax = 255
)

// ErrCommandTooLarge is returned by Encode for a command over CommandBytesMax.
var ErrCommandTooLarge = errors.New("command is too large")

// Command is one command with what makes its retries safe.
type Command struct {
	// Request names the request, so that a retry is not carried out twice. The zero value is for commands that
	// nobody retries.
	Request snapshot.RequestID
	// RetrySince is zero on the first attempt. On a retry after an unknown outcome it is one more than the newest
	// log index that the client had seen before its first attempt; when results after that index are no longer
	// remembered, the verdict is Forgotten.
	RetrySince uint64
	// Body says what is to be done.
	Body Body
}

// Body is what a command does: one of the types Join, Leave, Expire, Drain, Place, Confirm, Fail, Release, Evict,
// RegisterServer, RemoveServer, SetKind, Block, Unblock, SetFeatureLevel, Move, OpenSession, CloseSession, ExpireSession,
// AcquireLock, ReleaseLock, BreakLock and EndLockDelay.
type Body interface {
	// Validate reports what is wrong with the body, nil when nothing is.
	Validate() error
	op() op
	append(b []byte) []byte
}

// Join makes a new incarnation of a member, whose number is the epoch of the command. An older incarnation of the same
// name that is still alive stays so, with what it owns, and gets nothing new. A member on the block list is refused.
//
// Verdicts: Done with Result.Incarnation, Barred, LimitReached.
type Join struct {
	// Member is the description. Incarnation, State and Ended are not looked at.
	Member placement.Member
}

// Leave ends an incarnation that says itself that it stopped everything.
//
// Verdicts: Done, MemberGone.
type Leave struct{ Incarnation placement.Incarnation }

// Expire ends an incarnation that did not prove its lease. The leader decides it by the rules of package lease.
//
// Verdicts: Done, MemberGone.
type Expire struct{ Incarnation placement.Incarnation }

// Drain keeps new placements away from an incarnation, and says how fast the leader is to ask for what it owns; with Off it
// lets them come again, unless the incarnation is superseded: then it is gone for that purpose. One that was blocked is given
// nothing as it is, and stays so.
//
// Verdicts: Done, Already, MemberGone, Barred.
type Drain struct {
	Incarnation placement.Incarnation
	Off         bool
	// Rate is the most placements a second that it is asked for; zero is no bound. There is none with Off.
	Rate uint32
}

// Place gives an identity an owner, or finds the one that it has. One that is on its way to a member goes there, if that
// member may be given it then.
//
// Verdicts: Done with the new entry, which is Pending, or Settled when its kind settles so; Already with the Pending or
// Settled entry that was there; Unsettled; Blocked; NoEligibleMember.
type Place struct {
	Identity placement.Identity
	// Near says where the request comes from, for strategies that look at it.
	Near placement.Near
}

// Confirm settles what an incarnation was given under an epoch.
//
// Verdicts: Done, Already, Unsettled, NotPlaced, EpochMismatch, NotOwner, Barred.
type Confirm struct {
	Identity    placement.Identity
	Incarnation placement.Incarnation
	Epoch       placement.Epoch
}

// Fail says that the activation of an epoch did not come about. The next candidate is asked under a new epoch, up to the
// number of attempts; then the identity is absent again. Why it failed is in the change that it makes, and in nothing that
// is kept.
//
// Verdicts: Done with the entry that follows, Already when it is settled, Unsettled, NotPlaced, EpochMismatch.
type Fail struct {
	Identity placement.Identity
	Epoch    placement.Epoch
	Failure  placement.Failure
}

// Release ends what its owner stopped. The epoch is never used again, whatever the answer.
//
// Verdicts: Done with the Tombstone, Unsettled, NotPlaced, EpochMismatch, NotOwner.
type Release struct {
	Identity    placement.Identity
	Incarnation placement.Incarnation
	Epoch       placement.Epoch
	// Failure says why, when it ended by a fault; zero when nothing is wrong.
	Failure placement.Failure
}

// Evict asks the owner of an identity to stop and release it. An Epoch of zero means whatever is there.
//
// Verdicts: Done and Already with the entry, Unsettled, NotPlaced, EpochMismatch.
type Evict struct {
	Identity placement.Identity
	Epoch    placement.Epoch
}

// RegisterServer makes a server of the Raft group known, or changes where it is reached. Server.Removed is not looked at.
//
// Verdicts: Done, Already, ServerMismatch, LimitReached.
type RegisterServer struct{ Server snapshot.Server }

// RemoveServer bars a server's name for good, also one that was never registered.
//
// Verdicts: Done, Already, LimitReached.
type RemoveServer struct{ Name string }

// SetKind says how the identities of a kind are placed from now on, and makes the kind known. What is placed stays where
// it is. A setting that is zero stays as it is, unless it is to be unset.
//
// Verdicts: Done, Already, UnknownStrategy, LimitReached.
type SetKind struct {
	Kind     string
	Settings placement.KindSettings
	Unset    KindUnset
}

// KindUnset names settings of a kind that are to be zero. Settings that are given must not be unset.
type KindUnset struct{ Require, MemberCapacity, ConfirmMs bool }

// Validate reports what is wrong with the member's description. It normalizes it first.
func (c *Join) Validate() error {
	c.Member.Normalize()
	return c.Member.Validate()
}

func validateIncarnation(inc placement.Incarnation) error {
	if inc == 0 {
		return errors.New("the incarnation is zero")
	}
	return nil
}

func validateHeld(id placement.Identity, inc placement.Incarnation, e placement.Epoch) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if e == 0 {
		return errors.New("the epoch is zero")
	}
	return validateIncarnation(inc)
}

// Validate wants an incarnation.
func (c *Leave) Validate() error { return validateIncarnation(c.Incarnation) }

// Validate wants an incarnation.
func (c *Expire) Validate() error { return validateIncarnation(c.Incarnation) }

// Validate wants an incarnation, and no rate with Off.
func (c *Drain) Validate() error {
	if c.Off && c.Rate != 0 {
		return errors.New("a rate is given for a member that is not to drain")
	}
	return validateIncarnation(c.Incarnation)
}

// Validate wants a valid identity, and a valid name and label near by.
func (c *Place) Validate() error {
	if err := c.Identity.Validate(); err != nil {
		return err
	}
	return c.Near.Validate()
}

// Validate wants a valid identity, an incarnation and an epoch.
func (c *Confirm) Validate() error { return validateHeld(c.Identity, c.Incarnation, c.Epoch) }

// Validate wants a valid identity, an epoch, a code of the list and a text that placement.ValidateText takes.
func (c *Fail) Validate() error {
	if err := validateHeld(c.Identity, 1, c.Epoch); err != nil {
		return err
	}
	return validateFailure(&c.Failure)
}

// validateFailure wants a code of the list, and a text for people.
func validateFailure(f *placement.Failure) error {
	if !f.Code.Known() {
		return fmt.Errorf("there is no code %d of a failure", f.Code)
	}
	return placement.ValidateText(f.Text, placement.ReasonBytesMax)
}

// Validate wants a valid identity, an incarnation, an epoch, and a failure as Fail does.
func (c *Release) Validate() error {
	if err := validateHeld(c.Identity, c.Incarnation, c.Epoch); err != nil {
		return err
	}
	return validateFailure(&c.Failure)
}

// Validate wants a valid identity.
func (c *Evict) Validate() error { return c.Identity.Validate() }

// Validate wants a name, the identity of a disk, and texts of at most ServerTextBytesMax bytes.
func (c *RegisterServer) Validate() error {
	s := &c.Server
	if err := ValidateServerName(s.Name); err != nil {
		return err
	}
	if s.Incarnation == "" {
		return fmt.Errorf("server %s: the incarnation is empty", s.Name)
	}
	for _, t := range []string{s.Incarnation, s.RaftAddress, s.GRPCAddress, s.HTTPAddress, s.Version} {
		if len(t) > ServerTextBytesMax {
			return fmt.Errorf("server %s: a text of %d bytes, at most %d are allowed", s.Name, len(t), ServerTextBytesMax)
		}
	}
	return nil
}

// Validate wants a valid name.
func (c *RemoveServer) Validate() error { return ValidateServerName(c.Name) }

// Validate wants a valid kind, and valid settings, at least one of them.
func (c *SetKind) Validate() error {
	if err := placement.ValidateKind(c.Kind); err != nil {
		return err
	}
	s := &c.Settings
	if *s == (placement.KindSettings{}) && c.Unset == (KindUnset{}) {
		return errors.New("no setting is given")
	}
	if c.Unset.Require && s.Require != ([placement.RequireMax]placement.Label{}) || c.Unset.MemberCapacity && s.MemberCapacity != 0 ||
		c.Unset.ConfirmMs && s.ConfirmMs != 0 {
		return errors.New("a setting is given and unset")
	}
	return s.Validate()
}

// ValidateServerName reports the rule that a server's name breaks; the rules are those of a member's name.
func ValidateServerName(name string) error {
	var me *placement.MemberError
	if err := placement.MemberID(name).Validate(); errors.As(err, &me) {
		return fmt.Errorf("server %.80q: name: %s", name, me.Rule)
	}
	return nil
}
