package raftnode_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// clocks are clocks of leases that jump, each by itself.
type clocks struct {
	mu   sync.Mutex
	skip map[string]*atomic.Int64
}

func (c *clocks) of(name string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skip == nil {
		c.skip = map[string]*atomic.Int64{}
	}
	if c.skip[name] == nil {
		c.skip[name] = &atomic.Int64{}
	}
	return c.skip[name]
}

// change gives a server its clock.
func (c *clocks) change(config *raftnode.Config) {
	skip := c.of(config.Name)
	config.Seams.Now = func() lease.Instant { return raftnodetest.Now().Add(time.Duration(skip.Load())) }
}

// owners notes who acts on what, and when two do at once.
type owners struct {
	t   *testing.T
	mu  sync.Mutex
	who map[placement.Identity]string
}

func (o *owners) kind(name string) lookupclient.Kind {
	return lookupclient.Kind{Run: func(a *lookupclient.Activation) {
		o.mu.Lock()
		if other := o.who[a.Identity]; other != "" {
			o.t.Errorf("%v is acted on by %s and by %s at once", a.Identity, other, name)
		}
		o.who[a.Identity] = name
		o.mu.Unlock()
		<-a.Context().Done()
		o.mu.Lock()
		delete(o.who, a.Identity)
		o.mu.Unlock()
	}}
}

// clockSite is three servers with jumping clocks and two members, a and b, that host the kind file.
func clockSite(t *testing.T, f func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, members map[string]*lookupclient.Member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		clocks := &clocks{}
		c := raftnodetest.NewCluster(t, 3, clocks.change)
		defer c.Close()
		c.Leader(nil)
		who := &owners{t: t, who: map[placement.Identity]string{}}
		members := map[string]*lookupclient.Member{}
		dialer := func(host string) *lookupclient.Client {
			client, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420", "s2:7420", "s3:7420"}, Timeout: 20 * time.Second, Dial: c.Network.Host(host).Dial})
			if err != nil {
				t.Fatal(err)
			}
			return client
		}
		for _, name := range []string{"a", "b"} {
			client := dialer(name)
			defer client.Close()
			skip := clocks.of(name)
			m, err := client.Join(context.Background(), lookupclient.MemberConfig{
				Name: placement.MemberID(name), Address: name + ":1", Kinds: map[string]lookupclient.Kind{"file": who.kind(name)},
				Now: func() time.Duration { return time.Duration(raftnodetest.Now()) + time.Duration(skip.Load()) },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			members[name] = m
		}
		client := dialer("client")
		defer client.Close()
		f(t, c, clocks, client, members)
	})
}

func placeAll(t *testing.T, client *lookupclient.Client, n int) []lookupclient.Placement {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var ids []placement.Identity
	for i := range n {
		ids = append(ids, file(fmt.Sprint(i)))
	}
	results, err := client.PlaceAll(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	var out []lookupclient.Placement
	for _, r := range results {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		out = append(out, r.Placement)
	}
	return out
}

// kept checks that every placement is as it was acknowledged.
func kept(t *testing.T, when string, client *lookupclient.Client, want []lookupclient.Placement) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, p := range want {
		got, err := client.Lookup(ctx, p.Identity)
		if err != nil || got.Epoch != p.Epoch || got.Member != p.Member {
			t.Errorf("%s: %v is with %s under %d, %v; was with %s under %d", when, p.Identity, got.Member, got.Epoch, err, p.Member, p.Epoch)
		}
	}
}

// A follower's clock decides nothing.
func TestClock_FollowerJumps_NothingHappens(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, _ map[string]*lookupclient.Member) {
			placed := placeAll(t, client, 20)
			for _, s := range c.Others(c.Leader(nil)) {
				clocks.of(s.Name).Store(int64(jump))
			}
			time.Sleep(20 * time.Second)
			kept(t, fmt.Sprint("after ", jump), client, placed)
		})
	}
}

