package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// world is a cluster with clients and members, in virtual time.
type world struct {
	t       *testing.T
	c       *raftnodetest.Cluster
	clients []*lookupclient.Client
	members []*lookupclient.Member
	locking []*lookupclient.Session

	mu    sync.Mutex
	owner map[placement.Identity]string // who acts on an identity now, by Run
	twice []string                      // violations of one owner
}

func bubble(t *testing.T, n int, f func(*testing.T, *world)) {
	t.Helper()
	bubbleWith(t, n, nil, f)
}

// bubbleWith may change the servers' Configs.
func bubbleWith(t *testing.T, n int, change func(*raftnode.Config), f func(*testing.T, *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, c: raftnodetest.NewCluster(t, n, change), owner: map[placement.Identity]string{}}
		defer w.close()
		w.c.Leader(nil)
		f(t, w)
	})
}

func (w *world) close() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for _, s := range w.locking {
		_ = s.Close(over)
	}
	for _, m := range w.members {
		m.Close()
	}
	for _, c := range w.clients {
		_ = c.Close()
	}
	w.c.Close()
	for _, v := range w.twice {
		w.t.Error(v)
	}
}

// client returns a client on a host of its own.
func (w *world) client(host string) *lookupclient.Client {
	w.t.Helper()
	return w.clientWith(host, nil)
}

// clientWith may change the client's Config.
func (w *world) clientWith(host string, change func(*lookupclient.Config)) *lookupclient.Client {
	w.t.Helper()
	var servers []string
	for _, s := range w.c.Servers {
		servers = append(servers, s.Host+":7420")
	}
	h := w.c.Network.Host(host)
	config := lookupclient.Config{
		Servers: servers, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) },
	}
	if change != nil {
		change(&config)
	}
	c, err := lookupclient.Open(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

func memberNow() time.Duration { return time.Duration(raftnodetest.Now()) }

// run acts as long as it may, and notes when two act at once.
func (w *world) run(name string) func(a *lookupclient.Activation) {
	return func(a *lookupclient.Activation) {
		w.mu.Lock()
		if other := w.owner[a.Identity]; other != "" {
			w.twice = append(w.twice, fmt.Sprintf("%v is acted on by %s and by %s at once", a.Identity, other, name))
		}
		w.owner[a.Identity] = name
		w.mu.Unlock()
		<-a.Context().Done()
		w.mu.Lock()
		delete(w.owner, a.Identity)
		w.mu.Unlock()
	}
}

func (w *world) member(name string, change func(*lookupclient.MemberConfig)) *lookupclient.Member {
	w.t.Helper()
	config := lookupclient.MemberConfig{
		Name: placement.MemberID(name), Address: name + ":9000", Kinds: map[string]lookupclient.Kind{"cart": {Run: w.run(name)}}, Now: memberNow,
	}
	if change != nil {
		change(&config)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := w.client(name).Join(ctx, config)
	if err != nil {
		w.t.Fatalf("member %s: %v", name, err)
	}
	w.members = append(w.members, m)
	return m
}

func cart(i int) placement.Identity {
	return placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}
}

func carts(n int) (ids []placement.Identity) {
	for i := range n {
		ids = append(ids, cart(i))
	}
	return ids
}

// isolate cuts a member's host off from all servers, or heals it.
func (w *world) isolate(host string, cut bool) {
	for _, s := range w.c.Servers {
		w.c.Network.Cut(host, s.Host, cut)
		w.c.Network.Cut(s.Host, host, cut)
	}
}

func TestClient_PlaceAndLookup_OnEveryServer(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		for i := range 3 {
			w.member(fmt.Sprint("m", i), nil)
		}
		c := w.client("client")
		ctx := context.Background()
		results, err := c.PlaceAll(ctx, carts(2500))
		if err != nil {
			t.Fatal(err)
		}
		spread := map[placement.MemberID]int{}
		for i, r := range results {
			if r.Err != nil || !r.Created || r.Placement.Phase != placement.Settled || r.Placement.Identity != cart(i) {
				t.Fatalf("place %d: %+v", i, r)
			}
			spread[r.Placement.Member]++
		}
		if len(spread) != 3 {
			t.Errorf("spread %v", spread)
		}
		p, created, err := c.Place(ctx, cart(7))
		if err != nil || created || p.Epoch != results[7].Placement.Epoch {
			t.Errorf("placed again: %+v, %t, %v", p, created, err)
		}
		served := map[string]bool{}
		for range 20 {
			got, err := c.Lookup(ctx, cart(7))
			if err != nil || got.Epoch != p.Epoch || got.Member != p.Member || got.Address != string(p.Member)+":9000" {
				t.Fatalf("lookup: %+v, %v", got, err)
			}
			served[got.ServedBy] = true
		}
		if len(served) != 3 {
			t.Errorf("lookups were served by %v", served)
		}
		found, err := c.LookupAll(ctx, append(carts(2500), placement.Identity{Kind: "cart", Key: "none"}, placement.Identity{Kind: "c/t"}))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range found[:2500] {
			if r.Err != nil || r.Placement.Epoch != results[i].Placement.Epoch {
				t.Fatalf("lookup %d: %+v", i, r)
			}
		}
		if !errors.Is(found[2500].Err, lookupclient.ErrNotPlaced) || !errors.Is(found[2501].Err, lookupclient.ErrInvalid) {
			t.Errorf("errors of items: %v, %v", found[2500].Err, found[2501].Err)
		}
	})
}

