package lookupclient

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Conditions that callers branch on, with errors.Is. The error itself is an *Error, which says more.
var (
	// ErrNotPlaced: nobody owns the identity.
	ErrNotPlaced = errors.New("not placed")
	// ErrUnsettled: the identity has no settled owner at the moment.
	ErrUnsettled = errors.New("not settled")
	// ErrNoMember: no member may take the identity.
	ErrNoMember = errors.New("no eligible member")
	// ErrBlocked: the identity is on the block list.
	ErrBlocked = errors.New("blocked")
	// ErrMemberBlocked: the member is on the block list, or was when its incarnation lived.
	ErrMemberBlocked = errors.New("member blocked")
	// ErrMemberUnknown: there is no member of that name.
	ErrMemberUnknown = errors.New("member unknown")
	// ErrFenced: the identity is placed under another epoch.
	ErrFenced = errors.New("epoch mismatch")
	// ErrLockHeld: the lock is not free.
	ErrLockHeld = errors.New("lock held")
	// ErrLockLost: the lock is not held any more, or its session is over.
	ErrLockLost = errors.New("lock lost")
	// ErrLockNotFound: nobody holds the lock or waits for it.
	ErrLockNotFound = errors.New("lock not found")
	// ErrUnavailable: no leader, no majority, or no server could be reached, or none has a state as new as was asked for;
	// nothing was changed.
	ErrUnavailable = errors.New("cluster unavailable")
	// ErrOverloaded: the cluster takes no more at the moment; nothing was changed.
	ErrOverloaded = errors.New("cluster overloaded")
	// ErrUnknown: the outcome of a change is unknown.
	ErrUnknown = errors.New("outcome unknown")
	// ErrInvalid: the request breaks a rule.
	ErrInvalid = errors.New("invalid argument")
	// ErrClusterMismatch: the server is of another cluster than the client, since the cluster was restored or the address is
	// wrong; nothing was done. A client that is opened anew knows of no cluster.
	ErrClusterMismatch = errors.New("another cluster")
	// ErrClosed: the client, or the member, was closed or has not been started.
	ErrClosed = errors.New("closed")
)

// errClientClosed is what calls of a client that was closed fail with.
var errClientClosed = fmt.Errorf("client: %w", ErrClosed)

// Error is the error of a call: a reason of the closed list (apiv1.Reasons), and what the server said.
type Error struct {
	// Reason says why; `berth explain REASON` says what to do.
	Reason apiv1.Reason
	// Message is a sentence for people.
	Message string
	// Metadata is what a program may want to know: kind, key, member, epoch, since.
	Metadata map[string]string
	// RetryAfter is when the same call may succeed; zero when nothing is known about that.
	RetryAfter time.Duration
	// Attempts is how often the call was made, and LastReason why the last attempt failed: that is Reason, unless the outcome had
	// become unknown before, or the context ended during that attempt: then Reason is what the one before was told, and LastReason
	// UNREACHABLE. They are not set for an item of a batch, and on a stream.
	Attempts   int
	LastReason apiv1.Reason

	err error
}

// Error is the reason and the message, and what became of later attempts.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s: %s", e.Reason, e.Message)
	if e.Attempts > 1 {
		s += fmt.Sprintf(" (%d attempts, the last: %s)", e.Attempts, e.LastReason)
	}
	return s
}

// Unwrap returns the error of the call as gRPC gave it.
func (e *Error) Unwrap() error { return e.err }

// Is makes errors.Is work with the conditions above.
func (e *Error) Is(target error) bool {
	switch e.Reason {
	case apiv1.ReasonNotPlaced:
		return target == ErrNotPlaced
	case apiv1.ReasonUnsettled:
		return target == ErrUnsettled
	case apiv1.ReasonNoEligibleMember:
		return target == ErrNoMember
	case apiv1.ReasonIdentityBlocked:
		return target == ErrBlocked
	case apiv1.ReasonMemberBlocked:
		return target == ErrMemberBlocked
	case apiv1.ReasonMemberUnknown:
		return target == ErrMemberUnknown
	case apiv1.ReasonEpochMismatch, apiv1.ReasonMemberExpired:
		return target == ErrFenced
	case apiv1.ReasonLockHeld:
		return target == ErrLockHeld
	case apiv1.ReasonLockLost:
		return target == ErrLockLost
	case apiv1.ReasonLockNotFound:
		return target == ErrLockNotFound
	case apiv1.ReasonNoLeader, apiv1.ReasonNoQuorum, apiv1.ReasonUnreachable, apiv1.ReasonTooStale:
		return target == ErrUnavailable
	case apiv1.ReasonOverloaded:
		return target == ErrOverloaded
	case apiv1.ReasonOutcomeUnknown:
		return target == ErrUnknown
	case apiv1.ReasonInvalidArgument:
		return target == ErrInvalid
	case apiv1.ReasonClusterMismatch:
		return target == ErrClusterMismatch
	}
	return false
}

// Epoch is the epoch under which the identity is placed now, when the error tells.
func (e *Error) Epoch() placement.Epoch {
	n, _ := strconv.ParseUint(e.Metadata["epoch"], 10, 64)
	return placement.Epoch(n)
}

// Member is who the error is about, when it tells: of ErrUnsettled the member that was chosen and has not confirmed yet, of
// ErrFenced the owner of now.
func (e *Error) Member() placement.MemberID { return placement.MemberID(e.Metadata["member"]) }

// Since is, of ErrUnsettled, when that member was chosen, by the clock of the leader that did it; the zero time when the error
// does not tell.
func (e *Error) Since() time.Time {
	at, _ := time.Parse(time.RFC3339Nano, e.Metadata["since"])
	return at
}

// errorOf gives the error of a call its form. changes says that the call would have changed something: when it is not
// known whether it arrived, its outcome is unknown.
func errorOf(err error, changes bool) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	reason, metadata, retry := apiv1.ReasonOf(err)
	message := status.Convert(err).Message()
	if reason != "" {
		return &Error{Reason: reason, Message: message, Metadata: metadata, RetryAfter: retry, err: err}
	}
	switch code := status.Code(err); code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		if changes {
			return &Error{Reason: apiv1.ReasonOutcomeUnknown, Message: "the answer did not come: " + message, err: err}
		}
		return &Error{Reason: apiv1.ReasonUnreachable, Message: message, err: err}
	case codes.Unauthenticated:
		return &Error{Reason: apiv1.ReasonUnauthenticated, Message: message, err: err}
	case codes.PermissionDenied:
		return &Error{Reason: apiv1.ReasonPermissionDenied, Message: message, err: err}
	case codes.Unimplemented:
		return &Error{Reason: apiv1.ReasonUnsupportedVersion, Message: message, err: err}
	case codes.InvalidArgument, codes.OutOfRange,
		codes.ResourceExhausted: // gRPC's own, on either side: the message is too large
		return &Error{Reason: apiv1.ReasonInvalidArgument, Message: message, err: err}
	}
	return &Error{Reason: apiv1.ReasonInternal, Message: message, err: err}
}

// itemError is the error of one item of a batch.
func itemError(e *apiv1.Error) error {
	if e == nil {
		return nil
	}
	return &Error{Reason: apiv1.Reason(e.Reason), Message: e.Message, Metadata: e.Metadata, RetryAfter: e.RetryAfter.AsDuration()}
}
