package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// session opens a session on a host of its own.
func (w *world) session(host string, ttl time.Duration) *lookupclient.Session {
	w.t.Helper()
	return w.sessionBy(host, ttl, memberNow)
}

func (w *world) sessionBy(host string, ttl time.Duration, now func() time.Duration) *lookupclient.Session {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := w.client(host).OpenSession(ctx, lookupclient.SessionConfig{Holder: host, TTL: ttl, Now: now})
	if err != nil {
		w.t.Fatalf("session of %s: %v", host, err)
	}
	w.locking = append(w.locking, s)
	return s
}

func acquire(t *testing.T, s *lookupclient.Session, name string, o lookupclient.LockOptions) *lookupclient.Lock {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	l, err := s.Acquire(ctx, name, o)
	if err != nil {
		t.Fatalf("acquire %s: %v", name, err)
	}
	return l
}

// Ten sessions want one lock: one at a time has it, in the order of asking, and the tokens grow.
func TestSession_Acquire_OneAtATimeInTheirOrder(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var order []int
		var tokens []placement.Epoch
		holding := 0
		var all sync.WaitGroup
		first := acquire(t, w.session("first", 0), "nightly", lookupclient.LockOptions{})
		for i := range 10 {
			s := w.session(fmt.Sprint("h", i), 5*time.Second)
			time.Sleep(100 * time.Millisecond)
			all.Go(func() {
				l := acquire(t, s, "nightly", lookupclient.LockOptions{})
				mu.Lock()
				order, tokens = append(order, i), append(tokens, l.Token)
				if holding++; holding != 1 {
					t.Errorf("%d hold it at once", holding)
				}
				mu.Unlock()
				time.Sleep(3 * time.Second) // longer than a turn
				if err := l.Check(); err != nil {
					t.Errorf("while it is held: %v", err)
				}
				mu.Lock()
				holding--
				mu.Unlock()
				if err := l.Release(context.Background()); err != nil {
					t.Errorf("release: %v", err)
				}
				if !errors.Is(context.Cause(l.Context()), lookupclient.ErrReleased) {
					t.Errorf("its context ended for %v", context.Cause(l.Context()))
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		if err := first.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		all.Wait()
		if !slices.IsSorted(order) || len(order) != 10 || !slices.IsSorted(tokens) || tokens[0] <= first.Token {
			t.Errorf("the order was %v, the tokens %v after %d", order, tokens, first.Token)
		}
	})
}

// Shared claims share, a semaphore has its permits, and a session has one claim to a lock.
func TestSession_Modes(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a, b, c := w.session("a", 0), w.session("b", 0), w.session("c", 0)
		ctx := context.Background()
		shared, pool := lookupclient.LockOptions{Mode: placement.LockShared}, lookupclient.LockOptions{Mode: placement.LockPermit, Permits: 2}
		la := acquire(t, a, "rw", shared)
		acquire(t, b, "rw", shared)
		acquire(t, a, "pool", pool)
		acquire(t, b, "pool", pool)
		for name, o := range map[string]lookupclient.LockOptions{"rw": {}, "pool": pool} {
			_, err := c.TryAcquire(ctx, name, o)
			var e *lookupclient.Error
			if !errors.Is(err, lookupclient.ErrLockHeld) || !errors.As(err, &e) || e.Metadata["holder"] != "a" || !strings.Contains(err.Error(), "1 more") {
				t.Errorf("%s: %v, %v", name, err, e)
			}
		}
		if _, err := c.TryAcquire(ctx, "pool", lookupclient.LockOptions{}); !errors.Is(err, lookupclient.ErrLockHeld) {
			t.Errorf("a semaphore as an exclusive lock: %v", err)
		}
		if _, err := a.Acquire(ctx, "rw", shared); !errors.Is(err, lookupclient.ErrLockHeld) {
			t.Errorf("twice by one session: %v", err)
		}
		if _, err := a.Acquire(ctx, "a\nb", shared); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("a name that is none: %v", err)
		}
		if _, err := w.client("d").OpenSession(ctx, lookupclient.SessionConfig{Holder: "d", TTL: 365 * 24 * time.Hour}); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("a session of a year: %v", err)
		}
		if err := la.Release(ctx); err != nil {
			t.Error(err)
		}
		if err := la.Release(ctx); !errors.Is(err, lookupclient.ErrLockLost) {
			t.Errorf("released twice: %v", err)
		}
		if err := b.Close(ctx); err != nil {
			t.Error(err)
		}
		acquire(t, c, "rw", lookupclient.LockOptions{})
		if err := b.Close(ctx); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		if _, err := b.Acquire(ctx, "rw", shared); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("by a session that is closed: %v", err)
		}
	})
}

