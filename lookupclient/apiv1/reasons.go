package apiv1

import "google.golang.org/grpc/codes"

// ErrorDomain is the domain of the google.rpc.ErrorInfo in every error of the API.
const ErrorDomain = "berth"

// Reason says why a call failed. The list is closed: clients may branch on it.
type Reason string

// The reasons.
const (
	ReasonNotPlaced          Reason = "NOT_PLACED"
	ReasonUnsettled          Reason = "UNSETTLED"
	ReasonNoLeader           Reason = "NO_LEADER"
	ReasonNoQuorum           Reason = "NO_QUORUM"
	ReasonUnreachable        Reason = "UNREACHABLE"
	ReasonOverloaded         Reason = "OVERLOADED"
	ReasonOutcomeUnknown     Reason = "OUTCOME_UNKNOWN"
	ReasonEpochMismatch      Reason = "EPOCH_MISMATCH"
	ReasonLockHeld           Reason = "LOCK_HELD"
	ReasonLockLost           Reason = "LOCK_LOST"
	ReasonLockNotFound       Reason = "LOCK_NOT_FOUND"
	ReasonNoEligibleMember   Reason = "NO_ELIGIBLE_MEMBER"
	ReasonIdentityBlocked    Reason = "IDENTITY_BLOCKED"
	ReasonMemberExpired      Reason = "MEMBER_EXPIRED"
	ReasonMemberUnknown      Reason = "MEMBER_UNKNOWN"
	ReasonMemberBlocked      Reason = "MEMBER_BLOCKED"
	ReasonIndexCompacted     Reason = "INDEX_COMPACTED"
	ReasonTooStale           Reason = "TOO_STALE"
	ReasonClusterMismatch    Reason = "CLUSTER_MISMATCH"
	ReasonUnsupportedVersion Reason = "UNSUPPORTED_VERSION"
	ReasonUnauthenticated    Reason = "UNAUTHENTICATED"
	ReasonPermissionDenied   Reason = "PERMISSION_DENIED"
	ReasonInvalidArgument    Reason = "INVALID_ARGUMENT"
	ReasonCorrupt            Reason = "CORRUPT"
	ReasonInternal           Reason = "INTERNAL"
)

// ReasonInfo is what there is to know of a reason.
type ReasonInfo struct {
	Reason Reason
	// Code is the gRPC code that it comes with.
	Code codes.Code
	// Retry says that the same call may succeed later without anything else being done. A change whose outcome is
	// unknown may be asked for again with the same request id.
	Retry bool
	// Meaning, Check and Fix are sentences for people: what happened, where to look, what to do.
	Meaning, Check, Fix string
}