func TestClient_Errors(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c := w.client("client")
		ctx := context.Background()
		_, err := c.Lookup(ctx, cart(1))
		if !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("lookup: %v", err)
		}
		_, _, err = c.Place(ctx, placement.Identity{Kind: "room", Key: "1"})
		if !errors.Is(err, lookupclient.ErrNoMember) || !strings.Contains(err.Error(), "none of the 1 members hosts the kind room") {
			t.Errorf("place of a kind that nobody hosts: %v", err)
		}
		_, _, err = c.Place(ctx, placement.Identity{Kind: "room", Key: strings.Repeat("x", 600)})
		var e *lookupclient.Error
		if !errors.Is(err, lookupclient.ErrInvalid) || !errors.As(err, &e) || !strings.Contains(e.Metadata["rule"], "600 bytes") {
			t.Errorf("place of a long key: %v", err)
		}
		if err := c.Remove(ctx, cart(1), 0, nil); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("remove of what is not there: %v", err)
		}
		p, _, err := c.Place(ctx, cart(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Remove(ctx, cart(1), p.Epoch+1, nil); !errors.Is(err, lookupclient.ErrFenced) {
			t.Errorf("remove at another epoch: %v", err)
		}
		for r := range 3 {
			w.c.Servers[r].Stop()
		}
		begin := time.Now()
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err = c.Lookup(short, cart(1))
		if !errors.Is(err, lookupclient.ErrUnavailable) || !errors.As(err, &e) || e.Reason != apiv1.ReasonUnreachable || time.Since(begin) > 3*time.Second {
			t.Errorf("lookup without servers: %v after %v", err, time.Since(begin))
		}
		if !strings.Contains(err.Error(), "s1:7420: connection refused") {
			t.Errorf("the error does not say what happened where: %v", err)
		}
	})
}

func TestClient_Close_EndsCallsAtOnce(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		w.member("m", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(ctx context.Context, _ *lookupclient.Activation) error { <-ctx.Done(); return ctx.Err() }}
		})
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := c.Lookup(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Fatal(err)
		}
		begin := time.Now()
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, _, err := c.Place(ctx, cart(1)); !errors.Is(err, lookupclient.ErrUnknown) { // it was sent, and nobody knows
			t.Errorf("a placement on its way: %v", err)
		}
		if _, err := c.Lookup(ctx, cart(1)); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("a lookup after Close: %v", err)
		}
		if _, _, err := c.Place(ctx, cart(1)); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("a placement after Close: %v", err)
		}
		if took := time.Since(begin); took > 1100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// The shortest lease that is allowed is kept by a member in an idle cluster.
func TestMember_ShortestTTL_IsKept(t *testing.T) {
	bubbleWith(t, 3, func(c *raftnode.Config) { c.MemberTTL = time.Second }, func(t *testing.T, w *world) {
		m := w.member("m", nil)
		time.Sleep(time.Minute)
		if s := m.State(); s.Lost != 0 {
			t.Errorf("it lost its lease %d times in a minute", s.Lost)
		}
	})
}

func TestClient_NobodyThere_GivesUp(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		refuse := func(context.Context, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		c, err := lookupclient.Open(lookupclient.Config{Servers: []string{"a:1", "b:1"}, Timeout: time.Minute, GiveUpAfter: time.Second, Dial: refuse})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		for _, call := range []func() error{
			func() error { _, err := c.Lookup(context.Background(), cart(1)); return err },
			func() error { _, _, err := c.Place(context.Background(), cart(1)); return err },
		} {
			begin := time.Now()
			var e *lookupclient.Error
			if err := call(); !errors.As(err, &e) || e.Reason != apiv1.ReasonUnreachable || !strings.Contains(e.Message, "a:1: connection refused") {
				t.Errorf("nobody there: %v", err)
			}
			if took := time.Since(begin); took < time.Second || took > 2*time.Second {
				t.Errorf("it gave up after %v", took)
			}
		}
	})
}