// Who stops waiting gives its place up; who waits behind gets on.
func TestSession_AcquireIsCancelled_PlaceIsGivenUp(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a, b, c := w.session("a", 0), w.session("b", 0), w.session("c", 0)
		acquire(t, a, "rw", lookupclient.LockOptions{Mode: placement.LockShared})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // longer than a turn
		defer cancel()
		cancelled, behind := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := b.Acquire(ctx, "rw", lookupclient.LockOptions{})
			cancelled <- err
		}()
		time.Sleep(time.Second)
		go func() { behind <- acquire(t, c, "rw", lookupclient.LockOptions{Mode: placement.LockShared}).Check() }()
		select {
		case err := <-behind:
			t.Fatalf("somebody overtook: %v", err)
		case <-time.After(10 * time.Second):
		}
		if err := <-cancelled; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cancelled: %v", err)
		}
		if err := <-behind; err != nil {
			t.Errorf("behind it: %v", err)
		}
		v := w.c.Save()
		if l, _ := v.Lock("rw"); l.Use.Held != 2 || l.Use.Waiting != 0 {
			t.Errorf("%+v", l.Use)
		}
	})
}

// A holder that is cut off stops by its own clock before another one is granted the lock, also when clocks run at different
// rates.
func TestSession_CutOff_EndsBeforeAnotherHoldsTheLock(t *testing.T) {
	rate := func(percent int64) func() time.Duration {
		return func() time.Duration { return memberNow() / 100 * time.Duration(percent) }
	}
	for name, tt := range map[string]struct{ server, holder int64 }{"even": {100, 100}, "the holder's is slow": {100, 81}, "the servers' are fast": {123, 100}} {
		servers := func(c *raftnode.Config) {
			c.Seams.Now = func() lease.Instant { return lease.Instant(rate(tt.server)()) }
		}
		bubbleWith(t, 3, servers, func(t *testing.T, w *world) {
			const ttl = 8 * time.Second
			a := w.sessionBy("a", ttl, rate(tt.holder))
			held := acquire(t, a, "nightly", lookupclient.LockOptions{})
			b := w.session("b", ttl)
			time.Sleep(3 * time.Second)
			w.isolate("a", true)
			begin := time.Now()
			next := acquire(t, b, "nightly", lookupclient.LockOptions{})
			took := time.Since(begin)
			if held.Context().Err() == nil || !errors.Is(context.Cause(held.Context()), lookupclient.ErrLeaseLost) || held.Check() == nil {
				t.Errorf("%s: granted to another after %v, and the first one holds it still", name, took)
			}
			if took > 2*ttl || next.Token <= held.Token {
				t.Errorf("%s: granted after %v, token %d after %d", name, took, next.Token, held.Token)
			}
			w.isolate("a", false)
			if err := held.Release(context.Background()); !errors.Is(err, lookupclient.ErrLockLost) {
				t.Errorf("%s: released by the former holder: %v", name, err)
			}
			if next.Check() != nil {
				t.Errorf("%s: that took it from the next one", name)
			}
			if err := a.Close(context.Background()); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		})
	}
}

