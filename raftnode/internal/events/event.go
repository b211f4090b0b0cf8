package events

import (
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Type says what happened.
type Type uint8

// The types of events.
const (
	// Placed: the member was chosen as the owner.
	Placed Type = iota + 1
	// Settled: the owner confirmed.
	Settled
	// Failed: the owner that was chosen did not activate it.
	Failed
	// Stopping: the owner was asked to stop and to release it.
	Stopping
	// Removed: the owner, or the one that was chosen, has it no longer.
	Removed
	// MemberEnded: the member is no longer alive. All that it owned was removed by that, and has no events of its own: see
	// Ring.View.
	MemberEnded

	// MemberJoined: a new life of a member begins.
	MemberJoined
	// MemberChanged: the member drains, is blocked or superseded, or is so no longer.
	MemberChanged
	// RemovalsCompleted: nobody can see what was removed in Detail.From and up to Detail.To any more.
	RemovalsCompleted
	// SessionOpened: Detail.Session is open.
	SessionOpened
	// SessionEnded: Detail.Session is closed or expired.
	SessionEnded
	// LockQueued: the claim waits for the lock.
	LockQueued
	// LockGranted: the claim holds the lock.
	LockGranted
	// LockReleased: the claim is gone.
	LockReleased
	// LockLost: the claim was taken from its session.
	LockLost
	// KindChanged: the kind of Identity has other settings.
	KindChanged
	// BlockAdded: Detail.Block is in the block list.
	BlockAdded
	// BlockRemoved: Detail.Block is in the block list no longer.
	BlockRemoved
	// RetryThrottled: Identity is not placed again as long as Detail.Block is in the block list, since what the member owned was a
	// crash too many in a row. It stands right behind the BlockAdded of that block.
	RetryThrottled
	// LeaderChanged: the tenure of Detail.Server begins.
	LeaderChanged
)

var types = [...]string{
	"unknown", "placed", "settled", "failed", "stopping", "removed", "member ended", "member joined", "member changed",
	"removals completed", "session opened", "session ended", "lock queued", "lock granted", "lock released", "lock lost",
	"kind changed", "block added", "block removed", "retry throttled", "leader changed",
}

// String is the type's word in lower case.
func (t Type) String() string {
	if int(t) < len(types) {
		return types[t]
	}
	return types[0]
}

// Event is one thing that happened.
type Event struct {
	// Index is the log entry in which it happened, Position the command's place in it, and Time the leader's clock, in
	// milliseconds since 1970.
	Index    uint64
	Time     uint64
	Position int
	Type     Type
	// Cause is the command that made it happen, and Request the one that it belongs to, zero for none.
	Cause   fsm.Cause
	Request snapshot.RequestID
	// Was is the phase that the placement leaves behind. In Placed, Now is Settled when the kind settles by placing.
	Was, Now placement.Phase
	// Failure says why, in Failed and RetryThrottled.
	Failure placement.Failure
	// Reason says how the member was chosen, in Placed.
	Reason placement.Reason
	// Identity is what it happened to, in the first five types and RetryThrottled; of KindChanged the kind alone.
	Identity placement.Identity
	// Member owns it, or owned it until now, in this life, under this epoch.
	Member      placement.MemberID
	Incarnation placement.Incarnation
	Epoch       placement.Epoch
	// Cut, of Placed, is the end of what another member was chosen for and had not confirmed when it ended, earlier in the same
	// log entry: it is told before the event, since Ring.View does not have it. Nil for none. It is not changed.
	Cut *Event
	// Detail is what there is to know of the types behind Removed; nil for those up to it. It is not changed.
	Detail *Detail
}

// Detail is what an event is about that is not about one placement.
type Detail struct {
	// Member is set for those of members, as it is then. It must not be changed.
	Member *placement.Member
	// Owned is how much a member owned when it ended. What it was is found in the view of that moment: see Ring.View.
	Owned uint32
	// From and To are where removals completed: behind the one, up to the other.
	From, To uint64
	// Session is set for sessions and locks, and Lock for locks. It must not be changed.
	Session placement.SessionID
	Lock    *fsm.LockClaim
	// Block is set for the block list, and for RetryThrottled. It must not be changed.
	Block *fsm.BlockChange
	// Server begins its tenure, of Term.
	Server string
	Term   uint64
}

// detailed are the types of events that a change that is none of a placement makes.
var detailed = map[fsm.ChangeType]Type{
	fsm.MemberJoined: MemberJoined, fsm.MemberChanged: MemberChanged, fsm.MemberEnded: MemberEnded,
	fsm.RemovalsCompleted: RemovalsCompleted, fsm.SessionOpened: SessionOpened, fsm.SessionEnded: SessionEnded,
	fsm.LockQueued: LockQueued, fsm.LockGranted: LockGranted, fsm.LockReleased: LockReleased, fsm.LockLost: LockLost,
	fsm.KindChanged: KindChanged, fsm.BlockAdded: BlockAdded, fsm.BlockRemoved: BlockRemoved, fsm.RetryThrottled: RetryThrottled,
}

// detailOf gives the event of a change that is none of a placement. from is the barrier before it.
func detailOf(out *fsm.Output, c *fsm.Change, from uint64, v *snapshot.View) Event {
	e := Event{
		Index: out.Index, Time: out.Time, Position: c.Position, Type: detailed[c.Type], Cause: c.Cause, Request: c.Request, Identity: c.Identity,
		Detail: &Detail{Member: c.Member, Session: c.Session, Lock: c.Lock, Block: c.Block},
	}
	m := c.Member
	if e.Type == RetryThrottled {
		m, e.Epoch, e.Failure = c.Former, c.Before.Epoch, *c.Failed
	}
	if m != nil {
		e.Member, e.Incarnation = m.ID, m.Incarnation
	}
	switch {
	case e.Type == RemovalsCompleted:
		e.Detail.From, e.Detail.To = from, out.Barrier
	case e.Type == MemberEnded && v != nil && v.Index == out.Index:
		e.Detail.Owned = v.Owned(c.Member.Incarnation)
	}
	return e
}

// cutBy is the end of what a change found of a member that had just ended.
func cutBy(base *Event, c *fsm.Change) *Event {
	e := *base
	e.Type, e.Was, e.Cause, e.Request = Removed, c.Cut.Phase, fsm.CauseExpire, snapshot.RequestID{}
	if c.Former.State == placement.MemberLeft {
		e.Cause = fsm.CauseLeave
	}
	e.Member, e.Incarnation, e.Epoch = c.Former.ID, c.Former.Incarnation, c.Cut.Epoch
	return &e
}

// of gives what happened in a change of a placement: nothing, one event, or two.
func of(out *fsm.Output, c *fsm.Change) (list [2]Event, n int) {
	base := Event{Index: out.Index, Time: out.Time, Position: c.Position, Cause: c.Cause, Request: c.Request, Identity: c.Identity}
	add := func(t Type, m *placement.Member, epoch placement.Epoch) *Event {
		e := &list[n]
		n++
		*e = base
		e.Type, e.Epoch = t, epoch
		if m != nil {
			e.Member, e.Incarnation = m.ID, m.Incarnation
		}
		return e
	}
	before, after := &c.Before, &c.Entry
	if before.Owner != 0 && before.Epoch != after.Epoch {
		ended := Removed
		if c.Cause == fsm.CauseFail {
			ended = Failed
		}
		e := add(ended, c.Former, before.Epoch)
		e.Was = before.Phase
		if c.Failed != nil {
			e.Failure = *c.Failed
		}
	}
	switch {
	case after.Owner == 0:
	case before.Epoch != after.Epoch:
		e := add(Placed, c.Member, after.Epoch)
		e.Reason, e.Now = after.Reason, after.Phase
		if c.Cut != nil {
			e.Cut = cutBy(&base, c)
		}
	case before.Phase != after.Phase:
		add(Settled, c.Member, after.Epoch)
	case after.Draining && !before.Draining:
		add(Stopping, c.Member, after.Epoch)
	}
	return list, n
}
