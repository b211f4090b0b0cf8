package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// replace has a new server take the place of an old one, whose process is gone then.
func (w *world) replace(old *raftnodetest.Server, name string) *raftnodetest.Server {
	w.t.Helper()
	return w.replaceWith(old, name)
}

// replaceWith has the machine vanish for some hosts: they hear nothing any more, also not that nobody is there.
func (w *world) replaceWith(old *raftnodetest.Server, name string, users ...string) *raftnodetest.Server {
	w.t.Helper()
	s := w.c.Add(name)
	s.Start()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	api := apiv1.NewClusterClient(w.only("operator", s).Conn())
	for {
		status, err := api.ServerStatus(ctx, &apiv1.ServerStatusRequest{})
		if err == nil && (status.Role == apiv1.Role_FOLLOWER || status.Role == apiv1.Role_LEADER) {
			break
		}
		if time.Sleep(10 * time.Millisecond); ctx.Err() != nil {
			w.t.Fatalf("%s has no vote: %v, %v", name, status, err)
		}
	}
	if _, err := api.RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: old.Name}); err != nil {
		w.t.Fatalf("removal of %s: %v", old.Name, err)
	}
	if len(users) > 0 {
		w.c.Network.Isolate(old.Host, true, users...)
	}
	select {
	case <-old.Node.Done(): // it is told that it was removed
	case <-ctx.Done():
		w.t.Fatalf("%s goes on", old.Name)
	}
	old.Stop()
	if len(users) == 0 {
		w.c.Network.Reset(old.Host)
	}
	return s
}

// order is one in which a server comes first, or last.
func (w *world) order(s *raftnodetest.Server, last bool) []*raftnodetest.Server {
	list := append([]*raftnodetest.Server{s}, w.c.Others(s)...)
	if last {
		slices.Reverse(list)
	}
	return list
}

// Whoever was given three servers goes on when none of them is left.
func TestClient_EveryServerIsReplaced_AllGoOn(t *testing.T) {
	for _, tt := range []struct {
		name  string
		last  bool // the leader is replaced last
		after time.Duration
	}{
		{"the leader first", false, 3 * time.Second},
		{"the leader last, and in haste", true, 0},
		{"over a long time", false, 40 * time.Second},
	}[:underrace.Rounds(3, 1)] {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, w *world) {
				m := w.member("m", nil)
				session := w.session("holder", 5*time.Second)
				lock := acquire(t, session, "nightly", lookupclient.LockOptions{})
				c, cached := w.client("client"), w.clientWith("cached", func(c *lookupclient.Config) { c.Cache = 100 })
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				p, _, err := c.Place(ctx, cart(0))
				if err != nil {
					t.Fatal(err)
				}
				incarnation := m.State().Incarnation
				var tasks sync.WaitGroup
				var told atomic.Uint64 // the newest index that the watch told
				order := w.order(w.c.Leader(nil), tt.last)
				given := order[0]
				if tt.after > 30*time.Second {
					given = order[2] // who is connected to that alone learns of the others now and then
				}
				watcher := w.clientWith("watcher", func(c *lookupclient.Config) { c.Servers = []string{given.Host + ":7420"} })
				tasks.Go(func() {
					for u, err := range watcher.Watch(ctx, lookupclient.WatchConfig{}) {
						if err != nil && ctx.Err() == nil {
							t.Errorf("watch: %v", err)
						}
						told.Store(max(told.Load(), u.Position.Index))
					}
				})
				for n, client := range []*lookupclient.Client{c, cached} {
					tasks.Go(func() {
						for i := 1; ctx.Err() == nil; i++ {
							got, err := client.Lookup(context.Background(), cart(0))
							if err != nil || got.Epoch != p.Epoch {
								t.Errorf("look-up: %+v, %v", got, err)
							}
							if i%20 == 0 {
								if _, _, err := client.Place(context.Background(), cart(10000*n+i)); err != nil {
									t.Errorf("place: %v", err)
								}
							}
							time.Sleep(250 * time.Millisecond)
						}
					})
				}
				time.Sleep(5 * time.Second) // servers that have just formed a cluster have not said yet where they are
				for i, s := range order {
					w.replace(s, fmt.Sprint("s", 4+i))
					time.Sleep(tt.after)
				}
				time.Sleep(10 * time.Second)
				w.replace(w.c.Leader(nil), "s7") // one that nobody was given
				time.Sleep(10 * time.Second)
				got, _, err := c.Place(context.Background(), cart(1))
				if err != nil {
					t.Errorf("placed at last: %v", err)
				}
				time.Sleep(2 * time.Second)
				if told.Load() < got.Index {
					t.Errorf("the watch tells what was until %d, and there is %d", told.Load(), got.Index)
				}
				if s := m.State(); s.Incarnation != incarnation || s.Lost != 0 || s.LeaseLeft <= 0 || s.Held == 0 {
					t.Errorf("the member: %+v, it was %d", s, incarnation)
				}
				if err := lock.Check(); err != nil {
					t.Errorf("the lock: %v", err)
				}
				cancel()
				tasks.Wait()
			})
		})
	}
}