// A lock-delay keeps the lock from the next one after its holder died, and not after it closed its session.
func TestSession_Dies_LockDelayPasses(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		const ttl, delay = 4 * time.Second, 10 * time.Second
		a, b := w.session("a", ttl), w.session("b", ttl)
		acquire(t, a, "nightly", lookupclient.LockOptions{Delay: delay})
		w.isolate("a", true)
		begin := time.Now()
		acquire(t, b, "nightly", lookupclient.LockOptions{Delay: delay})
		if took := time.Since(begin); took < delay || took > lease.Stretch(ttl)+lease.Stretch(delay)+2*time.Second {
			t.Errorf("granted after %v", took)
		}
		begin = time.Now()
		if err := b.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		acquire(t, w.session("c", ttl), "nightly", lookupclient.LockOptions{})
		if took := time.Since(begin); took > time.Second {
			t.Errorf("after a clean end, granted after %v", took)
		}
	})
}

// The holder of a broken lock learns of it with its next keepalive, at the latest a quarter of its TTL later; the lock is
// free as soon as it gives it up, and otherwise when no lease can be relied on any more.
func TestSession_LockIsBroken_HolderIsToldFirst(t *testing.T) {
	for _, cut := range []bool{false, true} {
		bubble(t, 3, func(t *testing.T, w *world) {
			const ttl = 8 * time.Second
			a, b := w.session("a", ttl), w.session("b", ttl)
			held, other := acquire(t, a, "nightly", lookupclient.LockOptions{}), acquire(t, a, "other", lookupclient.LockOptions{})
			time.Sleep(5 * time.Second)
			w.isolate("a", cut)
			api := apiv1.NewLocksClient(w.client("operator").Conn())
			broken, err := api.BreakLock(context.Background(), &apiv1.BreakLockRequest{Name: "nightly"})
			if err != nil || !broken.Changed || broken.FreeIn.AsDuration() < ttl || broken.FreeIn.AsDuration() > lease.Stretch(ttl) {
				t.Fatalf("break: %v, %v", broken, err)
			}
			begin := time.Now()
			var told sync.WaitGroup
			told.Go(func() {
				<-held.Context().Done()
				if took := time.Since(begin); !cut && (took > ttl/4+time.Second || !errors.Is(context.Cause(held.Context()), lookupclient.ErrLockLost)) {
					t.Errorf("the holder was told after %v: %v", took, context.Cause(held.Context()))
				}
				if !cut {
					if err := other.Check(); err != nil {
						t.Errorf("the other lock is lost, too: %v", err)
					}
					if err := held.Release(context.Background()); !errors.Is(err, lookupclient.ErrLockLost) {
						t.Errorf("release of what was broken: %v", err)
					}
				}
			})
			next := acquire(t, b, "nightly", lookupclient.LockOptions{})
			took := time.Since(begin)
			if held.Context().Err() == nil {
				t.Errorf("granted after %v, while the former holder believes in it", took)
			}
			if cut && (took < ttl || took > lease.Stretch(ttl)+2*time.Second) || !cut && took > ttl/4+time.Second {
				t.Errorf("cut off: %t: granted after %v", cut, took)
			}
			if told.Wait(); next.Check() != nil || next.Token <= held.Token {
				t.Errorf("the next one has token %d after %d, %v", next.Token, held.Token, next.Check())
			}
		})
	}
}

