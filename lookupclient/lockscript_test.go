package lookupclient_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// scriptLocks is a server that says of locks what a test tells it to say: also what a real one says only when messages cross.
type scriptLocks struct {
	apiv1.UnimplementedSessionsServer
	apiv1.UnimplementedLocksServer
	open     time.Duration // how long OpenSession takes
	keep     func(n int64) *apiv1.KeepSessionResponse
	acquire  func(n int64) (*apiv1.AcquireLockResponse, error)
	release  time.Duration // how long ReleaseLock takes
	kept     atomic.Int64
	asked    atomic.Int64
	released atomic.Int64
}

const lockTTL = 4 * time.Second

func (l *scriptLocks) OpenSession(context.Context, *apiv1.OpenSessionRequest) (*apiv1.OpenSessionResponse, error) {
	time.Sleep(l.open)
	return &apiv1.OpenSessionResponse{Session: &apiv1.Session{Id: 7, Ttl: durationpb.New(lockTTL)}}, nil
}

func (l *scriptLocks) KeepSession(context.Context, *apiv1.KeepSessionRequest) (*apiv1.KeepSessionResponse, error) {
	resp := &apiv1.KeepSessionResponse{}
	if n := l.kept.Add(1); l.keep != nil {
		resp = l.keep(n)
	}
	resp.Ttl = durationpb.New(lockTTL)
	return resp, nil
}

func (*scriptLocks) CloseSession(context.Context, *apiv1.CloseSessionRequest) (*apiv1.CloseSessionResponse, error) {
	return &apiv1.CloseSessionResponse{}, nil
}

func (l *scriptLocks) AcquireLock(context.Context, *apiv1.AcquireLockRequest) (*apiv1.AcquireLockResponse, error) {
	return l.acquire(l.asked.Add(1))
}

func (l *scriptLocks) ReleaseLock(ctx context.Context, _ *apiv1.ReleaseLockRequest) (*apiv1.ReleaseLockResponse, error) {
	defer l.released.Add(1)
	select {
	case <-time.After(l.release):
		return &apiv1.ReleaseLockResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err() // at the very moment when the caller's time is over, too
	}
}

// rehearseClient runs a client against a script.
func rehearseClient(t *testing.T, l *scriptLocks, f func(t *testing.T, c *lookupclient.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := raftnodetest.NewNetwork()
		listener, err := network.Host("s1").Listen("s1:7420")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer()
		apiv1.RegisterSessionsServer(server, l)
		apiv1.RegisterLocksServer(server, l)
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		client, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Dial: network.Host("m").Dial, Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		f(t, client)
	})
}

