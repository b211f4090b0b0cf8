package contract

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// ErrFull says that a Storage keeps StoredMax activations. Nothing was changed.
var ErrFull = fmt.Errorf("this process has stored %d activations", StoredMax)

// Storage is a placement.Locker and a placement.Storage over the locks of a cluster. It is safe for concurrent use.
//
// What was stored lasts until it is removed, or its member is, or until the Storage that stored it is closed or has not
// reached the cluster for Config.Stale. A Store whose outcome stayed unknown does not last.
type Storage struct {
	config   Config
	locks    apiv1.LocksClient
	sessions apiv1.SessionsClient
	tasks    sync.WaitGroup
	closed   chan struct{}
	most     int // of kept

	mu   sync.Mutex
	over bool
	kept map[uint64]*keptActivation // by session
}

var (
	_ placement.Locker  = (*Storage)(nil)
	_ placement.Storage = (*Storage)(nil)
)

// NewStorage returns a storage in the client's cluster. The caller closes it, and then the client. Errors are those of
// Config.Validate.
func NewStorage(client *lookupclient.Client, c Config) (*Storage, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return &Storage{
		config: c.withDefaults(), locks: apiv1.NewLocksClient(client.Conn()), sessions: apiv1.NewSessionsClient(client.Conn()),
		closed: make(chan struct{}), most: StoredMax, kept: map[uint64]*keptActivation{},
	}, nil
}

// Close ends what was stored through this Storage: call it when it has stopped. What the cluster cannot be told within ctx
// is over when its lease is. OnLost is not called.
func (s *Storage) Close(ctx context.Context) error {
	s.mu.Lock()
	first := !s.over
	if s.over = true; first {
		close(s.closed)
	}
	sessions := make(chan uint64, len(s.kept))
	for session := range s.kept {
		sessions <- session
	}
	close(sessions)
	clear(s.kept)
	s.mu.Unlock()
	s.tasks.Wait()
	return each(sessions, func(session uint64) error { return s.end(ctx, session) })
}

// begin checks what every call begins with.
func (s *Storage) begin(ctx context.Context, id placement.Identity) error {
	if err := begin(ctx, id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return fmt.Errorf("storage: %w", lookupclient.ErrClosed)
	}
	return nil
}

// TryAcquire is that of placement.Locker. Besides, it fails as a change of lookupclient does.
func (s *Storage) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	if err := s.begin(ctx, id); err != nil {
		return placement.SpawnLock{}, err
	}
	key := keyOf(id)
	c, err := s.acquire(ctx, key)
	if errors.Is(err, lookupclient.ErrLockHeld) {
		return placement.SpawnLock{}, fmt.Errorf("acquire %v: %w: %w", id, placement.ErrNotGranted, err)
	}
	if err != nil {
		return placement.SpawnLock{}, failed(ctx, "acquire", err)
	}
	// Invariant: whoever stores held this lock while it did, so what is stored now was stored before.
	r, ok, err := s.oldest(ctx, key)
	if err == nil && (!ok || r.given()) {
		return placement.SpawnLock{ID: c.ID(), Identity: id}, nil
	}
	s.abandon(ctx, c.session)
	if err != nil {
		return placement.SpawnLock{}, failed(ctx, "acquire", err)
	}
	return placement.SpawnLock{}, fmt.Errorf("acquire %v: it is activated on %s: %w", id, r.Member, placement.ErrNotGranted)
}

const (
	// passing is how long those who waited for a lock may be in the way while they give it up again.
	passing     = time.Second
	passingTick = 10 * time.Millisecond
)

// acquire opens a session that has the lock. Nobody keeps it, so that it ends when it is not used.
func (s *Storage) acquire(ctx context.Context, key string) (claim, error) {
	for tries := passing / passingTick; ; tries-- {
		resp, err := s.locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{
			Name: s.config.spawnName(key), Ttl: durationpb.New(s.config.Stale), Holder: holderStore + key,
		})
		if err == nil {
			return claim{resp.Session, resp.Token}, nil
		}
		var e *lookupclient.Error
		if !errors.As(err, &e) || e.Reason != apiv1.ReasonLockHeld || tries == 0 {
			return claim{}, err
		}
		// Without a name there is nobody by now who was in the way.
		if holder := e.Metadata["holder"]; holder != "" && !strings.HasPrefix(holder, holderWaits) {
			return claim{}, err
		}
		select {
		case <-time.After(passingTick):
		case <-ctx.Done():
			return claim{}, context.Cause(ctx)
		}
	}
}

// Release is that of placement.Locker. Besides, it fails as a change of lookupclient does.
func (s *Storage) Release(ctx context.Context, l placement.SpawnLock) error {
	if err := s.begin(ctx, l.Identity); err != nil {
		return err
	}
	c, ok := claimOf(l.ID)
	if !ok {
		return nil
	}
	key := keyOf(l.Identity)
	err := s.holds(ctx, key, c)
	if err == nil {
		err = s.giveUp(ctx, key, c.session)
	}
	if err != nil && !gone(err) {
		return failed(ctx, "release", err)
	}
	return nil
}

// holds says whether a session has the lock of an identity, and has not used it: nil, or an error of the kind gone.
func (s *Storage) holds(ctx context.Context, key string, c claim) error {
	resp, err := s.locks.GetLock(ctx, &apiv1.GetLockRequest{Name: s.config.spawnName(key)})
	if err != nil {
		return err
	}
	for _, x := range resp.Lock.Claims {
		if x.Session == c.session && x.Token == c.token && x.Held && x.Lost == apiv1.LockClaim_KEPT {
			return nil
		}
	}
	return lookupclient.ErrLockLost
}

// giveUp ends a session unless something was stored with it. The oldest record decides: this one, or a store that came first.
func (s *Storage) giveUp(ctx context.Context, key string, session uint64) error {
	_, err := s.locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: s.config.recordName(key, placement.StoredActivation{}), Session: session})
	if err != nil {
		return err
	}
	r, ok, err := s.oldest(ctx, key)
	if err != nil || ok && r.session == session && !r.given() {
		return err
	}
	return s.end(ctx, session)
}

// gone says that a session is over, or has not the claim that was asked about.
func gone(err error) bool {
	return errors.Is(err, lookupclient.ErrLockLost) || errors.Is(err, lookupclient.ErrLockNotFound)
}

// end ends a session. One that is over is no error.
func (s *Storage) end(ctx context.Context, session uint64) error {
	_, err := s.sessions.CloseSession(ctx, &apiv1.CloseSessionRequest{Session: session})
	if err != nil && !gone(err) {
		return err
	}
	return nil
}

// abandonBudget bounds the end of a session that nobody needs; its lease ends it otherwise.
const abandonBudget = 2 * time.Second

// abandon ends a session that nobody needs, also when ctx has ended.
func (s *Storage) abandon(ctx context.Context, session uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonBudget)
	defer cancel()
	_ = s.end(ctx, session)
}

// abandonLater does so without waiting for it. Close does.
func (s *Storage) abandonLater(ctx context.Context, session uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.tasks.Go(func() { s.abandon(ctx, session) })
	}
}
