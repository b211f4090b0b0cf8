package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// A member that is cut off stops by its own clock before another one is chosen, comes back as a new incarnation, and its
// identities are placed elsewhere meanwhile.
func TestMember_CutOff_FencesItself(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var mu sync.Mutex
		var ended []error
		a := w.member("a", func(c *lookupclient.MemberConfig) {
			run := w.run("a")
			c.Kinds["cart"] = lookupclient.Kind{Run: func(x *lookupclient.Activation) {
				run(x)
				mu.Lock()
				defer mu.Unlock()
				ended = append(ended, context.Cause(x.Context()))
			}}
		})
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		before, err := c.PlaceAll(ctx, carts(20))
		if err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		inc := a.State().Incarnation
		w.isolate("a", true)
		begin := time.Now()
		for a.State().Held != 0 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begin); took < 3*time.Second || took > 5*time.Second+100*time.Millisecond {
			t.Errorf("the member stopped after %v, its lease is 5s", took)
		}
		// The cluster waits a quarter of the lease longer; then its placements are removals, and are placed anew on whoever
		// is there.
		for {
			if p, err := c.Lookup(ctx, cart(0)); err != nil || p.Member != "a" {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		for i := range 20 {
			p, _, err := c.Place(ctx, cart(i))
			if err != nil || p.Member != "b" || p.Epoch <= before[i].Placement.Epoch {
				t.Fatalf("place %d anew: %+v, %v", i, p, err)
			}
		}
		if took := time.Since(begin); took > 8*time.Second {
			t.Errorf("placed anew after %v", took)
		}
		mu.Lock()
		if len(ended) != 20 || !errors.Is(ended[0], lookupclient.ErrLeaseLost) {
			t.Errorf("%d activations ended, the first for %v", len(ended), ended)
		}
		mu.Unlock()
		w.isolate("a", false)
		for a.State().Incarnation == inc || a.State().Incarnation == 0 {
			time.Sleep(time.Millisecond)
		}
		if s := a.State(); s.Lost == 0 || s.Held != 0 {
			t.Errorf("after it came back: %+v", s)
		}
	})
}

// However long ago the last keepalive was when the network is cut, the context ends when the lease does: not later, and at
// most the time between two keepalives, and the one that an answer may take, earlier than a lease after the cut.
func TestMember_CutOff_ContextEndsWithTheLease(t *testing.T) {
	const ttl = 5 * time.Second
	bubble(t, 3, func(t *testing.T, w *world) {
		began := make(chan *lookupclient.Activation, 1)
		m := w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Run: func(a *lookupclient.Activation) { began <- a; <-a.Context().Done() }}
		})
		c := w.client("client")
		rng := rand.New(rand.NewPCG(5, 5))
		var took []time.Duration
		for n := range underrace.Rounds(40, 12) {
			until(t, "it has a session", func() bool { return m.State().Server != "" })
			go func() { _, _, _ = c.Place(t.Context(), cart(n)) }()
			a := <-began
			time.Sleep(time.Duration(rng.Int64N(int64(ttl))))
			w.isolate("a", true)
			begin := time.Now()
			<-a.Context().Done()
			took = append(took, time.Since(begin))
			w.isolate("a", false)
		}
		slices.Sort(took)
		t.Logf("%d cuts, a lease of %v: the context ends after %v at least, %v in the middle, %v at most", len(took), ttl, took[0], took[len(took)/2], took[len(took)-1])
		if took[0] < ttl*3/4-600*time.Millisecond || took[len(took)-1] > ttl {
			t.Errorf("the context ends %v to %v after a cut", took[0], took[len(took)-1])
		}
	})
}

// A member's lease is counted from when it asked (M2): with slow links it is shorter by a round trip, and more, when the answer comes.
func TestMember_SlowLinks_LeaseIsCountedFromTheRequest(t *testing.T) {
	const ttl, late = 5 * time.Second, 150 * time.Millisecond
	bubble(t, 3, func(t *testing.T, w *world) {
		for _, s := range w.c.Servers {
			w.c.Network.Delay("a", s.Host, late)
			w.c.Network.Delay(s.Host, "a", late)
		}
		m := w.member("a", nil)
		shortest, longest := ttl, time.Duration(0)
		for range 2000 {
			left := m.State().LeaseLeft
			shortest, longest = min(shortest, left), max(longest, left)
			time.Sleep(10 * time.Millisecond)
		}
		most := time.Duration(lease.Keep(0, ttl).Expiry) - 2*late
		if shortest <= 0 || longest > most || longest < most/2 {
			t.Errorf("the member has %v to %v of its lease, want up to %v", shortest, longest, most)
		}
	})
}

