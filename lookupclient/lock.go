package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// LockOptions say how a lock is asked for. The zero value asks for an exclusive one.
type LockOptions struct {
	// Mode says with whom the lock is shared. Default placement.LockExclusive.
	Mode placement.LockMode
	// Permits is the size of a semaphore, for placement.LockPermit: the same in every claim to it.
	Permits uint32
	// Delay is how long the lock stays taken when its holder dies or is expired: for what the holder started and what does
	// not look at tokens. Default 0, at most 5 min.
	Delay time.Duration
}

// Lock is a lock that a session holds.
type Lock struct {
	// Name is what it is called.
	Name string
	// Token is the fencing token: send it to every resource that the lock protects, and have the resource refuse smaller
	// ones. It is larger than the tokens of all that held the lock before.
	Token placement.Epoch

	session *Session
	ctx     *leased
	cancel  context.CancelCauseFunc
	unclear bool // whether it was given up: guarded by the session
}

// ErrReleased ends the context of a lock that was released.
var ErrReleased = errors.New("the lock was released")

// Acquire waits for a lock as long as ctx lasts. Who asks first gets it first. It fails with ErrLockHeld when the session has
// a claim to the lock already, or the lock is one of another kind; with ErrLockLost when the claim was broken while it waited,
// with the end of the session, with ErrInvalid, ErrUnavailable and ErrOverloaded, and with an error that wraps ctx's: then the
// place in the queue is given up, or the error says that it is not known to be, and the session cannot ask for that lock any
// more: close it, and open another one. After ErrUnknown the session may have the lock; asking again finds it, and closing the
// session gives it up.
func (s *Session) Acquire(ctx context.Context, name string, o LockOptions) (*Lock, error) {
	return s.acquire(ctx, name, o, true)
}

// TryAcquire is Acquire without waiting: it fails with ErrLockHeld when the lock is not free.
func (s *Session) TryAcquire(ctx context.Context, name string, o LockOptions) (*Lock, error) {
	return s.acquire(ctx, name, o, false)
}

func (s *Session) acquire(ctx context.Context, name string, o LockOptions, wait bool) (*Lock, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	l := &Lock{Name: name, session: s}
	own, end := context.WithCancelCause(s.life.ctx)
	l.ctx, l.cancel = &leased{own, s.life}, end
	if err := s.begin(l); err != nil {
		return nil, err
	}
	both, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life.ctx, func() { cancel(context.Cause(s.life.ctx)) })()
	if err := s.ask(both, l, o, wait); err != nil {
		undone := err
		if errors.Is(err, ErrLockLost) {
			undone = s.giveUp(both, l) // what was broken is nobody's: the next need not wait for it
		}
		s.end(l, errors.Is(undone, errNotGivenUp))
		l.cancel(err)
		return nil, err
	}
	return l, nil
}

// begin notes that a lock is being asked for. It fails when the session has to do with the lock already.
func (s *Session) begin(l *Lock) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.claims[l.Name]
	if old == nil {
		s.claims[l.Name] = l
		return nil
	}
	text := "the session holds the lock %.80q already, or asks for it"
	if old.unclear {
		text = "the session does not know whether it gave its place in the queue of %.80q up: close it, and open another one"
	}
	return &Error{Reason: apiv1.ReasonLockHeld, Message: fmt.Sprintf(text, l.Name)}
}

// end notes that the session has nothing to do with a lock any more, or that it does not know that: then it keeps it in mind.
func (s *Session) end(l *Lock, unclear bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.unclear = unclear
	if s.claims[l.Name] == l && !unclear {
		delete(s.claims, l.Name)
	}
}

// turnMax bounds one call that waits for a lock.
const turnMax = 30 * time.Second