// Twenty forced elections in a minute, half of them by a leader that is cut off, cost nobody a lease of 30 s who keeps it:
// neither sessions nor members. Dead ones end when the longest lease, stretched, is over since the last change of tenure.
func TestSession_TwentyElections_LivingOnesLast(t *testing.T) {
	const ttl = 30 * time.Second
	bubbleWith(t, 3, func(c *raftnode.Config) { c.MemberTTL = ttl }, func(t *testing.T, w *world) {
		var locks []*lookupclient.Lock
		for i := range 20 {
			s := w.session(fmt.Sprint("h", i), ttl)
			locks = append(locks, acquire(t, s, fmt.Sprint("lock-", i), lookupclient.LockOptions{}))
		}
		dead := w.session("dead", ttl)
		acquire(t, dead, "orphan", lookupclient.LockOptions{})
		client := w.client("client")
		gone := w.member("gone", nil)
		if _, err := client.PlaceAll(t.Context(), carts(10)); err != nil {
			t.Fatal(err)
		}
		live := w.member("live", nil)
		if _, err := client.PlaceAll(t.Context(), carts(20)); err != nil {
			t.Fatal(err)
		}
		until(t, "members hold everything", func() bool { return gone.State().Held+live.State().Held == 20 })
		held, incarnation := live.State().Held, live.State().Incarnation
		if held == 0 {
			t.Fatal("the living member owns nothing")
		}
		w.isolate("dead", true)
		w.isolate("gone", true)
		admin := apiv1.NewClusterClient(w.client("admin").Conn())
		begin := time.Now()
		var last time.Time
		term := w.c.Save().Term
		for n := range 20 {
			old := w.c.Leader(nil)
			if n%2 == 0 {
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				_, _ = admin.TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{})
				cancel()
			} else {
				old.Isolate(true)
			}
			w.c.Leader(old)
			last = time.Now()
			old.Isolate(false)
			time.Sleep(time.Until(begin.Add(time.Duration(n+1) * 3 * time.Second)))
		}
		if took := time.Since(begin); took > 65*time.Second {
			t.Errorf("twenty elections took %v", took)
		}
		if n := w.c.Save().Term - term; n < 20 {
			t.Errorf("there were %d elections", n)
		}
		acquire(t, w.session("heir", ttl), "orphan", lookupclient.LockOptions{})
		if took := time.Since(last); took > lease.Stretch(ttl)+time.Second {
			t.Errorf("the dead session ended %v after the last election", took)
		}
		until(t, "the dead member has ended", func() bool { return members(t, client)["gone"] == nil })
		if took := time.Since(last); took > lease.Stretch(ttl)+time.Second {
			t.Errorf("the dead member ended %v after the last election", took)
		}
		for i, l := range locks {
			if err := l.Check(); err != nil {
				t.Errorf("lock %d is lost: %v", i, err)
			}
		}
		if s := live.State(); s.Lost != 0 || s.Held != held || s.Incarnation != incarnation {
			t.Errorf("the living member: %+v, it held %d", s, held)
		}
	})
}

// A session whose clock jumps by an hour, in either direction, has ended at once, and so have its locks: also before any
// timer has run. Another one is granted them when the lease is over, and no session of others is touched.
func TestSession_ClockJumpsAnHour_EndsAtOnce(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		bubble(t, 3, func(t *testing.T, w *world) {
			var skip atomic.Int64
			s := w.sessionBy("a", 5*time.Second, func() time.Duration { return memberNow() + time.Duration(skip.Load()) })
			other := acquire(t, w.session("b", 5*time.Second), "other", lookupclient.LockOptions{})
			lock, second := acquire(t, s, "x", lookupclient.LockOptions{}), acquire(t, s, "y", lookupclient.LockOptions{})
			skip.Store(int64(jump))
			if err := lock.Context().Err(); err == nil || !errors.Is(context.Cause(lock.Context()), lookupclient.ErrLeaseLost) {
				t.Errorf("jump %v: the lock's context: %v", jump, err)
			}
			if err := second.Check(); !errors.Is(err, lookupclient.ErrLeaseLost) {
				t.Errorf("jump %v: Check says %v", jump, err)
			}
			if err := s.Context().Err(); err == nil || s.LeaseLeft() != 0 {
				t.Errorf("jump %v: the session: %v, %v left", jump, err, s.LeaseLeft())
			}
			acquire(t, w.session("c", 5*time.Second), "x", lookupclient.LockOptions{})
			if err := other.Check(); err != nil {
				t.Errorf("jump %v: the lock of another session: %v", jump, err)
			}
		})
	}
}

// Sessions of a cluster that was restored mean nothing to the new one.
func TestSession_OfAnotherCluster_IsRefused(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		s := w.session("a", 4*time.Second)
		l := acquire(t, s, "nightly", lookupclient.LockOptions{})
		w.c.Restore(w.c.Save())
		w.c.Leader(nil)
		<-l.Context().Done()
		if err := l.Check(); err == nil {
			t.Error("it holds the lock of the former cluster")
		}
		if _, err := s.Acquire(context.Background(), "nightly", lookupclient.LockOptions{}); err == nil {
			t.Error("it was given a lock of the new one")
		}
		acquire(t, w.session("b", 4*time.Second), "nightly", lookupclient.LockOptions{})
	})
}