// A leader that falls silent, wherever it stands in the member's list, costs the member less than its lease.
func TestMember_LeaderFallsSilent_KeepsItsIncarnation(t *testing.T) {
	for n := range 5 {
		bubble(t, 5, func(t *testing.T, w *world) {
			m := w.member("a", nil)
			c := w.client("client")
			leader := w.c.Servers[n]
			for w.c.Leader(nil) != leader {
				_, _ = apiv1.NewClusterClient(c.Conn()).TransferLeadership(t.Context(), &apiv1.TransferLeadershipRequest{To: leader.Name})
				time.Sleep(time.Second)
			}
			until(t, "its session is with the leader", func() bool { return m.State().Server == leader.Name })
			time.Sleep(5 * time.Second)
			leader.Isolate(true)
			w.c.Network.Isolate("a", true, leader.Host)
			begin := time.Now()
			until(t, "it has another session", func() bool { s := m.State().Server; return s != leader.Name && s != "" })
			t.Logf("the leader is server %d of its list: another session after %v", n+1, time.Since(begin))
			if _, _, err := c.Place(t.Context(), cart(n)); err != nil {
				t.Error(err)
			}
			if s := m.State(); s.Lost != 0 {
				t.Errorf("the leader is server %d of its list: the member lost its lease: %+v", n+1, s)
			}
		})
	}
}

