package lookupclient_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// When all is well, few look-ups are asked for twice: of those that take one to two milliseconds none but what a pause of a server holds up,
// and in a cluster that is slow altogether no more than one in ten.
func TestClient_AllIsWell_FewAreAskedForTwice(t *testing.T) {
	for _, x := range []struct {
		name string
		late func(rng *rand.Rand) time.Duration
		most float64 // of a hundred look-ups
	}{
		{"near", func(rng *rand.Rand) time.Duration { return time.Duration(rng.Int64N(int64(time.Millisecond))) }, 0},
		{"one in a hundred is late by 80 ms", func(rng *rand.Rand) time.Duration {
			if rng.IntN(200) == 0 { // either way
				return 80 * time.Millisecond
			}
			return time.Duration(rng.Int64N(int64(time.Millisecond)))
		}, 2},
		{"far", func(rng *rand.Rand) time.Duration {
			return 40*time.Millisecond + time.Duration(rng.Int64N(int64(5*time.Millisecond)))
		}, 2},
		{"one in three is late by 300 ms", func(rng *rand.Rand) time.Duration {
			if rng.IntN(3) == 0 {
				return 300 * time.Millisecond
			}
			return time.Duration(rng.Int64N(int64(time.Millisecond)))
		}, 11},
	}[:underrace.Rounds(4, 2)] {
		bubble(t, 3, func(t *testing.T, w *world) {
			w.member("m", nil)
			var mu sync.Mutex
			rng, on, hedges, calls := rand.New(rand.NewPCG(1, 1)), false, 0, 0
			h := w.c.Network.Host("client")
			c := w.clientWith("client", func(c *lookupclient.Config) {
				c.Hooks.Hedge = func() { mu.Lock(); defer mu.Unlock(); hedges++ }
				c.Hooks.Call = func(lookupclient.Call) { mu.Lock(); defer mu.Unlock(); calls++ }
				c.Dial = func(ctx context.Context, a string) (net.Conn, error) {
					conn, err := h.Dial(ctx, a)
					if err != nil {
						return nil, err
					}
					return &slowConn{conn, func() time.Duration {
						mu.Lock()
						defer mu.Unlock()
						if !on {
							return 0
						}
						return x.late(rng)
					}}, nil
				}
			})
			if _, err := c.PlaceAll(context.Background(), carts(10)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			for n := range 100 { // every server is known
				lookup(t, c, cart(n%10))
			}
			mu.Lock()
			on, hedges, calls = true, 0, 0
			mu.Unlock()
			lookups := underrace.Rounds(2000, 1000)
			for n := range lookups {
				lookup(t, c, cart(n%10))
			}
			mu.Lock()
			on = false
			mu.Unlock()
			time.Sleep(time.Second) // what is still late has left
			mu.Lock()
			defer mu.Unlock()
			extra := 100 * float64(hedges) / float64(lookups)
			t.Logf("%s: %d of %d look-ups were asked for twice, %.1f %%", x.name, hedges, calls, extra)
			if extra > x.most || calls != lookups {
				t.Errorf("%s: %d calls, %.1f %% asked for twice, want at most %.0f %%", x.name, calls, extra, x.most)
			}
		})
	}
}

// slowConn is a connection whose bytes leave late.
type slowConn struct {
	net.Conn
	late func() time.Duration
}

func (c *slowConn) Write(b []byte) (int, error) {
	time.Sleep(c.late())
	return c.Conn.Write(b)
}

// Of two servers the first answer counts, when it is one; the other one is not waited for. Both are asked the same.
func TestClient_Hedge_FirstAnswerCounts(t *testing.T) {
	const never = time.Minute
	for name, x := range map[string]struct {
		slow, quick answer
		want        string // who served it
		err         error
		most        time.Duration
	}{
		"found by the second":             {found("s1", never), found("s2", 0), "s2", nil, 60 * time.Millisecond},
		"not placed, says the second":     {found("s1", never), refused(apiv1.ReasonNotPlaced, 0), "", lookupclient.ErrNotPlaced, 60 * time.Millisecond},
		"invalid, says the second":        {found("s1", never), refused(apiv1.ReasonInvalidArgument, 0), "", lookupclient.ErrInvalid, 60 * time.Millisecond},
		"the first is late":               {found("s1", 300*time.Millisecond), found("s2", never), "s1", nil, 310 * time.Millisecond},
		"the second is unavailable":       {found("s1", 300*time.Millisecond), refused(apiv1.ReasonNoLeader, 0), "s1", nil, 310 * time.Millisecond},
		"the second is broken":            {found("s1", 300*time.Millisecond), refused(apiv1.ReasonInternal, 0), "s1", nil, 310 * time.Millisecond},
		"the second is of another":        {found("s1", 300*time.Millisecond), refused(apiv1.ReasonClusterMismatch, 0), "s1", nil, 310 * time.Millisecond},
		"the first becomes unavailable":   {refused(apiv1.ReasonNoLeader, 100*time.Millisecond), found("s2", 200*time.Millisecond), "s2", nil, 260 * time.Millisecond},
		"the first says it is not placed": {refused(apiv1.ReasonNotPlaced, 100*time.Millisecond), found("s2", 200*time.Millisecond), "", lookupclient.ErrNotPlaced, 110 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			near := []answer{found("s1", time.Millisecond), found("s2", 20*time.Millisecond)}
			for again := true; again; { // until s1 is asked first; now and then it is the other one
				told(t, nil, near, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
					connectAll(t, c, servers)
					servers[0].forget(x.slow)
					servers[1].forget(x.quick)
					begin := time.Now()
					p, err := c.LookupAt(context.Background(), cart(1), lookupclient.Read{Level: lookupclient.Leader, MinIndex: 42})
					took := time.Since(begin)
					synctest.Wait()
					if again = len(servers[0].asked) == 0 || len(servers[1].asked) > 0 && !servers[0].at.Before(servers[1].at); again {
						return
					}
					if p.ServedBy != x.want || !errors.Is(err, x.err) || took > x.most || x.err == nil && (p.Epoch != 7 || p.Identity != cart(1)) {
						t.Errorf("%+v, %v, after %v", p, err, took)
					}
					if len(servers[0].asked) != 1 || len(servers[1].asked) != 1 || !proto.Equal(servers[0].asked[0], servers[1].asked[0]) ||
						servers[1].asked[0].Level != apiv1.Level_LEADER || servers[1].asked[0].MinIndex != 42 {
						t.Errorf("they were asked %v and %v", servers[0].asked, servers[1].asked)
					}
				})
			}
		})
	}
}

