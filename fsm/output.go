package fsm

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Output is what one log entry did.
type Output struct {
	// Index and Term are the entry's position in the log.
	Index, Term uint64
	// Time is the replicated clock after the entry, in milliseconds since 1970.
	Time uint64
	// Barrier is the barrier after the entry.
	Barrier uint64
	// Started says that the entry was a Start: the tenure of Term begins, which is that of Server.
	Started bool
	// FormerReadLease is, of a Start, the longest read lease that any leader announced before it, in nanoseconds.
	FormerReadLease uint64
	Server          string
	// WrongTerm says that the batch was made for another term and did nothing. Results are WrongTerm all.
	WrongTerm bool
	// Results are the answers to the commands, in their order. They belong to the receiver.
	Results []Result
	// Changes are what became different, in the order in which it did. They belong to the receiver, who
	// may give them back (Machine.Reuse). They are made only when Machine.Observed was set.
	Changes []Change
}

// Result is the answer to one command.
type Result struct {
	// Verdict says whether the state is as asked.
	Verdict placement.Verdict
	// Entry is the placement after a command about an identity.
	Entry placement.Entry
	// Owner is the member that owns the entry, nil when nobody does, and nil for a remembered answer whose owner is
	// gone. It must not be changed.
	Owner *placement.Member
	// Incarnation is what a Join made.
	Incarnation placement.Incarnation
	// Session is what an OpenSession made.
	Session placement.SessionID
	// Token is that of the claim that a command about a lock is about, and Queued says that an AcquireLock waits. A
	// remembered answer says what was so then: the claim may hold the lock by now, or be gone.
	Token  placement.Epoch
	Queued bool
	// Index is the log index at which the command was carried out: the entry's own, or an earlier one when
	// Remembered is set.
	Index uint64
	// Remembered says that the request had been carried out before, and that this is the answer of then.
	Remembered bool
}

// ChangeType says what became different.
type ChangeType uint8

// The types of changes.
const (
	// PlacementChanged: Identity has Entry now.
	PlacementChanged ChangeType = iota + 1
	// MemberJoined: Member is a new incarnation.
	MemberJoined
	// MemberChanged: Member drains or is blocked, or is so no longer, or is superseded.
	MemberChanged
	// MemberEnded: Member is no longer alive, and all that it owned counts as removed at this index.
	MemberEnded
	// RemovalsCompleted: the barrier passed removals, which are complete from now on: those up to the view's barrier.
	RemovalsCompleted

	// SessionOpened: Session is open.
	SessionOpened
	// SessionEnded: Session is closed or expired. What became of its locks stands before this change.
	SessionEnded
	// LockQueued: the claim waits for the lock.
	LockQueued
	// LockGranted: the claim holds the lock.
	LockGranted
	// LockReleased: the claim is gone. It was given up, or its lock-delay is over.
	LockReleased
	// LockLost: the claim was taken from its session. When it held the lock and has a delay, it keeps its place: Claim.Lost
	// says so. Otherwise it is gone.
	LockLost

	// KindChanged: the kind of Identity has other settings, or is known from now on since they were set.
	KindChanged
	// BlockAdded: Block is in the block list, or the list says something else of it.
	BlockAdded
	// BlockRemoved: Block is in the block list no longer. NoCause says that its time was over.
	BlockRemoved
	// RetryThrottled: Identity is not placed again until Block ends, since it crashed Block.Crashes times in a row. The BlockAdded
	// of that block stands right before it, and the PlacementChanged that ended what crashed before that.
	RetryThrottled
)

// Change is one thing that became different.
type Change struct {
	Type ChangeType
	// Cause is the command that made it; NoCause for RemovalsCompleted. Position is the command's place in its entry, and
	// Request the one that it belongs to, zero for none.
	Cause    Cause
	Position int
	Request  snapshot.RequestID
	// Identity and Entry are set for PlacementChanged. Before is the entry that everybody had to see until now. KindChanged
	// sets the kind of Identity alone. RetryThrottled sets Identity, and Before to the entry that crashed.
	Identity      placement.Identity
	Before, Entry placement.Entry
	// Cut is the Pending entry that ended with its owner, Former, earlier in the same log entry, when the change gives the
	// identity another one; nil otherwise. Behind the log entry nothing tells of it any more. It must not be changed.
	Cut *placement.Entry
	// Failed is why the owner of Before did not become the owner for good, when it was a Fail that ended it, or how that one
	// crashed, when its Release said so; nil otherwise. It must not be changed.
	Failed *placement.Failure
	// Member is set for the changes of members, and for PlacementChanged when the entry has an owner. Former is who owned
	// it before, when that was another placement, and of RetryThrottled who owned what crashed. They must not be changed.
	Member, Former *placement.Member
	// Session is set for the changes of sessions and locks, and Lock for those of locks. It must not be changed.
	Session placement.SessionID
	Lock    *LockClaim
	// Block is set for the changes of the block list, and for RetryThrottled. It must not be changed.
	Block *BlockChange
}

// BlockChange is an entry of the block list that came, or went.
type BlockChange struct {
	snapshot.Block
	// Placements is how many are asked back because of a block that came: what the incarnation owns that stands for a
	// member's name, or the identity's placement. A block ends no lock: those hang on sessions, which are not in the list.
	Placements uint32
	// Crashes is how often in a row the identity crashed that is in the list for that; zero for any other block, and for one that
	// went.
	Crashes uint32
}

// LockClaim is a claim and the lock to which it is.
type LockClaim struct {
	Name  string
	Claim placement.Claim
}