// A leader that the member was not given, but told of, is asked again when its session has ended: all others say that it leads.
func TestMember_LeaderWasLearned_HasASessionAgain(t *testing.T) {
	bubble(t, 5, func(t *testing.T, w *world) {
		leader := w.c.Leader(nil)
		c := w.clientWith("m", func(c *lookupclient.Config) {
			c.Servers = nil
			for _, s := range w.c.Others(leader) {
				c.Servers = append(c.Servers, s.Host+":7420")
			}
		})
		m, err := c.Join(t.Context(), lookupclient.MemberConfig{Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		for range 3 {
			until(t, "its session is with the leader", func() bool { return m.State().Server == leader.Name })
			time.Sleep(5 * time.Second)
			w.c.Network.Isolate("m", true, leader.Host)
			until(t, "its session has ended", func() bool { return m.State().Server == "" })
			w.c.Network.Isolate("m", false, leader.Host)
		}
		until(t, "it has a session again", func() bool { return m.State().Server == leader.Name })
		if w.c.Leader(nil) != leader {
			t.Error("another server leads")
		}
	})
}

// Two clocks may run at different rates, up to the bound: a member that is cut off has stopped before another one begins.
func TestMember_CutOff_ClocksOfDifferentRates_OneOwner(t *testing.T) {
	rate := func(percent int64) func() time.Duration {
		return func() time.Duration { return memberNow() / 100 * time.Duration(percent) }
	}
	for name, tt := range map[string]struct{ server, member int64 }{
		"the member's is slow":   {100, 81},
		"the servers' are fast":  {123, 100},
		"both are, half the way": {111, 90},
	} {
		servers := func(c *raftnode.Config) {
			c.Seams.Now = func() lease.Instant { return lease.Instant(rate(tt.server)()) }
		}
		bubbleWith(t, 3, servers, func(t *testing.T, w *world) {
			a := w.member("a", func(c *lookupclient.MemberConfig) { c.Now = rate(tt.member) })
			c := w.client("client")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, err := c.PlaceAll(ctx, carts(20)); err != nil {
				t.Fatal(err)
			}
			w.member("b", nil)
			for a.State().Held != 20 {
				time.Sleep(time.Millisecond)
			}
			w.isolate("a", true)
			for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
				p, _, err := c.Place(ctx, cart(0))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if p.Member == "a" {
					continue
				}
				if n := a.State().Held; n != 0 {
					t.Errorf("%s: another member was chosen after %v, and this one holds %d", name, time.Since(begin), n)
				}
				break
			}
			w.isolate("a", false)
		})
	}
}

// A new leader knows nothing of what the former one granted. A member that it has not heard yet is not replaced before its
// lease has run out, also when the new leader grants less.
func TestMember_LeaderKilled_NewTenureGrantsTheFullTime(t *testing.T) {
	for name, next := range map[string]time.Duration{"the same lease": 5 * time.Second, "a shorter lease": time.Second} {
		ttl := 5 * time.Second
		bubbleWith(t, 3, func(c *raftnode.Config) { c.MemberTTL = ttl }, func(t *testing.T, w *world) {
			a := w.member("a", nil)
			c := w.client("client")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, err := c.PlaceAll(ctx, carts(20)); err != nil {
				t.Fatal(err)
			}
			w.member("b", nil)
			l := w.c.Leader(nil)
			ttl = next
			for _, s := range w.c.Others(l) {
				s.Kill()
				s.Start()
				time.Sleep(3 * time.Second)
				w.c.Network.Cut("a", s.Host, true)
				w.c.Network.Cut(s.Host, "a", true)
			}
			if !l.Node.Leads() {
				t.Fatal("the leader has changed")
			}
			for before, n := a.State().LeaseLeft, 0; a.State().LeaseLeft <= before && n < 3000; n++ { // until it was renewed
				before = a.State().LeaseLeft
				time.Sleep(time.Millisecond)
			}
			if n := a.State().Held; n != 20 {
				t.Fatalf("the member holds %d", n)
			}
			begin := time.Now()
			var killed sync.WaitGroup
			killed.Go(l.Kill) // it takes a while to end, which nobody waits for
			defer killed.Wait()
			for ; ; time.Sleep(50 * time.Millisecond) {
				p, _, err := c.Place(ctx, cart(0))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if p.Member == "a" {
					continue
				}
				if n, took := a.State().Held, time.Since(begin); n != 0 || took > 10*time.Second {
					t.Errorf("%s: another member was chosen after %v, and this one holds %d", name, took, n)
				}
				break
			}
			w.isolate("a", false)
		})
	}
}

// Check, and the context's Err, know that time has passed while the process was stopped, before any timer does. A clock that
// jumped back proves nothing, and ends the member too.
func TestMember_ProcessStopped_CheckSaysNo(t *testing.T) {
	check := func(a *lookupclient.Activation) error { return a.Check() }
	for name, tt := range map[string]struct {
		jump time.Duration
		ask  func(*lookupclient.Activation) error
	}{
		"Check": {6 * time.Second, check},
		"Err of the context": {6 * time.Second, func(a *lookupclient.Activation) error {
			return errors.Join(a.Context().Err(), context.Cause(a.Context()))
		}},
		"Check, an hour ahead":  {time.Hour, check},
		"Check, an hour behind": {-time.Hour, check},
	} {
		bubble(t, 3, func(t *testing.T, w *world) {
			var skip atomic.Int64
			var got atomic.Pointer[lookupclient.Activation]
			m := w.member("a", func(c *lookupclient.MemberConfig) {
				c.Now = func() time.Duration { return memberNow() + time.Duration(skip.Load()) }
				c.Kinds["cart"] = lookupclient.Kind{Run: func(a *lookupclient.Activation) {
					got.CompareAndSwap(nil, a)
					<-a.Context().Done()
				}}
			})
			if _, _, err := w.client("client").Place(context.Background(), cart(1)); err != nil {
				t.Fatal(err)
			}
			for got.Load() == nil { // the client may hear of it before the member does
				time.Sleep(time.Millisecond)
			}
			a := got.Load()
			if err := tt.ask(a); err != nil || a.LeaseLeft() <= 0 {
				t.Fatalf("%s: while it holds: %v, %v left", name, err, a.LeaseLeft())
			}
			skip.Store(int64(tt.jump)) // the clock went on, and nothing of the process did
			if err := tt.ask(a); !errors.Is(err, lookupclient.ErrLeaseLost) || a.LeaseLeft() != 0 {
				t.Errorf("%s: after %v: %v, %v left", name, tt.jump, err, a.LeaseLeft())
			}
			time.Sleep(100 * time.Millisecond)
			if !errors.Is(context.Cause(a.Context()), lookupclient.ErrLeaseLost) {
				t.Errorf("%s: the context ended for %v", name, context.Cause(a.Context()))
			}
			for begin := time.Now(); m.State().Incarnation == 0 || m.State().Lost == 0; time.Sleep(10 * time.Millisecond) {
				if time.Since(begin) > 20*time.Second {
					t.Fatalf("%s: it did not join again: %+v", name, m.State())
				}
			}
		})
	}
}

// A member that is looking for the leader when its clock jumps back goes on looking.
func TestMember_ClockJumpsBackWhileNobodyIsThere_JoinsAgain(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var skip atomic.Int64
		m := w.member("a", func(c *lookupclient.MemberConfig) {
			c.Now = func() time.Duration { return memberNow() + time.Duration(skip.Load()) }
		})
		for _, s := range w.c.Servers {
			s.Kill() // nobody listens, so that it waits between two tries most of the time
		}
		until(t, "the lease is lost", func() bool { return m.State().Lost == 1 })
		time.Sleep(10 * time.Second)
		skip.Store(-int64(time.Hour))
		for _, s := range w.c.Servers {
			s.Start()
		}
		if took := until(t, "it has joined again", func() bool { return m.State().Incarnation != 0 }); took > 20*time.Second {
			t.Errorf("it joined again after %v", took)
		}
	})
}

