package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

var errFound = errors.New("it was found")

// pause is how long a client that calls without end waits between two calls.
var pause = time.Duration(underrace.Rounds(20, 50)) * time.Millisecond

// longestGap makes calls, with a pause behind each, for a while, and returns the longest time that one took.
func longestGap(t *testing.T, lasts time.Duration, call func(n int) error) (longest time.Duration) {
	t.Helper()
	for begin, n := time.Now(), 0; time.Since(begin) < lasts; n++ {
		asked := time.Now()
		if err := call(n); err != nil {
			t.Errorf("call %d: %v", n, err)
		}
		longest = max(longest, time.Since(asked))
		time.Sleep(pause)
	}
	return longest
}

func lookupPlaced(c *lookupclient.Client, n int) error {
	_, err := c.Lookup(context.Background(), cart(n%10))
	return err
}

// A server vanishes without a word. Look-ups are asked of another one too, and changes go to another one when it does not say that
// it is there; gRPC would take over ten seconds to notice.
func TestClient_ServerVanishes_CallsGoOn(t *testing.T) {
	for _, x := range []struct {
		name   string
		most   time.Duration
		change func(*lookupclient.Config)
		call   func(c *lookupclient.Client, n int) error
	}{
		{"lookup", 100 * time.Millisecond, nil, lookupPlaced},
		{"lookup that is asked for once", 2200 * time.Millisecond, func(c *lookupclient.Config) { c.HedgeAfter = -1 }, lookupPlaced},
		{"lookup of many", 100 * time.Millisecond, nil, func(c *lookupclient.Client, _ int) error {
			_, err := c.LookupAll(context.Background(), carts(10))
			return err
		}},
		{"lookup of what is not there", 100 * time.Millisecond, nil, func(c *lookupclient.Client, _ int) error {
			if _, err := c.Lookup(context.Background(), placement.Identity{Kind: "cart", Key: "nobody"}); err == nil {
				return errFound
			} else if !errors.Is(err, lookupclient.ErrNotPlaced) {
				return err
			}
			return nil
		}},
		{"place", 2200 * time.Millisecond, nil, func(c *lookupclient.Client, n int) error {
			_, _, err := c.Place(context.Background(), cart(1000+n))
			return err
		}},
	}[:underrace.Rounds(5, 2)] {
		t.Run(x.name, func(t *testing.T) {
			bubble(t, 3, func(t *testing.T, w *world) {
				w.member("m", nil)
				c := w.clientWith("client", x.change)
				if _, err := c.PlaceAll(context.Background(), carts(10)); err != nil {
					t.Fatal(err)
				}
				for _, s := range w.c.Servers {
					longestGap(t, time.Second, func(n int) error { return x.call(c, n) })
					w.c.Network.Isolate("client", true, s.Host)
					took := longestGap(t, 4*time.Second, func(n int) error { return x.call(c, n) })
					t.Logf("without %s: %v", s.Name, took)
					if took > x.most {
						t.Errorf("without %s a call took %v, want at most %v", s.Name, took, x.most)
					}
					w.c.Network.Isolate("client", false, s.Host)
					time.Sleep(5 * time.Second)
				}
			})
		})
	}
}

// A server vanishes while a call waits there for long: it is noticed at whatever moment that is, in about two seconds.
func TestClient_ServerVanishesUnderAWaitingCall_IsNoticed(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		holder := w.session("holder", time.Minute)
		rng := rand.New(rand.NewPCG(7, 7))
		var noticed []time.Duration
		for n := range underrace.Rounds(20, 6) {
			host, lock := fmt.Sprint("waiter-", n), fmt.Sprint("lock-", n)
			var vanished atomic.Bool
			c := w.clientWith(host, func(c *lookupclient.Config) {
				dial := c.Dial
				c.Servers = c.Servers[n%3:][:1:1]
				c.Servers = append(c.Servers, w.c.Servers[(n+1)%3].Host+":7420")
				c.Dial = func(ctx context.Context, a string) (net.Conn, error) {
					if a == c.Servers[1] && !vanished.Load() {
						return nil, errors.New("connection refused")
					}
					return dial(ctx, a)
				}
			})
			s, err := c.OpenSession(context.Background(), lookupclient.SessionConfig{Holder: host, TTL: time.Minute, Now: memberNow})
			if err != nil {
				t.Fatal(err)
			}
			w.locking = append(w.locking, s)
			held, granted := acquire(t, holder, lock, lookupclient.LockOptions{}), make(chan struct{})
			go func() {
				defer close(granted)
				acquire(t, s, lock, lookupclient.LockOptions{})
			}()
			time.Sleep(time.Second + time.Duration(rng.Int64N(int64(9*time.Second))))
			vanished.Store(true)
			w.c.Network.Isolate(host, true, w.c.Servers[n%3].Host)
			begin := time.Now()
			if err := held.Release(context.Background()); err != nil {
				t.Fatal(err)
			}
			<-granted
			noticed = append(noticed, time.Since(begin))
			w.c.Network.Isolate(host, false, w.c.Servers[n%3].Host)
		}
		slices.Sort(noticed)
		t.Logf("%d times: the call went on %v to %v after the server vanished, %v in the middle", len(noticed), noticed[0], noticed[len(noticed)-1], noticed[len(noticed)/2])
		if most := noticed[len(noticed)-1]; most > 3500*time.Millisecond {
			t.Errorf("it took %v", most)
		}
	})
}

