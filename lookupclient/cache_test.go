package lookupclient_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// caching returns a client with a cache on a host of its own, whose watch has begun.
func (w *world) caching(host string, change func(*lookupclient.Config)) *lookupclient.Client {
	w.t.Helper()
	config := lookupclient.Config{Timeout: 10 * time.Second, Cache: 100}
	for _, s := range w.c.Servers {
		config.Servers = append(config.Servers, s.Host+":7420")
	}
	h := w.c.Network.Host(host)
	config.Dial = func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) }
	if change != nil {
		change(&config)
	}
	c, err := lookupclient.Open(config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	_, _ = c.Lookup(context.Background(), placement.Identity{Kind: "cart", Key: "nobody"})
	time.Sleep(time.Second)
	return c
}

// lookup looks up what is placed.
func lookup(t *testing.T, c *lookupclient.Client, id placement.Identity) lookupclient.Placement {
	t.Helper()
	p, err := c.Lookup(context.Background(), id)
	if err != nil {
		t.Fatalf("lookup of %v: %v", id, err)
	}
	return p
}

func TestCache_Lookup_AnswersUntilItEnds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c, other := w.caching("client", nil), w.client("other")
		ctx := context.Background()
		if _, _, err := other.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		asked := lookup(t, c, cart(1))
		p := lookup(t, c, cart(1))
		if asked.Cached || asked.Level == lookupclient.Stale || !p.Cached || p.Level != lookupclient.Stale || p.Age >= 0 || p.Epoch != asked.Epoch ||
			p.Member != "m" || p.Address != "m:9000" || p.Index != asked.Index {
			t.Errorf("asked for: %+v; remembered: %+v", asked, p)
		}
		if q, err := c.LookupAt(ctx, cart(1), lookupclient.Read{}); err != nil || q.Cached {
			t.Errorf("LookupAt: %+v, %v", q, err)
		}
		if err := other.Remove(ctx, cart(1), 0, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // a server tells it
		if q, err := c.Lookup(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("what was removed: %+v, %v", q, err)
		}
		placed, _, err := c.Place(ctx, cart(1))
		if err != nil || placed.Cached {
			t.Fatalf("placed: %+v, %v", placed, err)
		}
		if q := lookup(t, c, cart(1)); !q.Cached || q.Epoch != placed.Epoch || q.Epoch <= p.Epoch {
			t.Errorf("what was placed: %+v", q)
		}
		if _, err := c.PlaceAll(ctx, carts(10)); err != nil {
			t.Fatal(err)
		}
		if q := lookup(t, c, cart(9)); !q.Cached {
			t.Errorf("what PlaceAll placed: %+v", q)
		}
		c.Forget(cart(9), lookup(t, c, cart(9)).Epoch-1)
		if q := lookup(t, c, cart(9)); !q.Cached {
			t.Errorf("another epoch was met: %+v", q)
		}
		c.Forget(cart(9), lookup(t, c, cart(9)).Epoch)
		if q := lookup(t, c, cart(9)); q.Cached {
			t.Errorf("forgotten: %+v", q)
		}
		_ = c.Close()
		if _, err := c.Lookup(ctx, cart(9)); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	})
}

// When a member ends, in order or not, what is remembered of it is gone.
func TestCache_MemberEnds_ItsPlacementsAreGone(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		c := w.caching("client", nil)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for _, end := range []func(*lookupclient.Member){
			func(m *lookupclient.Member) { _ = m.Leave(ctx) },
			func(m *lookupclient.Member) { m.Close(); time.Sleep(10 * time.Second) },
		} {
			m := w.member("m", nil)
			if _, err := c.PlaceAll(ctx, carts(50)); err != nil {
				t.Fatal(err)
			}
			for _, id := range carts(50) {
				if p := lookup(t, c, id); !p.Cached {
					t.Fatalf("it is not remembered: %+v", p)
				}
			}
			end(m)
			time.Sleep(100 * time.Millisecond)
			for _, id := range carts(50) {
				if p, err := c.Lookup(ctx, id); !errors.Is(err, lookupclient.ErrNotPlaced) {
					t.Fatalf("of a member that ended: %+v, %v", p, err)
				}
			}
		}
	})
}

// A client that hears of nothing any more does not answer from its cache; what has ended meanwhile it never does again.
func TestCache_CutOff_IsNotAskedAndCatchesUp(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c, other := w.caching("client", nil), w.client("other")
		ctx := context.Background()
		if _, err := c.PlaceAll(ctx, carts(2)); err != nil {
			t.Fatal(err)
		}
		removed, kept := lookup(t, c, cart(0)), lookup(t, c, cart(1))
		w.isolate("client", true)
		if err := other.Remove(ctx, cart(0), 0, nil); err != nil {
			t.Fatal(err)
		}
		if p := lookup(t, c, cart(0)); p.Epoch != removed.Epoch {
			t.Errorf("a client that is cut off: %+v", p)
		}
		time.Sleep(9 * time.Second)
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if p, err := c.Lookup(short, cart(1)); !errors.Is(err, lookupclient.ErrUnavailable) {
			t.Errorf("a client that is cut off for 9s: %+v, %v", p, err)
		}
		w.isolate("client", false)
		until(t, "the cache is asked again", func() bool {
			p, err := c.Lookup(ctx, cart(0))
			if err == nil {
				t.Fatalf("it answers what was removed: %+v", p)
			}
			p, err = c.Lookup(ctx, cart(1))
			return err == nil && p.Cached && p.Epoch == kept.Epoch
		})
	})
}

// The server that tells what ends is cut off from the client without a word: another one goes on behind what was told.
func TestCache_ServerFallsSilent_AnotherTells(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("m", nil)
		c, other := w.caching("client", nil), w.client("other")
		ctx := context.Background()
		for _, s := range w.c.Servers {
			p, _, err := c.Place(ctx, cart(1))
			if err != nil {
				t.Fatal(err)
			}
			w.c.Network.Isolate("client", true, s.Host)
			if err := other.Remove(ctx, cart(1), 0, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(9 * time.Second)
			if q, err := c.Lookup(ctx, cart(1)); err == nil {
				t.Errorf("without %s: %+v, %v; it was placed as %+v", s.Name, q, err, p)
			}
			w.c.Network.Isolate("client", false, s.Host)
			time.Sleep(20 * time.Second)
		}
	})
}