// Machines that vanish are waited for. A member asks them all at once, so its lease outlasts that; a lease of 20 s is given up after 10, and the
// first one is asked for 3 more.
func TestMember_MachinesOfAllServersVanish_KeepsItsIncarnation(t *testing.T) {
	for _, last := range []bool{false, true}[:underrace.Rounds(2, 1)] {
		bubbleWith(t, 3, func(c *raftnode.Config) { c.MemberTTL = 20 * time.Second }, func(t *testing.T, w *world) {
			m := w.member("m", nil)
			incarnation := m.State().Incarnation
			time.Sleep(5 * time.Second)
			for i, s := range w.order(w.c.Leader(nil), last) {
				w.replaceWith(s, fmt.Sprint("s", 4+i), "m")
				time.Sleep(40 * time.Second)
			}
			w.replaceWith(w.c.Leader(nil), "s7", "m") // one that nobody was given
			time.Sleep(40 * time.Second)
			if s := m.State(); s.Incarnation != incarnation || s.LeaseLeft <= 0 || s.Server == "" {
				t.Errorf("the member: %+v, it was %d", s, incarnation)
			}
		})
	}
}

// There is always another server that a look-up is asked of when the first one says nothing.
func TestClient_MachinesOfAllServersVanish_GoesOn(t *testing.T) {
	for _, last := range []bool{false, true}[:underrace.Rounds(2, 1)] {
		bubble(t, 3, func(t *testing.T, w *world) {
			w.member("m", nil)
			c := w.client("client")
			if _, _, err := c.Place(context.Background(), cart(0)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var tasks sync.WaitGroup
			tasks.Go(func() {
				for ctx.Err() == nil {
					begin := time.Now()
					if _, err := c.Lookup(context.Background(), cart(0)); err != nil {
						t.Errorf("look-up: %v", err)
					}
					if took := time.Since(begin); took > 100*time.Millisecond {
						t.Errorf("a look-up took %v", took)
					}
					time.Sleep(200 * time.Millisecond)
				}
			})
			time.Sleep(5 * time.Second)
			for i, s := range w.order(w.c.Leader(nil), last) {
				w.replaceWith(s, fmt.Sprint("s", 4+i), "client")
				time.Sleep(20 * time.Second)
			}
			w.replaceWith(w.c.Leader(nil), "s7", "client") // one that nobody was given
			time.Sleep(20 * time.Second)
			cancel()
			tasks.Wait()
		})
	}
}

// dialling counts whom a client dials.
type dialling struct {
	mu    sync.Mutex
	count map[string]int
}

func (d *dialling) dial(dial func(context.Context, string) (net.Conn, error)) func(context.Context, string) (net.Conn, error) {
	d.count = map[string]int{}
	return func(ctx context.Context, address string) (net.Conn, error) {
		d.mu.Lock()
		d.count[address]++
		d.mu.Unlock()
		return dial(ctx, address)
	}
}

// to is how often servers were dialled, since it was asked before.
func (d *dialling) to(servers ...string) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range servers {
		n += d.count[s+":7420"]
		delete(d.count, s+":7420")
	}
	return n
}

// seconds is how long something is looked at: all of that, or few under the race detector.
func seconds(all, few int) time.Duration {
	return time.Duration(underrace.Rounds(all, few)) * time.Second
}

// askOften looks something up, again and again, that is not placed.
func askOften(t *testing.T, c *lookupclient.Client, lasts time.Duration) {
	t.Helper()
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if _, err := c.Lookup(context.Background(), cart(1)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Fatal(err)
		}
	}
}

// unreachable is the error of a look-up that nobody answers.
func unreachable(t *testing.T, c *lookupclient.Client) *lookupclient.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	_, err := c.Lookup(ctx, cart(1))
	var e *lookupclient.Error
	if !errors.As(err, &e) || e.Reason != apiv1.ReasonUnreachable {
		t.Fatalf("nobody can be reached: %v", err)
	}
	return e
}

