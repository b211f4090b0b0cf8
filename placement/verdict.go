package placement

// Verdict is the answer of a decision. Anything but Done and Already means that nothing changed.
//
// The numbers are part of snapshots, which remember the answers that were given: a verdict is never renumbered.
type Verdict uint8

// The closed set of verdicts.
const (
	// Done: the state changed as asked.
	Done Verdict = 1
	// Already: the state is as asked, and was before; nothing changed.
	Already Verdict = 2
	// Unsettled: a removal is not yet visible to everybody. Ask again when the barrier has passed it.
	Unsettled Verdict = 3
	// NotPlaced: the identity has no placement.
	NotPlaced Verdict = 4
	// EpochMismatch: the identity is placed under another epoch than the one named; the asker is fenced.
	EpochMismatch Verdict = 5
	// NoEligibleMember: no member may host the identity.
	NoEligibleMember Verdict = 6
	// MemberGone: the incarnation named is not alive, or never was.
	MemberGone Verdict = 7
	// NotOwner: the incarnation named does not own the placement.
	NotOwner Verdict = 8
	// WrongTerm: the log entry was made for another tenure than the one it was committed in, and did nothing.
	WrongTerm Verdict = 9
	// Forgotten: the request is older than the results that are remembered, so nobody can say whether it was
	// carried out before. It was not carried out now.
	Forgotten Verdict = 10
	// LimitReached: a table of the state machine is full.
	LimitReached Verdict = 11
	// ServerMismatch: a server of that name is registered with another disk, or was removed.
	ServerMismatch Verdict = 12
	// Invalid: the command breaks a rule that is checked before a command is proposed.
	Invalid Verdict = 13
	// RequestReused: the request's identifier was used before, for something else.
	RequestReused Verdict = 14
	// UnknownStrategy: not every server has a strategy of that name.
	UnknownStrategy Verdict = 15

	// Blocked: the identity is on the block list, so it gets no owner.
	Blocked Verdict = 20
	// NotBlocked: the member or identity is not on the block list.
	NotBlocked Verdict = 21
	// MemberUnknown: no member of that name is alive.
	MemberUnknown Verdict = 22
	// NotEligible: the member that was named may not be given the identity.
	NotEligible Verdict = 23
	// LevelNotReached: not every server is known to understand that.
	LevelNotReached Verdict = 24
	// Barred: the member is on the block list, so no incarnation of it may join, and one that was blocked gets nothing.
	Barred Verdict = 25

	// LockHeld: others hold the lock, or wait for it, and the asker does not want to wait.
	LockHeld Verdict = 30
	// LockNotFound: nobody holds the lock or waits for it.
	LockNotFound Verdict = 31
	// NotHolder: the session has no claim to the lock, or none under the token that is named.
	NotHolder Verdict = 32
	// SessionGone: the session is not open, or never was.
	SessionGone Verdict = 33
	// LockMismatch: the lock is in use in another way: a semaphore of another size, or none, or by the same session in another
	// mode.
	LockMismatch Verdict = 34
	// LockLost: the session's claim was broken and keeps its place until the session gives it up.
	LockLost Verdict = 35
	// LockGranted: the claim that was to be withdrawn while it waits holds the lock meanwhile.
	LockGranted Verdict = 36
)

var verdicts = [...]string{
	"none", "done", "already", "unsettled", "not placed", "epoch mismatch", "no eligible member",
	"member gone", "not owner", "wrong term", "forgotten", "limit reached", "server mismatch",
	"invalid", "request reused", "unknown strategy",

	LockHeld: "lock held", LockNotFound: "lock not found", NotHolder: "not holder", SessionGone: "session gone",
	LockMismatch: "lock mismatch", LockLost: "lock lost", LockGranted: "lock granted",
	Blocked: "blocked", NotBlocked: "not blocked", MemberUnknown: "member unknown", NotEligible: "not eligible",
	LevelNotReached: "feature level not reached", Barred: "barred",
}

// String is the verdict in words, lower case.
func (v Verdict) String() string {
	if int(v) < len(verdicts) && verdicts[v] != "" {
		return verdicts[v]
	}
	return "unknown"
}

// OK says that the state is as asked.
func (v Verdict) OK() bool { return v == Done || v == Already }