// rehearseLocks runs a session against a script.
func rehearseLocks(t *testing.T, l *scriptLocks, now func() time.Duration, f func(t *testing.T, s *lookupclient.Session)) {
	t.Helper()
	rehearseClient(t, l, func(t *testing.T, c *lookupclient.Client) {
		s, err := c.OpenSession(t.Context(), lookupclient.SessionConfig{Holder: "m", TTL: lockTTL, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close(context.Background()) }()
		f(t, s)
	})
}

func granted(token uint64) (*apiv1.AcquireLockResponse, error) {
	return &apiv1.AcquireLockResponse{Name: "nightly", Token: token, Session: 7, Held: true}, nil
}

// An answer that took longer than the TTL says nothing of now: the lock may have been broken, and be free again. It is asked
// for once more.
func TestSession_GrantComesLate_IsAskedForAgain(t *testing.T) {
	l := &scriptLocks{acquire: func(n int64) (*apiv1.AcquireLockResponse, error) {
		if n == 1 {
			time.Sleep(lockTTL)
			return granted(5)
		}
		return granted(9)
	}}
	rehearseLocks(t, l, memberNow, func(t *testing.T, s *lookupclient.Session) {
		lock, err := s.Acquire(t.Context(), "nightly", lookupclient.LockOptions{})
		if err != nil || lock.Token != 9 || l.asked.Load() != 2 {
			t.Errorf("%+v, %v, asked %d times", lock, err, l.asked.Load())
		}
	})
}

// A loss that is known counts also when the grant comes after it; what was lost is given up.
func TestSession_LossComesBeforeTheGrant_IsLost(t *testing.T) {
	l := &scriptLocks{
		keep: func(int64) *apiv1.KeepSessionResponse {
			return &apiv1.KeepSessionResponse{Lost: []*apiv1.LostLock{{Name: "nightly", Token: 5}}}
		},
		acquire: func(int64) (*apiv1.AcquireLockResponse, error) {
			time.Sleep(lockTTL / 2)
			return granted(5)
		},
	}
	rehearseLocks(t, l, memberNow, func(t *testing.T, s *lookupclient.Session) {
		if lock, err := s.Acquire(t.Context(), "nightly", lookupclient.LockOptions{}); !errors.Is(err, lookupclient.ErrLockLost) || l.released.Load() != 1 {
			t.Errorf("%+v, %v, released %d times", lock, err, l.released.Load())
		}
	})
}

// A keepalive that is answered when the lease is over comes too late, also when nobody has noticed the end yet: it may be of a
// time at which a broken lock had become free again.
func TestSession_KeepaliveAnsweredAfterTheEnd_DoesNotReviveIt(t *testing.T) {
	var jump atomic.Int64
	l := &scriptLocks{
		keep: func(n int64) *apiv1.KeepSessionResponse {
			if n == 3 {
				jump.Store(int64(lockTTL - lockTTL/8)) // the process was stopped; more than a TTL has passed since the second
			}
			return &apiv1.KeepSessionResponse{}
		},
		acquire: func(int64) (*apiv1.AcquireLockResponse, error) { return granted(5) },
	}
	rehearseLocks(t, l, func() time.Duration { return memberNow() + time.Duration(jump.Load()) }, func(t *testing.T, s *lookupclient.Session) {
		lock, err := s.Acquire(t.Context(), "nightly", lookupclient.LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for l.kept.Load() < 3 {
			time.Sleep(10 * time.Millisecond)
			if l.kept.Load() < 3 && lock.Check() != nil {
				t.Fatalf("it ended after %d keepalives", l.kept.Load())
			}
		}
		synctest.Wait()
		if !errors.Is(lock.Check(), lookupclient.ErrLeaseLost) || lock.Context().Err() == nil || s.LeaseLeft() != 0 {
			t.Errorf("after the end: %v, %v left", lock.Check(), s.LeaseLeft())
		}
	})
}

// Who gives up without knowing that it was carried out does not ask again in the same session: the release names no token, and one
// that comes late would free what was granted since, and nobody would know.
func TestSession_GivingUpIsUnknown_SameLockIsNotAskedForAgain(t *testing.T) {
	l := &scriptLocks{release: 3 * time.Second, acquire: func(n int64) (*apiv1.AcquireLockResponse, error) {
		if n == 1 {
			time.Sleep(time.Second) // longer than its caller waits
		}
		return granted(uint64(4 + n))
	}}
	rehearseLocks(t, l, memberNow, func(t *testing.T, s *lookupclient.Session) {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if lock, err := s.Acquire(ctx, "nightly", lookupclient.LockOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%+v, %v", lock, err)
		}
		if lock, err := s.Acquire(t.Context(), "nightly", lookupclient.LockOptions{}); !errors.Is(err, lookupclient.ErrLockHeld) || l.asked.Load() != 1 || !strings.Contains(err.Error(), "close it") {
			t.Errorf("asked for again: %+v, %v, asked %d times", lock, err, l.asked.Load())
		}
		if lock, err := s.Acquire(t.Context(), "other", lookupclient.LockOptions{}); err != nil {
			t.Errorf("another lock: %+v, %v", lock, err)
		}
	})
}

// An answer that took longer than the TTL opens nothing.
func TestClient_OpenSession_AnswerComesLate_IsLost(t *testing.T) {
	l := &scriptLocks{open: lockTTL}
	rehearseClient(t, l, func(t *testing.T, c *lookupclient.Client) {
		if s, err := c.OpenSession(t.Context(), lookupclient.SessionConfig{Holder: "m", TTL: lockTTL, Now: memberNow}); !errors.Is(err, lookupclient.ErrLeaseLost) {
			t.Errorf("%v, %v", s, err)
		}
	})
}
