package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// SessionTTLDefault is the TTL of sessions that name none.
const SessionTTLDefault = 15 * time.Second

// SessionConfig says what a session is.
type SessionConfig struct {
	// Holder is the name of who holds it, for people who look at a lock. Needed.
	Holder string
	// Owner says more about who opened it. It may be empty.
	Owner string
	// TTL is how long the session lasts without hearing from the cluster, and so how long its locks stay taken after the
	// process has died, stretched by a quarter. Default SessionTTLDefault; 1 s to 5 min.
	TTL time.Duration
	// Now takes the place of the clock, in tests: the time since any moment.
	Now func() time.Duration
}

// Session is a lease that locks hang on. It keeps itself as long as the cluster can be reached. When it cannot prove its
// lease it ends by its own clock, and with it every lock that it holds, before anybody else can be granted one of them; it
// does not come back. It is safe for concurrent use.
type Session struct {
	client *Client
	id     placement.SessionID
	ttl    time.Duration
	now    func() time.Duration
	life   *life
	tasks  sync.WaitGroup

	mu     sync.Mutex
	claims map[string]*Lock // locks that are held, or being asked for: those have no token
	lost   map[placement.Epoch]bool
}

// OpenSession opens a session. It fails with ErrInvalid, ErrUnavailable, ErrOverloaded, ErrUnknown, or with ErrLeaseLost when
// the answer took longer than the TTL.
func (c *Client) OpenSession(ctx context.Context, config SessionConfig) (*Session, error) {
	if config.TTL == 0 {
		config.TTL = SessionTTLDefault
	}
	if config.Now == nil {
		config.Now = bootClock
	}
	asked := config.Now() // before it is sent
	resp, err := apiv1.NewSessionsClient(c.conn).OpenSession(ctx, &apiv1.OpenSessionRequest{Ttl: durationpb.New(config.TTL), Holder: config.Holder, Owner: config.Owner})
	if err != nil {
		return nil, err
	}
	s := &Session{
		client: c, id: placement.SessionID(resp.Session.GetId()), ttl: resp.Session.GetTtl().AsDuration(), now: config.Now,
		claims: map[string]*Lock{},
	}
	s.life = newLife(context.Background(), placement.Incarnation(s.id), s.now, asked, s.ttl)
	if s.life.left() <= 0 {
		s.life.cancel(ErrLeaseLost)
		return nil, fmt.Errorf("session of %v: the answer came too late: %w", s.ttl, ErrLeaseLost)
	}
	s.tasks.Go(s.life.fence)
	s.tasks.Go(func() { s.keep(asked) })
	return s, nil
}

// ID is the session's number.
func (s *Session) ID() placement.SessionID { return s.id }

// TTL is how long the session lasts after each keepalive.
func (s *Session) TTL() time.Duration { return s.ttl }

// Context ends with the session. context.Cause says why: ErrLeaseLost, ErrClosed, or what the cluster answered. Its Err
// reads the clock.
func (s *Session) Context() context.Context { return &leased{s.life.ctx, s.life} }

// LeaseLeft is how long the session lasts without hearing from the cluster again.
func (s *Session) LeaseLeft() time.Duration { return s.life.left() }

// check says whether the session lasts at this moment.
func (s *Session) check() error {
	if err := context.Cause(s.life.ctx); err != nil {
		return err
	}
	if s.life.left() <= 0 {
		return ErrLeaseLost
	}
	return nil
}

// keep asks for more time, again and again, one request at a time.
func (s *Session) keep(asked time.Duration) {
	api := apiv1.NewSessionsClient(s.client.conn)
	wait := s.ttl / 4
	for {
		select {
		case <-time.After(max(0, asked+wait-s.now())):
		case <-s.life.ctx.Done():
			return
		}
		asked = s.now() // before it is sent
		ctx, cancel := context.WithTimeout(s.life.ctx, s.ttl/2)
		resp, err := api.KeepSession(ctx, &apiv1.KeepSessionRequest{Session: uint64(s.id)})
		cancel()
		if wait = s.ttl / 4; err == nil {
			s.kept(asked, resp)
			continue
		}
		if errors.Is(err, ErrLockLost) || errors.Is(err, ErrClusterMismatch) || errors.Is(err, ErrInvalid) {
			s.life.cancel(err)
			return
		}
		asked, wait = s.now(), s.ttl/20
	}
}

// kept takes an answer in: the losses first, then the time.
//
// Invariant: an answer counts only while the lease lasts. One that was made after a broken lock had become free again does
// not name it; by then the lease that did not know of the break is over.
func (s *Session) kept(asked time.Duration, resp *apiv1.KeepSessionResponse) {
	s.mu.Lock()
	s.lost = map[placement.Epoch]bool{}
	for _, l := range resp.Lost {
		s.lost[placement.Epoch(l.Token)] = true
		if held := s.claims[l.Name]; held != nil && held.Token == placement.Epoch(l.Token) {
			held.cancel(ErrLockLost)
		}
	}
	s.mu.Unlock()
	if s.life.left() <= 0 {
		s.life.cancel(ErrLeaseLost)
		return
	}
	s.life.extend(asked, resp.Ttl.AsDuration())
}

// Close ends the session. Call it when everything that its locks protect has stopped: they are free at once. The contexts of
// its locks end with ErrClosed. When the cluster cannot be told, the locks are free when the lease is over, and the error
// says why.
func (s *Session) Close(ctx context.Context) error {
	over := s.life.ctx.Err() != nil
	s.life.cancel(ErrClosed)
	s.tasks.Wait()
	if over && errors.Is(context.Cause(s.life.ctx), ErrClosed) {
		return nil // it was closed before
	}
	_, err := apiv1.NewSessionsClient(s.client.conn).CloseSession(ctx, &apiv1.CloseSessionRequest{Session: uint64(s.id)})
	if errors.Is(err, ErrLockLost) {
		return nil // it is over
	}
	return err
}