// A leader whose clock jumps an hour ahead was suspended, as far as it can know, so leases have ended: members are
// expired by the log, and learn of it at once. What is placed anew has larger epochs; nothing that was acknowledged is
// undone, and no member that was told of its end is asked again.
func TestClock_LeaderJumpsAhead_MembersExpireInOrder(t *testing.T) {
	clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, members map[string]*lookupclient.Member) {
		placed := placeAll(t, client, 20)
		before := map[string]placement.Incarnation{"a": members["a"].State().Incarnation, "b": members["b"].State().Incarnation}
		l := c.Leader(nil)
		clocks.of(l.Name).Store(int64(time.Hour))
		begin := time.Now()
		for name, m := range members {
			for m.State().Incarnation == before[name] || m.State().Incarnation == 0 {
				if time.Since(begin) > 20*time.Second {
					t.Fatalf("%s goes on as %d", name, m.State().Incarnation)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		again := placeAll(t, client, 20)
		for i := range again {
			if again[i].Epoch <= placed[i].Epoch {
				t.Errorf("%v: epoch %d after %d", again[i].Identity, again[i].Epoch, placed[i].Epoch)
			}
		}
		time.Sleep(20 * time.Second)
		kept(t, "afterwards", client, again)
		if got := c.Leader(nil); got != l {
			t.Errorf("%s leads, and not %s any more", got.Name, l.Name)
		}
	})
}

// A member that is cut off ends by its own clock; then the leader's clock jumps, and what it owned is placed anew at once.
func TestClock_LeaderJumpsAhead_CutOffMemberHasEnded(t *testing.T) {
	clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, members map[string]*lookupclient.Member) {
		placed := placeAll(t, client, 20)
		for members["a"].State().Held+members["b"].State().Held != 20 { // they hear that they own them
			time.Sleep(10 * time.Millisecond)
		}
		for _, s := range c.Servers {
			c.Network.Isolate("a", true, s.Host)
		}
		begin := time.Now()
		for members["a"].State().Held != 0 {
			if time.Since(begin) > 6*time.Second {
				t.Fatalf("a holds %d after %v", members["a"].State().Held, time.Since(begin))
			}
			time.Sleep(10 * time.Millisecond)
		}
		clocks.of(c.Leader(nil).Name).Store(int64(time.Hour))
		time.Sleep(time.Second) // the leader looks at its clock
		again := placeAll(t, client, 20)
		for i := range again {
			if again[i].Member != "b" || again[i].Epoch <= placed[i].Epoch {
				t.Errorf("%v: with %s under %d, was under %d", again[i].Identity, again[i].Member, again[i].Epoch, placed[i].Epoch)
			}
		}
		for _, s := range c.Servers {
			c.Network.Isolate("a", false, s.Host)
		}
		time.Sleep(10 * time.Second)
		kept(t, "when a is back", client, again)
	})
}

// A clock that goes backward, which the clock of leases never does, makes leases longer for the leader, never shorter.
func TestClock_LeaderJumpsBack_NobodyIsTakenAnything(t *testing.T) {
	clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, members map[string]*lookupclient.Member) {
		placed := placeAll(t, client, 20)
		l := c.Leader(nil)
		clocks.of(l.Name).Store(-int64(time.Hour))
		time.Sleep(20 * time.Second)
		kept(t, "after the jump", client, placed)
		// Calls go on, also those that need the barrier to pass.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := client.Remove(ctx, placed[0].Identity, 0, nil); err != nil {
			t.Errorf("remove: %v", err)
		}
		if _, created, err := client.Place(ctx, placed[0].Identity); err != nil || !created {
			t.Errorf("place: created %t, %v", created, err)
		}
		// The next leader's clock is right, and it knows nothing of the old one's.
		l.Kill()
		c.Leader(l)
		time.Sleep(20 * time.Second)
		kept(t, "under the next leader", client, placed[1:])
	})
}

// A member whose own clock jumps ahead ends by itself, and nobody else owns anything before that.
func TestClock_MemberJumpsAhead_EndsByItself(t *testing.T) {
	clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, members map[string]*lookupclient.Member) {
		placed := placeAll(t, client, 20)
		clocks.of("a").Store(int64(time.Hour))
		begin := time.Now()
		for members["a"].State().Lost == 0 {
			if time.Since(begin) > 10*time.Second {
				t.Fatal("a goes on")
			}
			time.Sleep(10 * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, p := range placed {
			q, _, err := client.Place(ctx, p.Identity)
			if err != nil || p.Member == "b" && q.Epoch != p.Epoch || q.Epoch < p.Epoch {
				t.Errorf("%v: %+v, %v; was %+v", p.Identity, q, err, p)
			}
		}
	})
}

// All clocks jump, again and again, while leaders change: nothing hangs, and the servers agree.
func TestClock_AllJump_ServersAgree(t *testing.T) {
	clockSite(t, func(t *testing.T, c *raftnodetest.Cluster, clocks *clocks, client *lookupclient.Client, _ map[string]*lookupclient.Member) {
		for round, jump := range []time.Duration{time.Hour, -time.Hour, 6 * time.Second, -6 * time.Second, 100 * time.Hour} {
			placeAll(t, client, 10)
			for i, s := range c.Servers {
				clocks.of(s.Name).Add(int64(jump) * int64(i+1))
			}
			l := c.Leader(nil)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if _, err := apiv1.NewClusterClient(c.Dial("client", l)).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{}); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			cancel()
			c.Leader(nil)
			time.Sleep(10 * time.Second)
		}
		placed := placeAll(t, client, 10)
		agree(t, c, 3)
		kept(t, "in the end", client, placed)
	})
}
