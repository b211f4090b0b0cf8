package lookuptest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/lookuptest"
	"github.com/seed13d31b7f/berth/placement"
)

var cart = placement.Identity{Kind: "cart", Key: "42"}

// carts is a member that hosts carts, and tells of each that it begins.
func carts(name string, began chan<- *lookupclient.Activation) lookupclient.MemberConfig {
	return lookupclient.MemberConfig{Name: placement.MemberID(name), Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) {
		began <- a
		<-a.Context().Done()
	}}}}
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// place has the cart placed, and returns the owner's activation.
func place(t testing.TB, c *lookuptest.Cluster, began <-chan *lookupclient.Activation) *lookupclient.Activation {
	t.Helper()
	p, created, err := c.Client().Place(within(t), cart)
	if err != nil || !created {
		t.Fatalf("Place = %+v, %t, %v", p, created, err)
	}
	a := <-began
	if a.Epoch != p.Epoch || a.Check() != nil {
		t.Fatalf("the owner has %d, %v; placed is %d", a.Epoch, a.Check(), p.Epoch)
	}
	return a
}

// A cluster of servers and members works in plain time: as many servers as wanted, a leader that is killed, a server that comes back.
func TestCluster_PlainTime_LeaderKilled(t *testing.T) {
	began := make(chan *lookupclient.Activation, 10)
	c := lookuptest.Start(t, lookuptest.Config{Members: []lookupclient.MemberConfig{carts("shop-1", began)}})
	if len(c.Servers()) != 3 || c.Member("shop-1") == nil || c.Member("shop-2") != nil {
		t.Fatalf("servers %v, member %v", c.Servers(), c.Member("shop-1"))
	}
	a := place(t, c, began)
	leader := c.WaitLeader()
	c.Kill(leader)
	c.Kill(leader)
	if next := c.WaitLeader(); next == leader {
		t.Errorf("%s leads, and is dead", next)
	}
	p, err := c.Client().Lookup(within(t), cart)
	if err != nil || p.Epoch != a.Epoch || a.Check() != nil {
		t.Errorf("after a failover: %+v, %v; the owner: %v", p, err, a.Check())
	}
	c.Restart(leader)
	for _, s := range c.Servers() {
		if s != leader && s != c.WaitLeader() {
			c.Kill(s) // the one that came back is needed now
			break
		}
	}
	if p, err := c.NewClient("another").Lookup(within(t), cart); err != nil || p.Epoch != a.Epoch {
		t.Errorf("with the server that came back: %+v, %v", p, err)
	}
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// A member that is cut off ends its activations by its own clock, before another one gets them.
func TestCluster_CutMember_FencesItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := make(chan *lookupclient.Activation, 10)
		c := lookuptest.Start(t, lookuptest.Config{Members: []lookupclient.MemberConfig{carts("shop-1", began)}, MemberTTL: 2 * time.Second})
		a := place(t, c, began)
		c.Join(carts("shop-2", began))
		c.CutMember("shop-1")
		cut := c.Now()
		<-a.Context().Done()
		if took := c.Now() - cut; took > 2*time.Second || !errors.Is(context.Cause(a.Context()), lookupclient.ErrLeaseLost) {
			t.Errorf("it ended after %v: %v", took, context.Cause(a.Context()))
		}
		time.Sleep(3 * time.Second)
		b := place(t, c, began)
		if b.Epoch <= a.Epoch {
			t.Errorf("epoch %d after %d", b.Epoch, a.Epoch)
		}
		lost := c.Member("shop-1").State().Lost
		c.HealMember("shop-1")
		time.Sleep(10 * time.Second)
		if s := c.Member("shop-1").State(); lost != 1 || s.Incarnation == 0 || s.Held != 0 {
			t.Errorf("it lost its lease %d times, and is %+v", lost, s)
		}
	})
}