func TestMember_ActivateFails_NextCandidateAndAllReasons(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		fails := func(why string) func(*lookupclient.MemberConfig) {
			return func(c *lookupclient.MemberConfig) {
				c.Kinds["cart"] = lookupclient.Kind{Activate: func(context.Context, *lookupclient.Activation) error { return errors.New(why) }}
			}
		}
		w.member("a", fails("no memory"))
		w.member("b", fails("no disk"))
		c := w.client("client")
		_, _, err := c.Place(context.Background(), cart(1))
		if !errors.Is(err, lookupclient.ErrNoMember) || !strings.Contains(err.Error(), "a failed: no memory") || !strings.Contains(err.Error(), "b failed: no disk") {
			t.Errorf("when all fail: %v", err)
		}
		w.member("c", nil)
		for i := range 10 {
			p, _, err := c.Place(context.Background(), cart(100+i))
			if err != nil || p.Member != "c" {
				t.Errorf("with one that works: %+v, %v", p, err)
			}
		}
	})
}

// A member that is chosen and says nothing is passed over when its time is up.
func TestMember_ActivateHangs_NextCandidate(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Weight = 1000
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		w.member("b", func(c *lookupclient.MemberConfig) { c.Weight = 1 })
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		begin := time.Now()
		p, _, err := c.Place(ctx, cart(1))
		if err != nil || p.Member != "b" {
			t.Fatalf("place: %+v, %v", p, err)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("passed over after %v, the time to confirm is 5s", took)
		}
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, _, err = c.Place(short, cart(2))
		if !errors.Is(err, lookupclient.ErrUnsettled) || !strings.Contains(err.Error(), "a was chosen") {
			t.Errorf("before the time is up: %v", err)
		}
	})
}