// A change is never asked of two servers at once, however long it takes; nor is a look-up by a client that does not want it.
func TestClient_Hedge_LookUpsAlone(t *testing.T) {
	slow := []answer{found("s1", 0), found("s2", 0)}
	hedges := 0
	for _, after := range []time.Duration{0, -1} {
		told(t, func(c *lookupclient.Config) {
			c.HedgeAfter = after
			c.Hooks.Hedge = func() { hedges++ }
		}, slow, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
			connectAll(t, c, servers)
			servers[0].takes, servers[1].takes = 500*time.Millisecond, 500*time.Millisecond
			_, _, err := c.Place(context.Background(), cart(1))
			if _, placed := times(servers); err != nil || placed != 1 {
				t.Errorf("placed %d times, %v", placed, err)
			}
			for _, s := range servers {
				s.forget(found("", 300*time.Millisecond))
			}
			if _, err := c.Lookup(context.Background(), cart(1)); err != nil {
				t.Error(err)
			}
			if n, _ := times(servers); (after == 0) != (n == 2) || (after < 0) != (n == 1) {
				t.Errorf("HedgeAfter %v: asked %d times", after, n)
			}
			for _, s := range servers {
				s.forget(found("", 300*time.Millisecond))
			}
			var header metadata.MD // of which answer?
			if _, err := apiv1.NewPlacementsClient(c.Conn()).Lookup(context.Background(), &apiv1.LookupRequest{Kind: "cart", Key: "1"}, grpc.Header(&header)); err != nil {
				t.Error(err)
			}
			if n, _ := times(servers); n != 1 {
				t.Errorf("with an option: asked %d times", n)
			}
		})
	}
	if hedges != 1 {
		t.Errorf("%d look-ups were asked for twice", hedges)
	}
}