// A leader that is paused is followed by another one, and goes on as a follower.
func TestCluster_PauseLeader_AnotherLeads(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := make(chan *lookupclient.Activation, 10)
		c := lookuptest.Start(t, lookuptest.Config{Servers: 5, Members: []lookupclient.MemberConfig{carts("shop-1", began)}})
		leader := c.WaitLeader()
		c.Pause(leader)
		if next := c.WaitLeader(); next == leader {
			t.Errorf("%s leads, and is paused", next)
		}
		place(t, c, began)
		c.Resume(leader)
		time.Sleep(5 * time.Second)
		if _, err := c.Client().Lookup(within(t), cart); err != nil {
			t.Error(err)
		}
	})
}

// Two of three servers that cannot reach each other make no difference while both reach the leader; all three cut makes one.
func TestCluster_Cut_NoMajorityUntilHeal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := lookuptest.Start(t, lookuptest.Config{})
		c.Cut("s1", "s2")
		c.Cut("s2", "s3")
		c.Cut("s1", "s3")
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := c.Client().Lookup(ctx, cart)
		if !errors.Is(err, lookupclient.ErrUnavailable) {
			t.Errorf("without a majority: %v", err)
		}
		c.Kill("s1") // faults stay through the death of a server
		c.Restart("s1")
		ctx, cancel = context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if _, err := c.Client().Lookup(ctx, cart); !errors.Is(err, lookupclient.ErrUnavailable) {
			t.Errorf("without a majority, one restarted: %v", err)
		}
		c.Heal()
		if _, err := c.Client().Lookup(within(t), cart); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("healed: %v", err)
		}
	})
}

// An operator expires a member: its activation ends, and it joins again as another incarnation.
func TestCluster_ExpireMember_JoinsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := make(chan *lookupclient.Activation, 10)
		c := lookuptest.Start(t, lookuptest.Config{Servers: 1, Members: []lookupclient.MemberConfig{carts("shop-1", began)}})
		a := place(t, c, began)
		before := c.Member("shop-1").State().Incarnation
		c.ExpireMember("shop-1")
		if a.Check() == nil {
			t.Error("its activation goes on")
		}
		time.Sleep(5 * time.Second)
		if after := c.Member("shop-1").State().Incarnation; after <= before {
			t.Errorf("incarnation %d after %d", after, before)
		}
		place(t, c, began)
	})
}

// Sessions have the cluster's clock: a client that is cut off loses its lock before another one gets it.
func TestCluster_ClientCutOff_LosesItsLock(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := lookuptest.Start(t, lookuptest.Config{})
		a, err := c.NewClient("a").OpenSession(within(t), lookupclient.SessionConfig{Holder: "a", TTL: 2 * time.Second, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.NewClient("b").OpenSession(within(t), lookupclient.SessionConfig{Holder: "b", Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		first, err := a.Acquire(within(t), "nightly", lookupclient.LockOptions{})
		if err != nil {
			t.Fatal(err)
		}
		c.Pause("a")
		second, err := b.Acquire(within(t), "nightly", lookupclient.LockOptions{})
		if err != nil || first.Check() == nil || second.Token <= first.Token {
			t.Errorf("%v; the first one: %v; tokens %d, %d", err, first.Check(), first.Token, second.Token)
		}
		c.Resume("a")
		_ = a.Close(within(t))
		_ = b.Close(within(t))
	})
}

// What does not work ends the test, and says why.
func TestOpen_Failures(t *testing.T) {
	for _, config := range []lookuptest.Config{
		{Servers: 8}, {Servers: -1}, {Servers: 1, MemberTTL: time.Millisecond}, {Servers: 1, Members: []lookupclient.MemberConfig{{Name: "a b"}}},
	} {
		if c, err := lookuptest.Open(config); err == nil || c != nil {
			t.Errorf("Open(%+v) = %v", config, err)
		}
	}
	c, err := lookuptest.Open(lookuptest.Config{Servers: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func(){
		"Kill": func() { c.Kill("s2") }, "Cut": func() { c.Cut("s1", "x") }, "Pause": func() { c.Pause("x") }, "HealMember": func() { c.HealMember("x") },
	} {
		func() {
			defer func() {
				if why, ok := recover().(error); !ok || !strings.Contains(why.Error(), "there are [s1") {
					t.Errorf("%s: %v", name, why)
				}
			}()
			f()
		}()
	}
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
}