// What the cluster announces may be out of a client's reach: it is not dialled while a configured server is there, also one that
// comes back.
func TestClient_ServersOutOfReach_AreNotDialled(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var d dialling
		c := w.clientWith("client", func(c *lookupclient.Config) {
			c.Servers, c.Dial = []string{"s1:7420"}, d.dial(c.Dial)
		})
		w.c.Network.Isolate("client", true, "s2", "s3")
		askOften(t, c, seconds(40, 10))
		if n := d.to("s2", "s3"); n != 0 {
			t.Errorf("%d dials to servers that were not given", n)
		}
		w.c.Servers[0].Kill()
		e := unreachable(t, c)
		for _, s := range []string{"s1:7420: connection refused", "s2:7420: no answer", "s3:7420: no answer"} {
			if !strings.Contains(e.Error(), s) {
				t.Errorf("%v does not say %q", e, s)
			}
		}
		w.c.Servers[0].Start()
		askOften(t, c, 5*time.Second)
		d.to("s2", "s3")
		askOften(t, c, seconds(40, 10))
		if n := d.to("s2", "s3"); n != 0 {
			t.Errorf("%d dials to servers that were not given, after the given one had come back", n)
		}
	})
}

// Servers that were not given answer while those that were are away, and no longer.
func TestClient_GivenServerIsBack_IsUsedAgain(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var d dialling
		c := w.clientWith("client", func(c *lookupclient.Config) {
			c.Servers, c.Dial = []string{"s1:7420"}, d.dial(c.Dial)
		})
		by := func(lasts time.Duration) map[string]bool {
			served := map[string]bool{}
			for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
				p, err := c.Lookup(context.Background(), cart(1))
				if err != nil {
					t.Fatal(err)
				}
				served[p.ServedBy] = true
			}
			return served
		}
		w.member("m", nil)
		if _, _, err := c.Place(context.Background(), cart(1)); err != nil {
			t.Fatal(err)
		}
		if s := by(5 * time.Second); len(s) != 1 || !s["s1"] {
			t.Errorf("served by %v, with s1 there", s)
		}
		w.c.Servers[0].Kill()
		// Each is tried in that time, the farther one too: of 64 look-ups one goes to a server whatever its distance.
		if s := by(15 * time.Second); !s["s2"] || !s["s3"] {
			t.Errorf("served by %v, with s1 away", s)
		}
		w.c.Servers[0].Start()
		by(5 * time.Second)
		d.to("s1", "s2", "s3")
		if s := by(seconds(60, 10)); len(s) != 1 || !s["s1"] || d.to("s2", "s3") != 0 {
			t.Errorf("served by %v, with s1 back", s)
		}
	})
}

// Who wants the given servers alone gets those alone, and they are asked nothing besides.
func TestClient_ServersOnly_NobodyElseIsAsked(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var d dialling
		c := w.clientWith("client", func(c *lookupclient.Config) {
			c.Servers, c.ServersOnly, c.Dial = []string{"s1:7420"}, true, d.dial(c.Dial)
		})
		askOften(t, c, seconds(60, 10))
		w.c.Servers[0].Kill()
		if e := unreachable(t, c); strings.Contains(e.Error(), "s2") {
			t.Errorf("%v names servers that are not asked", e)
		}
		if n := d.to("s2", "s3"); n != 0 {
			t.Errorf("%d dials to other servers", n)
		}
	})
}

// Who did not ask anything for a minute, while all servers but one were replaced, goes on when that one is, too.
func TestClient_IdleDuringReplacements_GoesOn(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		c := w.client("client")
		askOften(t, c, time.Second)
		servers := w.order(w.c.Leader(nil), false)
		w.replace(servers[0], "s4")
		time.Sleep(time.Minute)
		w.replace(servers[1], "s5")
		askOften(t, c, time.Second)
		w.replace(servers[2], "s6")
		askOften(t, c, time.Second)
	})
}

