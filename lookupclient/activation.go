package lookupclient

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/placement"
)

// Why an activation ends: the cause of its context (context.Cause).
var (
	// ErrLeaseLost: the member, or the session, could not prove its lease in time. Somebody else may own the identity, or
	// hold the lock, from now on.
	ErrLeaseLost = errors.New("the lease ran out")
	// ErrStopRequested: the cluster asks for the identity back.
	ErrStopRequested = errors.New("the cluster asks to stop")
	// ErrLeaving: the member leaves.
	ErrLeaving = errors.New("the member leaves")
	// ErrNotOwner: the cluster refused the confirmation: another member was chosen meanwhile.
	ErrNotOwner = errors.New("another member was chosen")
)

// Activation is one identity that this member was chosen for.
type Activation struct {
	// Identity is what was activated, and Epoch its fencing token: send it to every resource that the activation
	// changes, and have the resource refuse smaller ones.
	Identity placement.Identity
	Epoch    placement.Epoch

	life   *life
	ctx    *leased
	cancel context.CancelCauseFunc
	fault  atomic.Pointer[string] // what Fail was told

	// Owned by the member's loop.
	state   activationState
	stopped bool       // it was asked to stop while it was starting
	span    trace.Span // of its beginning; nil when that is over, or not traced
}

type activationState uint8

const (
	starting   activationState = iota // Kind.Activate runs
	confirming                        // the cluster was told that it is ready
	acting                            // the cluster agreed
	stopping                          // Kind.Run has been told to return
	releasing                         // the cluster was told that it has stopped
)

// Context ends when the activation must not act any more, at the latest when the member's lease does by its own clock,
// also when the network is dead. context.Cause says why. Its Err reads the clock, as Check does; its Done may come a moment
// later, when the process was stopped.
func (a *Activation) Context() context.Context { return a.ctx }

// Check says whether the activation may act at this moment: nil, or why not. It reads the clock, so it is right also just
// after the process was stopped for a while, when Context has not ended yet. Call it right before an effect; between the
// check and the effect only the epoch protects.
func (a *Activation) Check() error {
	if a.ctx.Err() == nil {
		return nil
	}
	return context.Cause(a.ctx)
}

// Fail says that the activation ends by a fault of its own; call it before Run returns. The first error counts, and none
// when the activation was asked to stop before. The cluster counts such ends, as it does those of Kind.Activate: an identity
// that crashes again and again is blocked for a while, which grows (placement.CrashBackoffMs), and Place fails with
// ErrBlocked meanwhile.
func (a *Activation) Fail(err error) {
	if text := err.Error(); a.ctx.Err() == nil {
		a.fault.CompareAndSwap(nil, &text)
	}
}

// LeaseLeft is how long the activation may act without hearing from the cluster again.
func (a *Activation) LeaseLeft() time.Duration { return a.life.left() }
