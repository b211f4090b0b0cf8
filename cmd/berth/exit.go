package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
)

// The exit statuses. The table is closed: scripts branch on it.
const (
	exitOther       = 1
	exitUsage       = 2
	exitNotThere    = 3
	exitUnavailable = 4
	exitLost        = 5
	exitUnsettled   = 6
	exitNotAllowed  = 7
	exitCheck       = 8
	exitUnknown     = 9
	exitInterrupted = 130
)

// exitStatus is the exit status for a reason.
func exitStatus(r apiv1.Reason) int {
	switch r {
	case apiv1.ReasonInvalidArgument:
		return exitUsage
	case apiv1.ReasonNotPlaced, apiv1.ReasonLockNotFound, apiv1.ReasonMemberUnknown:
		return exitNotThere
	case apiv1.ReasonNoLeader, apiv1.ReasonNoQuorum, apiv1.ReasonUnreachable, apiv1.ReasonOverloaded, apiv1.ReasonTooStale:
		return exitUnavailable
	case apiv1.ReasonEpochMismatch, apiv1.ReasonLockHeld, apiv1.ReasonLockLost, apiv1.ReasonMemberExpired:
		return exitLost
	case apiv1.ReasonUnsettled:
		return exitUnsettled
	case apiv1.ReasonUnauthenticated, apiv1.ReasonPermissionDenied:
		return exitNotAllowed
	case apiv1.ReasonOutcomeUnknown:
		return exitUnknown
	}
	return exitOther
}

// ranError is an error of a command that was understood.
type ranError struct{ error }

// Unwrap returns the error.
func (e *ranError) Unwrap() error { return e.error }

// statusError is an error with an exit status of its own, and perhaps with what to do. Without an error it says nothing:
// that was done already.
type statusError struct {
	status int
	err    error
	next   string
}

// Error is the error's text.
func (e *statusError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.status)
	}
	return e.err.Error()
}

// Unwrap returns the error.
func (e *statusError) Unwrap() error { return e.err }

// usage is the error of a command line that is not understood.
func usage(format string, args ...any) error {
	return &statusError{status: exitUsage, err: fmt.Errorf(format, args...)}
}

// report says on standard error what went wrong, and returns the exit status.
func (a *app) report(ctx context.Context, err error) int {
	var ran *ranError
	var status *statusError
	var call *lookupclient.Error
	var refused *raftnode.RefusedError
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && !errors.As(err, &refused):
		a.fail("", "interrupted", nil, "")
		return exitInterrupted
	case errors.As(err, &status):
		if status.err != nil {
			a.fail("", status.err.Error(), nil, status.next)
		}
		return status.status
	case errors.As(err, &call):
		a.failAfter(call.Reason, call.Message, call.Metadata, call.RetryAfter, nextStep(call))
		return exitStatus(call.Reason)
	case errors.As(err, &refused):
		a.fail("", refused.Err.Error(), nil, refused.Next)
		return exitOther
	case !errors.As(err, &ran):
		a.fail(apiv1.ReasonInvalidArgument, err.Error(), nil, "berth help, or --help after a command")
		return exitUsage
	}
	a.fail("", err.Error(), nil, "")
	return exitOther
}

// fail prints one error of which nobody knows when it is over.
func (a *app) fail(reason apiv1.Reason, message string, metadata map[string]string, next string) {
	a.failAfter(reason, message, metadata, 0, next)
}

// failAfter prints one error: for programs as the API has it. After the time the same may succeed, unless that is zero.
func (a *app) failAfter(reason apiv1.Reason, message string, metadata map[string]string, after time.Duration, next string) {
	if a.printer.Format != output.Table {
		e := &apiv1.Error{Reason: string(reason), Message: message, Metadata: metadata}
		if after > 0 {
			e.RetryAfter = durationpb.New(after)
		}
		b, err := output.Marshal(e, false)
		if err == nil {
			a.say(`{"error":%s}`, b)
			return
		}
	}
	if reason != "" {
		message = string(reason) + "  " + message
	}
	a.say("error: %s", strings.TrimSpace(message))
	if next != "" {
		a.say("  next: %s", next)
	}
}

// nextStep is what to do about the error of a call.
func nextStep(e *lookupclient.Error) string {
	info, ok := e.Reason.Info()
	if !ok {
		return ""
	}
	fix := info.Fix
	if kind, key := e.Metadata["kind"], e.Metadata["key"]; kind != "" && key != "" {
		fix = strings.ReplaceAll(fix, "KIND/KEY", kind+"/"+key)
		fix = strings.ReplaceAll(fix, "KIND", kind)
	}
	if e.RetryAfter > 0 {
		fix = strings.Replace(fix, "Ask again in a moment", fmt.Sprintf("Ask again in %v", e.RetryAfter), 1)
	}
	return fix + "\n        berth explain " + string(e.Reason)
}
