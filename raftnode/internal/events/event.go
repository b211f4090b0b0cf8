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
	// MemberEnded: the member is no longer alive. All that it owned was removed by that, and has no events of its own.
	MemberEnded
)

var types = [...]string{"unknown", "placed", "settled", "failed", "stopping", "removed", "member ended"}

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
	// Failure says why, in Failed.
	Failure placement.Failure
	// Reason says how the member was chosen, in Placed.
	Reason placement.Reason
	// Identity is what it happened to; empty in MemberEnded.
	Identity placement.Identity
	// Member owns it, or owned it until now, in this life, under this epoch.
	Member      placement.MemberID
	Incarnation placement.Incarnation
	Epoch       placement.Epoch
}

// of gives what happened in a change: nothing, one event, or two.
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
	switch {
	case c.Type == fsm.MemberEnded:
		add(MemberEnded, c.Member, 0)
		return list, n
	case c.Type != fsm.PlacementChanged:
		return list, 0
	}
	before, after := &c.Before, &c.Entry
	if before.Owner != 0 && before.Epoch != after.Epoch {
		ended := Removed
		if c.Cause == fsm.CauseFail {
			ended = Failed
		}
		e := add(ended, c.Former, before.Epoch)
		if c.Failed != nil {
			e.Failure = *c.Failed
		}
	}
	switch {
	case after.Owner == 0:
	case before.Epoch != after.Epoch:
		add(Placed, c.Member, after.Epoch).Reason = after.Reason
	case before.Phase != after.Phase:
		add(Settled, c.Member, after.Epoch)
	case after.Draining && !before.Draining:
		add(Stopping, c.Member, after.Epoch)
	}
	return list, n
}