func TestClient_NoMajority_IsToldFromAnElection(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		c := w.client("client")
		l := w.c.Leader(nil)
		for _, s := range w.c.Others(l) {
			s.Kill()
		}
		time.Sleep(2 * time.Second)
		_, err := c.Lookup(context.Background(), cart(1))
		var e *lookupclient.Error
		if !errors.As(err, &e) || e.Reason != apiv1.ReasonNoQuorum {
			t.Errorf("lookup without a majority: %v", err)
		}
		// The one that is left is not ready. It is waited for all the same, since no other is, so that it is known that nothing was changed.
		if _, _, err := c.Place(context.Background(), cart(1)); !errors.As(err, &e) || e.Reason != apiv1.ReasonNoQuorum {
			t.Errorf("placement without a majority: %v", err)
		}
	})
}

func TestClient_LeaderKilled_CallsGoOn(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		for i := range 3 {
			w.member(fmt.Sprint("m", i), nil)
		}
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		if _, err := c.PlaceAll(ctx, carts(100)); err != nil {
			t.Fatal(err)
		}
		for round := range underrace.Rounds(4, 1) {
			l := w.c.Leader(nil)
			stop := make(chan struct{})
			var tasks sync.WaitGroup
			var gaps [2]time.Duration
			for i := range gaps {
				tasks.Go(func() {
					last := time.Now()
					for n := 0; ; n++ {
						var err error
						if i == 0 {
							_, err = c.Lookup(ctx, cart(n%100))
						} else {
							_, _, err = c.Place(ctx, placement.Identity{Kind: "cart", Key: fmt.Sprintf("r%d-%d", round, n)})
						}
						if err != nil {
							t.Errorf("call %d while the leader is killed: %v", i, err)
						}
						gaps[i] = max(gaps[i], time.Since(last))
						last = time.Now()
						select {
						case <-stop:
							return
						case <-time.After(20 * time.Millisecond):
						}
					}
				})
			}
			time.Sleep(500 * time.Millisecond)
			l.Kill()
			time.Sleep(6 * time.Second)
			l.Start()
			time.Sleep(2 * time.Second)
			close(stop)
			tasks.Wait()
			t.Logf("longest gap: lookups %v, placements %v", gaps[0], gaps[1])
			if gaps[0] > 2500*time.Millisecond || gaps[1] > 2500*time.Millisecond {
				t.Errorf("round %d: gaps of %v", round, gaps)
			}
		}
		for _, m := range w.members {
			if m.State().Lost != 0 {
				t.Errorf("a member lost its lease to an election: %+v", m.State())
			}
		}
	})
}

func TestClient_Remove_ContextEnds_SaysWhatIsWaitedFor(t *testing.T) {
	for _, patience := range []time.Duration{300 * time.Millisecond, time.Second, 2500 * time.Millisecond} {
		bubble(t, 1, func(t *testing.T, w *world) {
			release := make(chan struct{})
			w.member("m", func(c *lookupclient.MemberConfig) {
				c.Kinds["cart"] = lookupclient.Kind{Run: func(*lookupclient.Activation) { <-release }}
			})
			c := w.client("client")
			if _, _, err := c.Place(context.Background(), cart(1)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			err := c.Remove(ctx, cart(1), 0, nil)
			if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "waiting for m to stop it") {
				t.Errorf("after %v: %v", patience, err)
			}
			close(release)
		})
	}
}

func TestClient_Remove_AsksTheOwnerAndWaits(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		release, causes := make(chan struct{}), make(chan error, 9)
		w.member("m", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Run: func(a *lookupclient.Activation) {
				<-a.Context().Done()
				causes <- context.Cause(a.Context())
				<-release // takes its time to stop
			}}
		})
		c := w.client("client")
		ctx := context.Background()
		time.Sleep(5 * time.Second) // until all servers say that they are ready: a call leaves one that does not
		p, _, err := c.Place(ctx, cart(1))
		if err != nil {
			t.Fatal(err)
		}
		var waits []string
		begin := time.Now()
		time.AfterFunc(3500*time.Millisecond, func() { close(release) })
		if err := c.Remove(ctx, cart(1), 0, func(what string) { waits = append(waits, what) }); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < 3500*time.Millisecond || took > 4*time.Second {
			t.Errorf("removed after %v, the owner took 3.5s", took)
		}
		if cause := <-causes; !errors.Is(cause, lookupclient.ErrStopRequested) {
			t.Errorf("it ended for %v", cause)
		}
		if len(waits) != 3 || waits[0] != "m to stop it and to release it" {
			t.Errorf("was told to wait for %q", waits)
		}
		if _, err := c.Lookup(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("after the removal: %v", err)
		}
		q, created, err := c.Place(ctx, cart(1))
		if err != nil || !created || q.Epoch <= p.Epoch {
			t.Errorf("placed again: %+v, %t, %v", q, created, err)
		}
	})
}