var reasons = []ReasonInfo{
	{ReasonNotPlaced, codes.NotFound, false,
		"Nobody owns the identity. The answer is linearizable: at a moment during the call there was no placement.",
		"berth list --kind KIND: is the identity spelled as it was placed?",
		"berth place KIND/KEY gives it an owner."},
	{ReasonUnsettled, codes.Unavailable, true,
		"The identity has no settled owner at the moment: the one that was chosen has not confirmed yet, or a removal is not yet visible everywhere. berth never guesses.",
		"The error names the member that is waited for. berth member list: is it live?",
		"Ask again in a moment. A member that does not confirm in time is passed over for the next candidate."},
	{ReasonNoLeader, codes.Unavailable, true,
		"The servers have no leader at the moment, or this one does not know it: an election is running. Nothing was changed.",
		"berth status shows the servers and who leads.",
		"Ask again: an election takes about a second. If it lasts, see NO_QUORUM."},
	{ReasonNoQuorum, codes.Unavailable, true,
		"A majority of the voting servers cannot be reached, so nothing can be decided. Nothing was changed.",
		"berth status on each server; the network between the servers on their Raft ports.",
		"Bring one server back, with the command line that it always had. Its disk is lost? Start a new server under a new name and remove the old one with berth server remove."},
	{ReasonUnreachable, codes.Unavailable, true,
		"No server could be reached at the addresses that were tried. Nothing was changed.",
		"The error names each address and what happened there. Is it the gRPC port? Is a server running?",
		"berth dev starts a local cluster; --server, or BERTH_SERVER, names the servers of another one."},
	{ReasonOverloaded, codes.ResourceExhausted, true,
		"The leader has more waiting than it takes, and refused the call before it did anything.",
		"berth status; the metric berth_proposals_waiting.",
		"Ask again after a pause, with fewer calls at once. Many identities go into one BatchPlace."},
	{ReasonOutcomeUnknown, codes.Unknown, true,
		"The change was proposed and its answer did not come: it may have happened, or may yet. A connection or a leader was lost at the wrong moment.",
		"berth lookup KIND/KEY shows what is so now.",
		"Ask for the same change again with the same request id: it is carried out once at most. The command line does so by itself."},
	{ReasonEpochMismatch, codes.Aborted, false,
		"The identity is placed under another epoch than the one that was named: whoever asked has been fenced off.",
		"The error carries the epoch and the member of now.",
		"Stop acting on the old epoch. Look the identity up again."},
	{ReasonLockHeld, codes.FailedPrecondition, true,
		"The lock is not free: somebody holds it, or waits for it, or it keeps its lock-delay; or it is in use in another way, as a semaphore of another size.",
		"The error names the holder, its session and how long its lease lasts. berth lock get NAME shows all, and who waits.",
		"Wait for it, with a deadline: who asks first gets it first. A holder that hangs is relieved of it by berth lock break NAME."},
	{ReasonLockLost, codes.Aborted, false,
		"The lock is not held any more, or never was: its session is over, since it did not prove its lease in time or was closed, or somebody broke the lock. Somebody else may hold it.",
		"berth lock get NAME shows who holds it now. The holder's log and clock: was it stopped, or cut off, for longer than its TTL?",
		"Stop at once what the lock protected, give up what was broken, and ask for it again: under another token."},
	{ReasonLockNotFound, codes.NotFound, false,
		"Nobody holds a lock of that name, or waits for it.",
		"berth lock list: is the name spelled as it was asked for?",
		"berth lock run NAME -- COMMAND, or berth lock acquire NAME, takes it."},
	{ReasonNoEligibleMember, codes.FailedPrecondition, false,
		"No member may take the identity: none that is live hosts the kind and has room, or all that were asked failed.",
		"berth member list: kinds, state and load of each member. The error has the reason of each candidate that failed.",
		"Start a member that hosts the kind: berth host --kinds KIND, or lookupclient.Join in your program. A member that drains or is blocked: berth member undrain, berth member unblock."},
	{ReasonIdentityBlocked, codes.FailedPrecondition, false,
		"The identity is on the block list, so it is given no owner: somebody put it there, or it crashed again and again, which blocks it for a while by itself. Nothing was changed.",
		"The error says why, who wanted it (berth, for a crash loop), and until when. berth block list; berth lookup KIND/KEY --history.",
		"berth unblock KIND/KEY takes it off the list, and forgets its crashes."},
	{ReasonMemberExpired, codes.FailedPrecondition, false,
		"The incarnation is over: it did not keep its lease, left, or was blocked. What it owned is not its own any more.",
		"berth member list.", "Stop every activation of that incarnation and join again."},
	{ReasonMemberUnknown, codes.NotFound, false,
		"There is no member of that name.", "berth member list.", "Check the spelling."},
	{ReasonMemberBlocked, codes.FailedPrecondition, false,
		"The member is on the block list, so it may not join. A life of it that was there when it was blocked is given nothing, no time either: it releases what it owns and ends, and is not revived when the block is over. Nothing was changed.",
		"The error says why, who wanted it, and until when. berth block list; berth member list.",
		"berth member unblock NAME takes it off the list. Its process asks again by itself, and joins as a new incarnation."},
	{ReasonIndexCompacted, codes.OutOfRange, false,
		"The state as of that index, or what followed it, is no longer kept.",
		"How long it took between two pages of a list, or how old the index is behind which a watch is to go on: the error has the oldest one that is known.",
		"Begin the list again. A watch begins with --snapshot."},
	{ReasonTooStale, codes.Unavailable, true,
		"The server has nothing as new as was asked for, and cannot reach a leader that proves its state.",
		"The error says how old the state is. berth status shows who leads, and how far behind each server is.",
		"Ask another server, or allow more: --max-staleness, --min-index."},
	{ReasonClusterMismatch, codes.FailedPrecondition, false,
		"The server belongs to another cluster than the caller expects: the cluster was restored, or the address is wrong. Nothing was done. A member that is told so stops everything.",
		"berth status shows the id of the cluster that is there; the error has it too. berth snapshot inspect shows the id of a file's.",
		"Was it restored? Start clients and members anew: what they know is of the former cluster. Otherwise correct the address, or --cluster."},
	{ReasonUnsupportedVersion, codes.FailedPrecondition, false,
		"A server is too old for what was asked.", "berth status shows each server's version.", "Finish the upgrade of the servers."},
	{ReasonUnauthenticated, codes.Unauthenticated, false,
		"The caller did not say who it is, or could not prove it.", "Certificate and token.", "Give credentials."},
	{ReasonPermissionDenied, codes.PermissionDenied, false,
		"The caller may not do that.", "The role that is needed, in the error.", "Ask with another role."},
	{ReasonInvalidArgument, codes.InvalidArgument, false,
		"The request breaks a rule, which the error names. Nothing was changed.", "The rule in the error.", "Correct the request."},
	{ReasonCorrupt, codes.DataLoss, false,
		"Data is damaged, or two servers differ where they must be equal. The server has stopped serving.",
		"The server's log names the file and what is wrong with it.",
		"Keep the data directory for inspection, start a new server under a new name, and remove the old one with berth server remove."},
	{ReasonInternal, codes.Internal, false,
		"A mistake in berth.", "The server's log.", "Report it, with the log."},
}

// Reasons are all reasons, in the order of the documentation. The slice is the caller's.
func Reasons() []ReasonInfo { return append([]ReasonInfo(nil), reasons...) }

// Info is what there is to know of a reason; ok is false for one that is not in the list.
func (r Reason) Info() (info ReasonInfo, ok bool) {
	for _, i := range reasons {
		if i.Reason == r {
			return i, true
		}
	}
	return ReasonInfo{}, false
}