// ask asks until the lock is held. Each call waits for half a TTL at most, since an answer counts as long as a lease does:
// for a TTL from when it was asked for.
func (s *Session) ask(ctx context.Context, l *Lock, o LockOptions, wait bool) error {
	api := apiv1.NewLocksClient(s.client.conn)
	turn := min(s.ttl/2, turnMax)
	for {
		req := &apiv1.AcquireLockRequest{
			Name: l.Name, Session: uint64(s.id), Mode: apiv1.LockMode_Name(o.Mode), Permits: o.Permits, Delay: durationpb.New(o.Delay), Stay: wait,
		}
		if wait {
			req.Wait = durationpb.New(turn)
		}
		asked := s.now() // before it is sent
		call, cancel := context.WithTimeout(ctx, turn+s.client.conn.config.Timeout)
		resp, err := api.AcquireLock(call, req)
		cancel()
		if ctx.Err() != nil && (err == nil || !errors.Is(err, ErrLockHeld)) {
			return s.giveUp(ctx, l)
		}
		if err != nil {
			return err
		}
		if resp.Held && s.now() < asked+s.ttl {
			return s.hold(l, placement.Epoch(resp.Token))
		}
	}
}

// hold takes a lock that was granted, unless its loss is known already.
func (s *Session) hold(l *Lock, token placement.Epoch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost[token] {
		return &Error{Reason: apiv1.ReasonLockLost, Message: fmt.Sprintf("the lock %.80q was broken", l.Name)}
	}
	l.Token = token
	return s.check()
}

// giveUpTimeout bounds the release of a lock that nobody waits for any more.
const giveUpTimeout = 2 * time.Second

// errNotGivenUp: whether a claim was given up is not known. The release names no token, so one that is carried out late would
// free whatever the session has by then: it must not ask for that lock again.
var errNotGivenUp = errors.New("its place in the queue could not be given up")

// giveUp gives up what was asked for when the context has ended.
func (s *Session) giveUp(ctx context.Context, l *Lock) error {
	cause := context.Cause(ctx)
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	_, err := apiv1.NewLocksClient(s.client.conn).ReleaseLock(free, &apiv1.ReleaseLockRequest{Name: l.Name, Session: uint64(s.id)})
	if err != nil && !errors.Is(err, ErrLockLost) && !errors.Is(err, ErrLockNotFound) {
		return fmt.Errorf("acquire lock %.80q: %w; %w: %w", l.Name, cause, errNotGivenUp, err)
	}
	return fmt.Errorf("acquire lock %.80q: %w", l.Name, cause)
}

// Context ends when the lock must not be relied on any more: it was released, broken, or its session has ended, at the latest
// by the session's own clock. context.Cause says why. Its Err reads the clock, as Check does.
func (l *Lock) Context() context.Context { return l.ctx }

// Check says whether the lock may be relied on at this moment: nil, or why not. It reads the clock, so it is right also just
// after the process was stopped for a while. Call it right before an effect; between the check and the effect only the
// token protects.
func (l *Lock) Check() error {
	if l.ctx.Err() == nil {
		return nil
	}
	return context.Cause(l.ctx)
}

// Release gives the lock up. Call it when what it protects has stopped; its context ends. It fails with ErrLockLost when the
// lock was lost before, and with the errors of a change: then the lock is free when the session is closed or its lease over.
// A lock that was broken is free for others as soon as it is released.
func (l *Lock) Release(ctx context.Context) error {
	broken := errors.Is(context.Cause(l.ctx), ErrLockLost)
	l.cancel(ErrReleased)
	_, err := apiv1.NewLocksClient(l.session.client.conn).ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: l.Name, Session: uint64(l.session.id), Token: uint64(l.Token)})
	if err == nil || errors.Is(err, ErrLockLost) || errors.Is(err, ErrLockNotFound) {
		l.session.end(l, false)
	}
	if errors.Is(err, ErrLockNotFound) || err == nil && broken {
		return &Error{Reason: apiv1.ReasonLockLost, Message: fmt.Sprintf("the lock %.80q was lost before it was released", l.Name), err: err}
	}
	return err
}