// A member that is chosen dies before it confirms, when it had refused the same identity shortly before. That is no reason to refuse the
// call: another member may take it.
func TestMember_DiesBeforeItConfirms_FormerFailuresAreOver(t *testing.T) {
	patient := func(c *raftnode.Config) { c.ActivationTimeout = time.Minute }
	bubbleWith(t, 3, patient, func(t *testing.T, w *world) {
		var refused atomic.Bool
		a := w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				if refused.CompareAndSwap(false, true) {
					return errors.New("no memory")
				}
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		if _, _, err := c.Place(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNoMember) || !strings.Contains(err.Error(), "a failed: no memory") {
			t.Fatalf("place: %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			w.member("b", nil)
			a.Close()
		}()
		if p, _, err := c.Place(ctx, cart(1)); err != nil || p.Member != "b" {
			t.Errorf("place: %+v, %v", p, err)
		}
	})
}

// Two clients wait for the same placement, whose owner dies before it confirms: what takes its place was made by one of them.
func TestMember_DiesBeforeItConfirms_OneCallHasMadeThePlacement(t *testing.T) {
	patient := func(c *raftnode.Config) { c.ActivationTimeout = time.Minute }
	bubbleWith(t, 3, patient, func(t *testing.T, w *world) {
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var mu sync.Mutex
		made := map[string]int{}
		var calls sync.WaitGroup
		for client := range 2 {
			c := w.client(fmt.Sprint("client", client))
			for i := range 20 {
				calls.Go(func() {
					p, created, err := c.Place(ctx, cart(i))
					if err != nil || p.Member != "b" {
						t.Errorf("place %v: %+v, %v", cart(i), p, err)
					}
					mu.Lock()
					defer mu.Unlock()
					if created {
						made[fmt.Sprint(p.Identity, p.Epoch)]++
					}
				})
			}
			time.Sleep(100 * time.Millisecond)
		}
		w.isolate("a", true)
		w.member("b", nil)
		calls.Wait()
		w.isolate("a", false)
		for p, n := range made {
			if n != 1 {
				t.Errorf("%d calls made %s", n, p)
			}
		}
		if len(made) != 20 {
			t.Errorf("%d of 20 placements were made", len(made))
		}
	})
}

// A Place that is asked for again waits for what the first try made, and goes on as that would have when the owner dies before it
// confirms. Once that has ended otherwise, it is not carried out a second time.
func TestMember_DiesBeforeItConfirms_SecondTryGoesOn(t *testing.T) {
	patient := func(c *raftnode.Config) { c.ActivationTimeout = time.Minute }
	bubbleWith(t, 3, patient, func(t *testing.T, w *world) {
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		c := w.client("client")
		place := func(within time.Duration, again bool) (*apiv1.PlaceResponse, error) {
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			return apiv1.NewPlacementsClient(c.Conn()).Place(ctx, &apiv1.PlaceRequest{
				Kind: "cart", Key: "1", Retry: &apiv1.Retry{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8G", Again: again},
			})
		}
		if resp, err := place(time.Second, false); !errors.Is(err, lookupclient.ErrUnsettled) {
			t.Fatalf("nobody confirms: %v, %v", resp, err)
		}
		w.isolate("a", true)
		w.member("b", nil)
		resp, err := place(time.Minute, true)
		if err != nil || resp.Placement.Member != "b" || !resp.Created {
			t.Errorf("asked for again: %v, %v", resp, err)
		}
		if err := c.Remove(context.Background(), cart(1), 0, nil); err != nil {
			t.Fatal(err)
		}
		if resp, err := place(time.Minute, true); !errors.Is(err, lookupclient.ErrFenced) {
			t.Errorf("asked for again when it was removed: %v, %v", resp, err)
		}
		w.isolate("a", false)
	})
}

// What a request made was removed, and another one's is there when it is asked for again. That the first candidate for that one fails
// does not make it the first one's.
func TestMember_ActivateFails_OneCallHasMadeThePlacement(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		fail := make(chan struct{})
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				select {
				case <-fail:
					return errors.New("no")
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
		})
		c := w.client("client")
		place := func(within time.Duration, retry *apiv1.Retry) (*apiv1.PlaceResponse, error) {
			ctx, cancel := context.WithTimeout(context.Background(), within)
			defer cancel()
			return apiv1.NewPlacementsClient(c.Conn()).Place(ctx, &apiv1.PlaceRequest{Kind: "cart", Key: "1", Retry: retry})
		}
		const id = "01JD3VXK5N8Y2T3B4C5D6E7F8G"
		if resp, err := place(time.Second, &apiv1.Retry{RequestId: id}); !errors.Is(err, lookupclient.ErrUnsettled) {
			t.Fatalf("nobody confirms: %v, %v", resp, err)
		}
		if err := c.Remove(context.Background(), cart(1), 0, nil); err != nil {
			t.Fatal(err)
		}
		w.member("b", func(c *lookupclient.MemberConfig) { c.Weight = 1 })
		made := make(chan *apiv1.PlaceResponse, 2)
		for _, retry := range []*apiv1.Retry{{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8H"}, {RequestId: id, Again: true}} {
			go func() {
				resp, err := place(time.Minute, retry)
				if err != nil || resp.Placement.Member != "b" {
					t.Errorf("%v: %v, %v", retry, resp, err)
				}
				made <- resp
			}()
			time.Sleep(100 * time.Millisecond) // both wait for a, one behind the other
		}
		close(fail)
		if first, second := <-made, <-made; first.GetCreated() == second.GetCreated() {
			t.Errorf("of one placement two calls say: %v, %v", first, second)
		}
	})
}

func TestMember_RunReturns_IdentityIsFree(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		done := make(chan struct{})
		w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Run: func(*lookupclient.Activation) { <-done }}
		})
		c := w.client("client")
		ctx := context.Background()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		close(done)
		time.Sleep(time.Second)
		if _, err := c.Lookup(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("after Run returned: %v", err)
		}
	})
}

