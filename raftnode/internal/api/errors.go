package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// How long to wait before asking again.
const (
	retrySoon     = 50 * time.Millisecond
	retryElection = 200 * time.Millisecond
)

func fail(r apiv1.Reason, metadata map[string]string, format string, args ...any) error {
	info, _ := r.Info()
	retry := time.Duration(0)
	if info.Retry {
		retry = retrySoon
	}
	if r == apiv1.ReasonNoLeader || r == apiv1.ReasonNoQuorum {
		retry = retryElection
	}
	return apiv1.Status(r, fmt.Sprintf(format, args...), metadata, retry).Err()
}

// outcomeError turns what a proposal ended with into the error of a call. The three outcomes stay apart: an unknown one
// is OUTCOME_UNKNOWN, and nothing else is.
func outcomeError(err error) error {
	var unknown *group.UnknownError
	switch {
	case errors.As(err, &unknown):
		return fail(apiv1.ReasonOutcomeUnknown, nil, "the change was proposed in term %d and its outcome is not known: %v", unknown.Term, unknown.Err)
	case errors.Is(err, group.ErrNotLeader):
		return fail(apiv1.ReasonNoLeader, nil, "this server does not lead any more; nothing was changed")
	case errors.Is(err, group.ErrQueueFull):
		return fail(apiv1.ReasonOverloaded, nil, "%v; nothing was changed", err)
	case errors.Is(err, group.ErrClosed):
		return fail(apiv1.ReasonNoLeader, nil, "the server is stopping; nothing was changed")
	case errors.Is(err, context.DeadlineExceeded):
		return fail(apiv1.ReasonOverloaded, nil, "the deadline came before the change was proposed; nothing was changed")
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, "the caller went away before the change was proposed; nothing was changed")
	}
	return asStatus(err)
}

// laterError is the error of a call of which a part was carried out when the rest failed. That the rest changed nothing does not
// undo that part, so the outcome is unknown.
func laterError(err error) error {
	switch r, _, _ := apiv1.ReasonOf(err); r {
	case apiv1.ReasonNoLeader, apiv1.ReasonOverloaded, "":
		return fail(apiv1.ReasonOutcomeUnknown, nil, "a part of it was carried out, and what became of that is not known: %s", status.Convert(err).Message())
	}
	return err
}

// verdictError turns a refusal of the state machine into the error of a call; nil when it is no refusal.
func verdictError(id placement.Identity, r *fsm.Result) error {
	switch r.Verdict {
	case placement.Done, placement.Already:
		return nil
	case placement.Unsettled:
		return unsettled(id, r.Entry, "", time.Time{}, "a removal of it is not yet visible everywhere")
	case placement.NotPlaced:
		return notPlaced(id)
	case placement.EpochMismatch, placement.NotOwner:
		return epochMismatch(id, r)
	case placement.MemberGone:
		return fail(apiv1.ReasonMemberExpired, nil, "the incarnation is over")
	case placement.Forgotten:
		return fail(apiv1.ReasonOutcomeUnknown, map[string]string{"forgotten": "true"}, "the answer to the first attempt is no longer remembered, so it cannot be told whether it was carried out; it was not carried out now")
	case placement.RequestReused:
		return fail(apiv1.ReasonInvalidArgument, nil, "the request id was used before, for another request")
	case placement.LimitReached:
		return fail(apiv1.ReasonInvalidArgument, nil, "a table of the cluster is full: it takes %d members, %d kinds, %d blocks and %d identities on their way to a member",
			fsm.MembersMax, snapshot.KindsMax, snapshot.BlocksMax, snapshot.MovesMax)
	case placement.UnknownStrategy:
		return unknownStrategy("named in the request")
	case placement.Blocked:
		return fail(apiv1.ReasonIdentityBlocked, identityData(id), "%v is blocked", id)
	case placement.Barred:
		return fail(apiv1.ReasonMemberBlocked, nil, "the member is blocked")
	case placement.LevelNotReached:
		return fail(apiv1.ReasonUnsupportedVersion, nil, "not every server understands that yet: finish the upgrade of the servers")
	case placement.WrongTerm:
		return outcomeError(group.ErrNotLeader)
	}
	return fail(apiv1.ReasonInternal, nil, "the state machine answered: %v", r.Verdict)
}

func unknownStrategy(name string) error {
	return invalid("not every server has the strategy %.80s; there are %s", name, strings.Join(placement.StrategyNames(), ", "))
}

func memberUnknown(name string) error {
	return fail(apiv1.ReasonMemberUnknown, map[string]string{"member": name}, "there is no member %.80q", name)
}

func notPlaced(id placement.Identity) error {
	return fail(apiv1.ReasonNotPlaced, identityData(id), "%v is not placed", id)
}

func epochMismatch(id placement.Identity, r *fsm.Result) error {
	data := identityData(id)
	data["epoch"] = strconv.FormatUint(uint64(r.Entry.Epoch), 10)
	if r.Owner != nil {
		data["member"] = string(r.Owner.ID)
	}
	return fail(apiv1.ReasonEpochMismatch, data, "%v is placed under epoch %d now", id, r.Entry.Epoch)
}

// unsettled is the error for an identity that has no settled owner. Of one that was chosen it says who it is, and since when
// it is, as far as that is known; when to ask again is in each of these errors.
func unsettled(id placement.Identity, e placement.Entry, member placement.MemberID, since time.Time, why string) error {
	data := identityData(id)
	if member != "" {
		data["member"] = string(member)
	}
	if !since.IsZero() {
		data["since"] = since.UTC().Format(time.RFC3339Nano)
	}
	if e.Epoch != 0 {
		data["epoch"] = strconv.FormatUint(uint64(e.Epoch), 10)
	}
	return fail(apiv1.ReasonUnsettled, data, "%v has no settled owner at the moment: %s", id, why)
}

func identityData(id placement.Identity) map[string]string {
	return map[string]string{"kind": id.Kind, "key": id.Key}
}

// asStatus gives any error the form of a call's.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if r, _, _ := apiv1.ReasonOf(err); r != "" {
		return err
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, group.ErrNotLeader), errors.Is(err, group.ErrClosed):
		return outcomeError(err)
	}
	return fail(apiv1.ReasonInternal, nil, "%v", err)
}

// itemError is an error as an item of a batch carries it.
func itemError(err error) *apiv1.Error {
	r, metadata, retry := apiv1.ReasonOf(err)
	if r == "" {
		r = apiv1.ReasonInternal
	}
	e := &apiv1.Error{Reason: string(r), Message: status.Convert(err).Message(), Metadata: metadata}
	if retry > 0 {
		e.RetryAfter = durationpb.New(retry)
	}
	return e
}

// invalid is the error for a request that breaks a rule.
func invalid(format string, args ...any) error {
	return fail(apiv1.ReasonInvalidArgument, nil, format, args...)
}

// identityOf checks the names in a request.
func identityOf(kind, key string) (placement.Identity, error) {
	id := placement.Identity{Kind: kind, Key: key}
	if err := id.Validate(); err != nil {
		var ie *placement.IdentityError
		if errors.As(err, &ie) {
			return id, fail(apiv1.ReasonInvalidArgument, map[string]string{"rule": ie.Rule}, "%v", err)
		}
		return id, invalid("%v", err)
	}
	return id, nil
}
