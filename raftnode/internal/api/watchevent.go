package api

import (
	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/snapshot"
)

// watchTypes gives the API's type of those that are always the same.
var watchTypes = map[events.Type]apiv1.Event_Type{
	events.Settled: apiv1.Event_SETTLED, events.Failed: apiv1.Event_FAILED, events.Stopping: apiv1.Event_STOPPING,
	events.MemberJoined: apiv1.Event_MEMBER_JOINED, events.SessionOpened: apiv1.Event_SESSION_OPENED, events.SessionEnded: apiv1.Event_SESSION_ENDED,
	events.LockQueued: apiv1.Event_LOCK_QUEUED, events.LockGranted: apiv1.Event_LOCK_GRANTED, events.LockReleased: apiv1.Event_LOCK_RELEASED,
	events.LockLost: apiv1.Event_LOCK_LOST, events.KindChanged: apiv1.Event_KIND_CHANGED, events.BlockAdded: apiv1.Event_BLOCK_ADDED,
	events.BlockRemoved: apiv1.Event_BLOCK_REMOVED, events.RetryThrottled: apiv1.Event_RETRY_THROTTLED, events.LeaderChanged: apiv1.Event_LEADER_CHANGED,
}

// memberTypes gives the type of an event by the state that a member has then.
var memberTypes = map[placement.MemberState]apiv1.Event_Type{
	placement.MemberLive: apiv1.Event_MEMBER_LIVE, placement.MemberDraining: apiv1.Event_MEMBER_DRAINING, placement.MemberBlocked: apiv1.Event_MEMBER_BLOCKED,
	placement.MemberSuperseded: apiv1.Event_MEMBER_SUPERSEDED, placement.MemberLeft: apiv1.Event_MEMBER_LEFT, placement.MemberExpired: apiv1.Event_MEMBER_EXPIRED,
	placement.MemberBarred: apiv1.Event_MEMBER_BLOCKED,
}

// watchTypesOf are the types of the events that a watcher gets of one: none, one, or two.
func watchTypesOf(e *events.Event) (first, second apiv1.Event_Type) {
	switch e.Type {
	case events.Placed:
		if first = apiv1.Event_PLACED; e.Reason == placement.ReasonMoved {
			first = apiv1.Event_MOVED
		}
		if e.Now == placement.Settled {
			second = apiv1.Event_SETTLED
		}
		return first, second
	case events.Removed:
		if e.Was == placement.Settled {
			return apiv1.Event_UNSETTLED, 0
		}
		return apiv1.Event_REMOVED, 0
	case events.MemberChanged, events.MemberEnded:
		return memberTypes[e.Detail.Member.State], 0
	}
	return watchTypes[e.Type], 0
}

// subject is the identity and the member that an event is about; empty for none.
func subject(e *events.Event) (placement.Identity, placement.MemberID) {
	if e.Type == events.BlockAdded || e.Type == events.BlockRemoved {
		return e.Detail.Block.Identity, e.Detail.Block.Member
	}
	return e.Identity, e.Member
}

// watchMessage is the event of a type that a watcher gets of one.
func watchMessage(e *events.Event, t apiv1.Event_Type) *apiv1.Event {
	out := &apiv1.Event{
		Index: e.Index, Time: timeMessage(e.Time), Type: t, Kind: e.Identity.Kind, Key: e.Identity.Key,
		Member: string(e.Member), Incarnation: uint64(e.Incarnation), Epoch: uint64(e.Epoch), Cause: e.Cause.String(),
	}
	if e.Request != (snapshot.RequestID{}) {
		out.RequestId = ulid.ULID(e.Request).String()
	}
	switch t {
	case apiv1.Event_PLACED, apiv1.Event_MOVED:
		out.Reason = e.Reason.String()
	case apiv1.Event_FAILED:
		out.Failure = e.Failure.String()
	case apiv1.Event_MEMBER_JOINED:
		out.Joined = memberMessage(e.Detail.Member, snapshot.Load{})
	case apiv1.Event_MEMBER_LEFT, apiv1.Event_MEMBER_EXPIRED:
		out.Placements = e.Detail.Owned
	case apiv1.Event_SESSION_OPENED, apiv1.Event_SESSION_ENDED:
		out.Session = uint64(e.Detail.Session)
	case apiv1.Event_BLOCK_ADDED, apiv1.Event_BLOCK_REMOVED:
		b := e.Detail.Block
		out.Kind, out.Key, out.Member, out.Reason = b.Identity.Kind, b.Identity.Key, string(b.Member), b.Reason
		out.Placements, out.Block = b.Placements, blockMessage(&b.Block)
	case apiv1.Event_RETRY_THROTTLED:
		b := e.Detail.Block
		out.Reason, out.Failure, out.Crashes, out.Until = b.Reason, e.Failure.String(), b.Crashes, blockMessage(&b.Block).Until
	case apiv1.Event_LEADER_CHANGED:
		out.Server, out.Term = e.Detail.Server, e.Detail.Term
	case apiv1.Event_LOCK_QUEUED, apiv1.Event_LOCK_GRANTED, apiv1.Event_LOCK_RELEASED, apiv1.Event_LOCK_LOST:
		l := e.Detail.Lock
		out.Session, out.Lock, out.Epoch, out.Mode = uint64(l.Claim.Session), l.Name, uint64(l.Claim.Token), apiv1.LockMode_Name(l.Claim.Mode)
		if l.Claim.Lost != placement.LockKept {
			out.Reason = l.Claim.Lost.String()
		}
	}
	return out
}

// endOfPlacement is the event of what a member owned when it ended.
func endOfPlacement(end *events.Event, id placement.Identity, owned placement.Entry) *events.Event {
	e := *end
	e.Type, e.Identity, e.Epoch, e.Was, e.Detail = events.Removed, id, owned.Epoch, owned.Phase, nil
	return &e
}

// completedMessage says that what was unsettled is removed for everybody.
func completedMessage(unsettled, completed *events.Event) *apiv1.Event {
	out := watchMessage(unsettled, apiv1.Event_REMOVED)
	out.Index, out.Time, out.UnsettledIndex = completed.Index, timeMessage(completed.Time), unsettled.Index
	return out
}