// A server is there, but cut off from the others: calls go to the others as soon as its lease is over.
func TestClient_ServerIsCutOffFromTheOthers_IsPassedOver(t *testing.T) {
	place := func(c *lookupclient.Client, n int) error {
		_, _, err := c.Place(context.Background(), cart(1000+n))
		return err
	}
	for _, x := range []struct {
		name  string
		after time.Duration // HedgeAfter
		most  time.Duration
		call  func(c *lookupclient.Client, n int) error
	}{
		{"look-ups", 0, 100 * time.Millisecond, lookupPlaced},
		{"look-ups that are asked for once", -1, 3 * time.Second, lookupPlaced},
		{"placements", 0, 4 * time.Second, place},
	}[:underrace.Rounds(3, 1)] {
		bubble(t, 3, func(t *testing.T, w *world) {
			w.member("m", nil)
			c := w.clientWith("client", func(c *lookupclient.Config) { c.HedgeAfter = x.after })
			if _, err := c.PlaceAll(context.Background(), carts(10)); err != nil {
				t.Fatal(err)
			}
			longestGap(t, 3*time.Second, func(n int) error { return x.call(c, n) })
			follower := w.c.Others(w.c.Leader(nil))[0]
			follower.Isolate(true)
			first := longestGap(t, 15*time.Second, func(n int) error { return x.call(c, 1000+n) })
			then := longestGap(t, 10*time.Second, func(n int) error { return x.call(c, 2000+n) })
			t.Logf("%s: longest %v while its lease ends, then %v", x.name, first, then)
			if first > x.most || then > 100*time.Millisecond {
				t.Errorf("%s: %s is cut off: calls took %v and then %v", x.name, follower.Name, first, then)
			}
			served := func() (by map[string]int) {
				by = map[string]int{}
				for n := range 500 { // by their number it is tried again
					p, err := c.Lookup(context.Background(), cart(n%10))
					if err != nil {
						t.Errorf("look-up %d: %v", n, err)
					}
					by[p.ServedBy]++
					time.Sleep(20 * time.Millisecond)
				}
				return by
			}
			if by := served(); by[follower.Name] > 0 || len(by) != 2 {
				t.Errorf("%s: %s is cut off: look-ups were served by %v", x.name, follower.Name, by)
			}
			follower.Isolate(false)
			time.Sleep(2 * time.Second)
			for range 2 {
				served() // it is tried
			}
			if by := served(); by[follower.Name] < 100 {
				t.Errorf("%s: %s is well again: look-ups were served by %v", x.name, follower.Name, by)
			}
		})
	}
}

// Look-ups go to the server that is near, and now and then to the others, so that it is noticed when another one is.
func TestClient_Lookup_AsksWhoIsNear(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c := w.clientWith("client", func(c *lookupclient.Config) { c.HedgeAfter = time.Second }) // bytes queue up on a slow link
		p, _, err := c.Place(context.Background(), cart(1))
		if err != nil {
			t.Fatal(err)
		}
		for _, near := range w.c.Servers {
			for _, s := range w.c.Servers {
				d := 15 * time.Millisecond
				if s == near {
					d = 0
				}
				w.c.Network.Delay("client", s.Host, d)
				w.c.Network.Delay(s.Host, "client", d)
			}
			for range 1000 { // it finds out
				if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
					t.Fatal(err)
				}
			}
			served := map[string]int{}
			for range 1000 {
				q := lookup(t, c, cart(1))
				if q.Epoch != p.Epoch || q.Cached {
					t.Fatalf("%+v", q)
				}
				served[q.ServedBy]++
			}
			t.Logf("%s is near: %v", near.Name, served)
			if served[near.Name] < 950 || len(served) != 3 {
				t.Errorf("%s is near, and look-ups were served by %v", near.Name, served)
			}
		}
	})
}

// busy is a server that has no time to say how it is.
type busy struct {
	healthpb.UnimplementedHealthServer
}