// gRPC gives connections up that nobody uses for half an hour. What was learned before that does not help any more when all those servers were
// replaced; one that is left says what is so.
func TestClient_IdleForHalfAnHourDuringReplacements_GoesOn(t *testing.T) {
	var answers []answer
	for i := range 6 {
		answers = append(answers, found(fmt.Sprint("s", i+1), 0))
	}
	given := func(c *lookupclient.Config) { c.Cluster, c.Servers = "c", c.Servers[:3] }
	toldWith(t, nil, given, answers, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
		var replaced atomic.Uint64
		for _, s := range servers {
			s.servers = func() *apiv1.Servers {
				n := replaced.Load()
				list := &apiv1.Servers{Index: n + 1}
				for i := n; i < n+3; i++ {
					list.Addresses = append(list.Addresses, fmt.Sprintf("s%d:7420", i+1))
				}
				return list
			}
		}
		replace := func() {
			servers[replaced.Add(1)-1].stop()
		}
		look := func() {
			for range 20 {
				if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		look()
		replace()
		time.Sleep(35 * time.Minute)
		replace()
		look()
		replace()
		look()
	})
}

// An address that was learned may lead elsewhere by now, or from where a client is: what answers there for another cluster is passed over, and
// ends nobody.
func TestClient_LearnedServerIsOfAnotherCluster_IsPassedOver(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		other := raftnodetest.NewCluster(t, 1, nil)
		defer other.Close()
		other.Leader(nil)
		var home atomic.Bool
		elsewhere := func(c *lookupclient.Config) {
			own := c.Dial
			c.Servers = []string{"s1:7420"}
			c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				if address != "s1:7420" && !home.Load() {
					return other.Network.Host("client").Dial(ctx, "s1:7420")
				}
				return own(ctx, address)
			}
		}
		c := w.clientWith("client", elsewhere)
		var leader *raftnodetest.Server
		for leader = w.c.Leader(nil); leader != w.c.Servers[0]; leader = w.c.Leader(nil) { // a redirect would lead the member elsewhere
			if _, err := apiv1.NewClusterClient(w.only("operator", leader).Conn()).TransferLeadership(context.Background(), &apiv1.TransferLeadershipRequest{To: "s1"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		member, err := w.clientWith("m", elsewhere).Join(context.Background(), lookupclient.MemberConfig{
			Name: "m", Address: "m:9000", Kinds: map[string]lookupclient.Kind{"cart": {Run: w.run("m")}}, Now: memberNow,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, member)
		askOften(t, c, 10*time.Second)
		w.c.Servers[0].Kill()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, _, err = c.Place(ctx, cart(1))
		var e *lookupclient.Error
		if !errors.As(err, &e) || e.Reason != apiv1.ReasonUnreachable || !strings.Contains(err.Error(), "s2:7420: another cluster answers there") || !strings.Contains(err.Error(), "s3:7420: another cluster answers there") {
			t.Errorf("only another cluster's servers are there: %v", err)
		}
		home.Store(true)
		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := c.Lookup(ctx, cart(2)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("the addresses lead to the cluster again: %v", err)
		}
		if member.Err() != nil {
			t.Errorf("the member has ended: %v", member.Err())
		}
	})
}

// Asking where servers are is seldom, and no program is told of it.
func TestClient_AsksWhereServersAre_SeldomAndSilently(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	var methods sync.Map
	var asked atomic.Int64
	toldWith(t, nil, func(c *lookupclient.Config) {
		c.Cluster = "c"
		c.Hooks.Call = func(x lookupclient.Call) { methods.Store(x.Method, true) }
		c.TracerProvider = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	}, []answer{found("s1", 0), found("s2", 0), found("s3", 0)}, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
		for _, s := range servers {
			s.servers = func() *apiv1.Servers {
				asked.Add(1)
				return &apiv1.Servers{Addresses: []string{"s1:7420", "s2:7420", "s3:7420", "s4:7420"}, Index: 7}
			}
		}
		look := func(lasts time.Duration) {
			for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
					t.Fatal(err)
				}
			}
		}
		look(time.Second)
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times in the beginning, want once", n)
		}
		minutes := int64(underrace.Rounds(10, 2))
		look(time.Duration(minutes) * time.Minute)
		if n := asked.Load() - 1; n < 19*minutes/10 || n > 31*minutes/10+1 {
			t.Errorf("asked %d times in %d minutes", n, minutes)
		}
		before := asked.Load()
		time.Sleep(time.Duration(2*minutes) * time.Minute)
		if n := asked.Load(); n != before {
			t.Errorf("asked %d times while nobody used it", n-before)
		}
		if _, ok := methods.Load(apiv1.Cluster_Discover_FullMethodName); ok {
			t.Error("a hook is told of it")
		}
		for _, s := range recorder.Ended() {
			if strings.Contains(s.Name(), "Discover") || s.Status().Code == codes.Error {
				t.Errorf("there is a span %q", s.Name())
			}
		}
	})
}