// Leaving has no overlap and no wait for a lease: everything is released, and placed elsewhere at once.
func TestMember_Leave_ReleasesEverything(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a := w.member("a", nil)
		c := w.client("client")
		ctx := context.Background()
		if _, err := c.PlaceAll(ctx, carts(50)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		begin := time.Now()
		if err := a.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		results, err := c.PlaceAll(ctx, carts(50))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil || r.Placement.Member != "b" {
				t.Fatalf("after a left: %+v", r)
			}
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("leaving and placing anew took %v", took)
		}
		if err := a.Leave(ctx); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("leaving again: %v", err)
		}
	})
}

func TestMember_LeaveWithDeadline_SaysWhatIsLeft(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		release := make(chan struct{})
		a := w.member("a", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Run: func(*lookupclient.Activation) { <-release }}
		})
		if _, err := w.client("client").PlaceAll(context.Background(), carts(3)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		time.AfterFunc(3*time.Second, func() { close(release) })
		var left *lookupclient.LeaveError
		err := a.Leave(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "3 activations had not stopped") || !errors.As(err, &left) || !slices.Equal(left.Left, carts(3)) {
			t.Errorf("leave: %v", err)
		}
	})
}

func TestMember_Join_BadDescription_IsRefused(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		for _, change := range []func(*lookupclient.MemberConfig){
			func(c *lookupclient.MemberConfig) { c.Name = "a b" },
			func(c *lookupclient.MemberConfig) { c.Address = "nowhere" },
			func(c *lookupclient.MemberConfig) { c.Kinds = nil },
		} {
			config := lookupclient.MemberConfig{Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow}
			change(&config)
			if _, err := w.client("m").Join(context.Background(), config); !errors.Is(err, lookupclient.ErrInvalid) {
				t.Errorf("%+v: %v", config, err)
			}
		}
	})
}

func TestMember_Join_NoCluster_EndsWithTheContext(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		w.c.Servers[0].Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := w.client("m").Join(ctx, lookupclient.MemberConfig{Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}, Now: memberNow})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("join without a cluster: %v", err)
		}
	})
}

// Elections, kills and cuts of members while everything is placed and removed: no two act on one identity at once.
func TestMember_Turmoil_OneOwner(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		for i := range 4 {
			w.member(fmt.Sprint("m", i), nil)
		}
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		stop := make(chan struct{})
		var tasks sync.WaitGroup
		for n := range 3 {
			tasks.Go(func() {
				for i := 0; ; i++ {
					id := cart((i*7 + n) % 12)
					call, cancel := context.WithTimeout(ctx, 3*time.Second)
					if i%3 == 2 {
						_ = c.Remove(call, id, 0, nil)
					} else {
						_, _, _ = c.Place(call, id)
					}
					cancel()
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
					}
				}
			})
		}
		for round := range underrace.Rounds(6, 1) {
			l := w.c.Leader(nil)
			victim := fmt.Sprint("m", round%4)
			w.isolate(victim, true)
			time.Sleep(time.Second)
			l.Isolate(true)
			time.Sleep(8 * time.Second)
			w.isolate(victim, false)
			l.Isolate(false)
			time.Sleep(2 * time.Second)
		}
		close(stop)
		tasks.Wait()
		// A removal goes on when its caller has given up, and one that a cut connection held back comes up to a minute
		// later, when TCP sends it again. Then all comes to rest.
		var faults []error
		for range 120 {
			if faults = w.atRest(ctx, c, 12); faults == nil {
				return
			}
			time.Sleep(time.Second)
		}
		t.Errorf("after two minutes: %v", errors.Join(faults...))
	})
}

// atRest says what keeps the carts from being placed, each on the member that acts on it.
func (w *world) atRest(ctx context.Context, c *lookupclient.Client, n int) (faults []error) {
	results, err := c.PlaceAll(ctx, carts(n))
	if err != nil {
		return []error{err}
	}
	for i, r := range results {
		if r.Err != nil || r.Placement.Draining {
			faults = append(faults, fmt.Errorf("place %v: %+v, %v", cart(i), r.Placement, r.Err))
		}
	}
	for _, id := range carts(n) {
		p, err := c.Lookup(ctx, id)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		w.mu.Lock()
		if w.owner[id] != string(p.Member) {
			faults = append(faults, fmt.Errorf("%v is placed on %s and acted on by %q", id, p.Member, w.owner[id]))
		}
		w.mu.Unlock()
	}
	return faults
}