func (busy) Check(ctx context.Context, _ *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A server that does not say in time whether it is there keeps its connections as long as it says anything else.
func TestClient_ServerIsBusy_IsNotLeft(t *testing.T) {
	for _, silent := range []bool{false, true} {
		toldWith(t, busy{}, func(c *lookupclient.Config) { c.Timeout = 20 * time.Second }, []answer{found("s1", 0)}, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
			connectAll(t, c, servers)
			servers[0].takes = 8 * time.Second
			done := make(chan error, 1)
			go func() {
				_, _, err := c.Place(context.Background(), cart(1))
				done <- err
			}()
			for range 79 {
				time.Sleep(100 * time.Millisecond)
				if silent {
					continue
				}
				if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
					t.Fatal(err)
				}
			}
			err := <-done
			if _, placed := times(servers); (placed > 1) != silent || err != nil && !silent {
				t.Errorf("silent: %t: %v, it was asked %d times", silent, err, placed)
			}
			time.Sleep(9 * time.Second) // its calls are over
		})
	}
}

// Everything is far for a while: calls take longer than the answer to whether a server is there may, and are answered all the same.
func TestClient_LinksAreSlow_CallsAreAnswered(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		var mu sync.Mutex
		var calls []lookupclient.Call
		c := w.clientWith("client", func(c *lookupclient.Config) {
			c.Hooks.Call = func(x lookupclient.Call) { mu.Lock(); defer mu.Unlock(); calls = append(calls, x) }
		})
		if _, err := c.PlaceAll(context.Background(), carts(10)); err != nil {
			t.Fatal(err)
		}
		for n := range 30 { // every server is connected
			if err := lookupPlaced(c, n); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range w.c.Servers {
			w.c.Network.Delay("client", s.Host, 700*time.Millisecond)
			w.c.Network.Delay(s.Host, "client", 700*time.Millisecond)
		}
		calls = nil
		for n := range 10 {
			if _, _, err := c.Place(context.Background(), cart(1000+n)); err != nil {
				t.Error(err)
			}
		}
		for _, x := range calls {
			if x.Attempts != 1 || x.Took < 1400*time.Millisecond {
				t.Errorf("%+v", x)
			}
		}
	})
}

// Close ends what is on its way at once, also over connections that are cut, and leaves nothing behind.
func TestClient_Close_CutOff_IsAtOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c := w.client("client")
		if _, err := c.PlaceAll(context.Background(), carts(10)); err != nil {
			t.Fatal(err)
		}
		m := w.member("leaves", nil)
		w.isolate("leaves", true)
		time.Sleep(10 * time.Millisecond)
		begin := time.Now()
		if m.Close(); time.Since(begin) > 10*time.Millisecond {
			t.Errorf("Close of a member took %v", time.Since(begin))
		}
		for _, wait := range []time.Duration{10, 100, 1500} {
			c := w.client(fmt.Sprint("client-", int(wait)))
			for n := range 30 {
				if err := lookupPlaced(c, n); err != nil {
					t.Fatal(err)
				}
			}
			w.isolate(fmt.Sprint("client-", int(wait)), true)
			var tasks sync.WaitGroup
			var closed time.Time
			for _, x := range []struct {
				call func() error
				want error
			}{
				{func() error { return lookupPlaced(c, 1) }, lookupclient.ErrClosed},
				{func() error { _, _, err := c.Place(context.Background(), cart(99)); return err }, lookupclient.ErrUnknown},
			} {
				tasks.Go(func() {
					if err := x.call(); !errors.Is(err, x.want) || time.Since(closed) > 10*time.Millisecond {
						t.Errorf("after %v ms: %v, %v after Close", int(wait), err, time.Since(closed))
					}
				})
			}
			time.Sleep(wait * time.Millisecond)
			closed = time.Now()
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if took := time.Since(closed); took > 10*time.Millisecond {
				t.Errorf("after %v ms: Close took %v", int(wait), took)
			}
			tasks.Wait()
		}
	})
}

// stuck is a network connection that takes nothing any more, as one to a machine that vanished when its buffer is full.
type stuck struct {
	net.Conn
	stuck  *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *stuck) Write(b []byte) (int, error) {
	if c.stuck.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

func (c *stuck) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// gRPC takes a call that it could not send to another server by itself. That one is asked, too, whether it is there.
func TestClient_CallMovesToAServerThatVanished_IsNoticed(t *testing.T) {
	var vanished atomic.Bool
	change := func(c *lookupclient.Config) {
		dial := c.Dial
		c.HedgeAfter, c.Timeout = -1, time.Minute
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			if err != nil || vanished.Load() {
				return conn, err // which is there again
			}
			return &stuck{Conn: conn, stuck: &vanished, closed: make(chan struct{})}, nil
		}
	}
	told(t, change, []answer{found("s1", 0), found("s2", 0)}, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
		connectAll(t, c, servers)
		vanished.Store(true)
		for range 10 { // what is sent to a server that takes nothing is not sent, from the second call on
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			_, _ = c.Lookup(ctx, cart(1))
			cancel()
		}
		begin := time.Now()
		if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took > 11*time.Second {
			t.Errorf("it took %v: five seconds are for each of two servers", took)
		}
	})
}
