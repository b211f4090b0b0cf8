package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Kind is how a member hosts one kind of identities. All functions may be nil.
type Kind struct {
	// Activate makes an activation ready. It must not act on the outside yet: another member may have been chosen
	// meanwhile. An error gives the identity to the next candidate, with the error's text as the reason. ctx ends when
	// the answer is not wanted any more. Up to Activating calls run at once.
	Activate func(ctx context.Context, a *Activation) error
	// Run is the activation's life, on a goroutine of its own, from the moment when the cluster has agreed that this
	// member owns the identity. It must return when a.Context() ends. When it returns by itself, the activation is over
	// and the identity is free; Activation.Fail says that it ended by a fault. Without Run an activation lasts until its context ends.
	Run func(a *Activation)
}

// Activating is how many calls of Kind.Activate a member runs at once.
const Activating = 64

// MemberConfig says what a member is.
type MemberConfig struct {
	// Name is kept over restarts; the member's identities come back to it. Needed.
	Name placement.MemberID
	// Address is where the member's activations are reached by whoever looks them up, host:port. berth never dials it.
	// Needed.
	Address string
	// Kinds are what the member hosts, by name. Needed.
	Kinds map[string]Kind
	// Labels are what placement constraints can refer to.
	Labels map[string]string
	// Weight is the member's share relative to the others. Default placement.WeightDefault.
	Weight uint32
	// Capacity is the most placements that it takes. Zero is no limit.
	Capacity uint32
	// LeaveRate bounds how many activations a second Leave stops. Zero is all at once.
	LeaveRate uint32
	// OnChange, unless it is nil, is called after activations came or went, with how many are held; it must be quick.
	OnChange func(held int)
	// Now takes the place of the clock, in tests: the time since any moment.
	Now func() time.Duration
}

func (c *MemberConfig) description() placement.Member {
	m := placement.Member{ID: c.Name, Address: c.Address, Kinds: slices.Collect(maps.Keys(c.Kinds)), Weight: c.Weight, Capacity: c.Capacity}
	for name, value := range c.Labels {
		m.Labels = append(m.Labels, placement.Label{Name: name, Value: value})
	}
	m.Normalize()
	return m
}

// Member hosts activations for a cluster. It joins, keeps its lease, activates what it is chosen for, stops what it is
// asked to stop, and when it cannot prove its lease it ends every activation by its own clock, before anybody else may
// be chosen; then it joins again as a new incarnation. It is safe for concurrent use.
type Member struct {
	client *Client
	config MemberConfig
	ctx    context.Context
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup
	joined chan struct{} // closed at the first welcome
	done   chan struct{} // closed when the loop has ended
	leave  chan *leaving
	events chan func()
	slots  chan struct{}
	loop   *loop // its fields belong to its goroutine

	mu    sync.Mutex
	state MemberState
}

// MemberState is how a member is doing.
type MemberState struct {
	// Incarnation is the current one; zero while there is none.
	Incarnation placement.Incarnation
	// Server is the server that the session is with; empty while there is none.
	Server string
	// Held is the number of activations that act.
	Held int
	// Lost is how often the member lost its lease.
	Lost int
	// LeaseLeft is how much of the lease there is.
	LeaseLeft time.Duration
}

// Join starts a member and waits until it has joined. ctx bounds the waiting alone; the member lives until Leave or
// Close. Errors are a description that is not valid (ErrInvalid), a client that was closed (ErrClosed), and ctx's.
func (c *Client) Join(ctx context.Context, config MemberConfig) (*Member, error) {
	if c.conn.closed.Load() {
		return nil, errClientClosed
	}
	m := config.description()
	if err := m.Validate(); err != nil {
		return nil, &Error{Reason: apiv1.ReasonInvalidArgument, Message: err.Error(), err: err}
	}
	if config.Now == nil {
		config.Now = bootClock
	}
	x := &Member{
		client: c, config: config, joined: make(chan struct{}), done: make(chan struct{}), leave: make(chan *leaving),
		events: make(chan func(), 1024), slots: make(chan struct{}, Activating),
	}
	x.ctx, x.cancel = context.WithCancelCause(context.Background())
	x.loop = newLoop(x)
	go x.loop.run()
	select {
	case <-x.joined:
		return x, nil
	case <-ctx.Done():
		x.cancel(ErrClosed)
		<-x.done
		return nil, fmt.Errorf("join: %w", context.Cause(ctx))
	case <-x.done:
		return nil, context.Cause(x.ctx)
	}
}

// State returns how the member is doing.
func (m *Member) State() MemberState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

// Done is closed when the member has ended.
func (m *Member) Done() <-chan struct{} { return m.done }

// Err says why the member has ended by itself: ErrClusterMismatch, or ErrInvalid. It is nil while it lives, and after
// Leave and Close.
func (m *Member) Err() error {
	if err := context.Cause(m.ctx); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Leave ends the member in order: it takes nothing new, every activation's context ends with ErrLeaving, all at once or so
// many a second, each is released when its Run has returned, and then the member is gone; nobody waits for a lease. When ctx
// ends first, what has not stopped is left to the lease, and the error is a *LeaveError that says what that is.
func (m *Member) Leave(ctx context.Context) error {
	l := &leaving{ctx: ctx, done: make(chan error, 1)}
	select {
	case m.leave <- l:
	case <-m.done:
		return ErrClosed
	case <-ctx.Done():
		m.Close()
		return context.Cause(ctx)
	}
	err := <-l.done
	m.Close()
	return err
}

// Close ends the member at once: every activation's context ends, and the cluster learns of it when the lease does. It
// waits for the functions of Kind to return.
func (m *Member) Close() {
	m.cancel(ErrClosed)
	<-m.done
}

// LeaveError says what had not stopped when Leave had to end.
type LeaveError struct {
	// Left are the identities, ascending.
	Left []placement.Identity
	// Err is the cause of the context's end.
	Err error
}

func (e *LeaveError) Error() string {
	return fmt.Sprintf("%d activations had not stopped: %v", len(e.Left), e.Err)
}

// Unwrap returns Err.
func (e *LeaveError) Unwrap() error { return e.Err }

// leaving is a Leave that is under way.
type leaving struct {
	ctx     context.Context
	done    chan error
	since   time.Duration // by the member's clock
	stopped int           // activations that were stopped, by the member or the cluster
}

// post has f run by the member's loop, unless the member has ended.
func (m *Member) post(f func()) {
	select {
	case m.events <- f:
	case <-m.ctx.Done():
	}
}

var errNoServer = errors.New("no server takes the member")