// What crashes again and again is kept from being placed, for longer each time, on whichever member and over a change of the
// leader. Before it is active and after that count alike; the reason is said; taking the block away forgives.
func TestMember_CrashLoop_IdentityIsBlockedWithBackoff(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var broken, starts atomic.Bool
		broken.Store(true)
		starts.Store(true)
		boom := errors.New("nil map: ü")
		for _, name := range []string{"a", "b"} {
			w.member(name, func(c *lookupclient.MemberConfig) {
				c.Kinds["cart"] = lookupclient.Kind{
					Activate: func(context.Context, *lookupclient.Activation) error {
						if !starts.Load() {
							return boom
						}
						return nil
					},
					Run: func(a *lookupclient.Activation) {
						if broken.Load() {
							time.Sleep(time.Millisecond) // who placed it knows of that, and does not place it once more
							a.Fail(boom)
							a.Fail(errors.New("another"))
							return
						}
						w.run(name)(a)
					},
				}
			})
		}
		c := w.client("client")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		// crash has it placed until it has crashed once more, and says how long that was refused before.
		crash := func() (blocked time.Duration) {
			begin := time.Now()
			for {
				_, _, err := c.Place(ctx, cart(1))
				switch {
				case err == nil || errors.Is(err, lookupclient.ErrNoMember):
					until(t, "it is gone", func() bool { _, err := c.Lookup(ctx, cart(1)); return errors.Is(err, lookupclient.ErrNotPlaced) })
					return blocked
				case !errors.Is(err, lookupclient.ErrBlocked):
					t.Fatal(err)
				}
				var e *lookupclient.Error
				if errors.As(err, &e); e.Metadata["by"] != "berth" || !strings.Contains(e.Metadata["because"], "nil map: ü") || e.Metadata["until"] == "" {
					t.Fatalf("it is refused for %v: %v", err, e.Metadata)
				}
				time.Sleep(20 * time.Millisecond)
				blocked = time.Since(begin)
			}
		}
		watching := w.watch(w.client("watcher"), lookupclient.WatchConfig{Types: []apiv1.Event_Type{apiv1.Event_BLOCK_ADDED, apiv1.Event_RETRY_THROTTLED}})
		for n, want := range []time.Duration{0, 0, 0, 1, 2, 4} {
			if n == 4 { // the count is the state's, and no leader's
				w.c.Leader(nil).Kill()
				w.c.Leader(nil)
				time.Sleep(lease.Stretch(raftnode.ReadLeaseDefault)) // until then no removal is complete
			}
			starts.Store(n%2 == 0)
			want *= time.Second
			if blocked := crash(); blocked > want+100*time.Millisecond || blocked < want/2 && n != 4 { // the election may last as long
				t.Errorf("before crash %d it was refused for %v, want %v at the most", n+1, blocked, want)
			}
		}
		resp, err := apiv1.NewPlacementsClient(c.Conn()).Lookup(ctx, &apiv1.LookupRequest{Kind: "cart", Key: "1", Explain: true})
		if x := resp.GetExplanation(); err != nil || x.GetCrashes() != 6 || x.LastCrash == nil || !strings.Contains(x.Blocked, "crash 6 in a row") {
			t.Errorf("explain: %v, %v", x, err)
		}
		// Each pause was told, and how long it is.
		var told, want []string
		for _, e := range watching.reach(t, w.index()).told() {
			line := fmt.Sprint(e.Index, " ", e.Type, " ", e.Kind, "/", e.Key)
			if e.Type == apiv1.Event_RETRY_THROTTLED {
				line += fmt.Sprint(" ", e.Cause, " ", e.Crashes, " ", e.Until.AsTime().Sub(e.Time.AsTime()))
				want = append(want, fmt.Sprint(e.Index, " BLOCK_ADDED cart/1"), fmt.Sprint(e.Index, " RETRY_THROTTLED cart/1",
					[]string{" release 3 1s", " fail 4 2s", " release 5 4s", " fail 6 8s", ""}[min(len(want)/2, 4)]))
			}
			told = append(told, line)
		}
		if len(told) != 8 || !slices.Equal(told, want) {
			t.Errorf("told is\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		broken.Store(false)
		starts.Store(true)
		if _, _, err := c.Place(ctx, cart(2)); err != nil {
			t.Errorf("another identity: %v", err)
		}
		if _, err := apiv1.NewBlocksClient(c.Conn()).Unblock(ctx, &apiv1.UnblockRequest{Kind: "cart", Key: "1"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Errorf("when it was forgiven: %v", err)
		}
		if n := w.c.Save().CrashCount(); n != 0 {
			t.Errorf("%d are remembered", n)
		}
	})
}
