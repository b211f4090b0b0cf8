package placementtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// members is a cluster of three members over a store, with a resolver in each.
type members struct {
	*trial
	hosts     *Hosts
	make      func(placement.Locker, placement.Storage, *Hosts) placement.Activator
	resolvers []placement.Activator
	fails     bool // calls are made to fail
}

// clusterOf makes a case of what needs such a cluster. No two activations of an identity may act at once in it.
func clusterOf(name string, f func(c *members)) Case {
	return Case{Name: name, Run: func(t testing.TB, factory Factory) {
		t.Helper()
		place := factory.New(t)
		c := &members{trial: &trial{TB: t, place: place, Instance: place.Open()}, hosts: NewHosts(), make: factory.Resolver, fails: factory.failing != nil}
		if c.fails { // what the case itself does is done
			c.Instance = (&persevering{locks: map[placement.SpawnLock]*heldLock{}}).instance(c.Instance)
		}
		if c.make == nil {
			c.make = NewResolver
		}
		for i := range 3 {
			c.add(placement.MemberID(fmt.Sprint("member-", i+1)))
			i := place.Open()
			c.resolvers = append(c.resolvers, c.make(i.Locker, i.Storage, c.hosts))
		}
		f(c)
		for _, twice := range c.hosts.Twice() {
			t.Errorf("%s", twice)
		}
	}}
}

// add adds a member that hosts carts and users.
func (c *members) add(member placement.MemberID) {
	takes := func(placement.Identity) error { return nil }
	c.hosts.Add(member, map[string]func(placement.Identity) error{"cart": takes, "user": takes})
}

// kill ends a member, and says so to the store.
func (c *members) kill(member placement.MemberID) {
	c.Helper()
	c.hosts.Kill(member)
	c.is("RemoveMember", c.RemoveMember(c.within(), member), nil)
}

// all has each of the resolvers that are named resolve each of the identities, all at once, and returns what they agree on.
func (c *members) all(ids []placement.Identity, by ...int) map[placement.Identity]placement.Activated {
	c.Helper()
	var mu sync.Mutex
	found := map[placement.Identity]placement.Activated{}
	var calls sync.WaitGroup
	for _, r := range by {
		for _, id := range ids {
			calls.Go(func() {
				a, err := c.resolvers[r].Ensure(c.within(), id)
				if err != nil {
					c.Errorf("Ensure(%v) by %d: %v", id, r+1, err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if before, ok := found[id]; ok && before != a {
					c.Errorf("Ensure(%v) gave %+v and %+v", id, before, a)
				}
				found[id] = a
			})
		}
	}
	calls.Wait()
	for _, id := range ids {
		if acting, hidden := c.hosts.Of(id); acting != 1 || hidden != 0 {
			c.Errorf("%d activations of %v act, %d are hidden", acting, id, hidden)
		}
	}
	return found
}

func carts(n int) (ids []placement.Identity) {
	for i := range n {
		ids = append(ids, identity(fmt.Sprint(i)))
	}
	return ids
}

// ClusterCases are what members that resolve identities by a Locker and a Storage must come to: the behaviour that
// Proto.Actor's suite expects of a cluster, by the names there, and what has gone wrong in such resolvers. They ask the store and
// the resolver at once; with Failing the resolver's calls fail.
func ClusterCases() []Case {
	return []Case{
		clusterOf("CanSpawnASingleVirtualActor", func(c *members) { c.all(carts(1), 0) }),
		clusterOf("ConcurrentActivationsOnSameIdWorks", func(c *members) {
			c.all([]placement.Identity{identity("1")}, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0)
		}),
		clusterOf("CanSpawnVirtualActorsSequentially", func(c *members) {
			for _, id := range carts(10) {
				c.all([]placement.Identity{id}, 0)
			}
		}),
		clusterOf("CanSpawnVirtualActorsConcurrently", func(c *members) { c.all(carts(10), 0) }),
		clusterOf("CanSpawnVirtualActorsConcurrentlyOnAllNodes", func(c *members) { c.all(carts(10), 0, 1, 2) }),
		clusterOf("CanSpawnMultipleKindsWithSameIdentityConcurrently", func(c *members) {
			var ids []placement.Identity
			for _, id := range carts(10) {
				ids = append(ids, id, placement.Identity{Kind: "user", Key: id.Key})
			}
			if found := c.all(ids, 0, 1); len(found) != 20 {
				c.Errorf("%d activations of 20 identities", len(found))
			}
		}),
		clusterOf("CanRespawnVirtualActors", func(c *members) {
			first := c.all(carts(10), 0)
			for _, a := range first {
				for try := 0; ; try++ {
					err := c.resolvers[1].End(c.within(), a)
					if err == nil {
						break
					}
					if !errors.Is(err, ErrInjected) || try == 100 {
						c.Fatalf("End(%+v): %v", a, err)
					}
				}
			}
			for id, a := range c.all(carts(10), 2) {
				if a.Epoch <= first[id].Epoch {
					c.Errorf("%v is %+v, was %+v", id, a, first[id])
				}
			}
		}),
		clusterOf("HandlesLosingANode", func(c *members) {
			first := c.all(carts(10), 0)
			c.kill("member-1")
			for id, a := range c.all(carts(10), 1, 2) {
				if was := first[id]; a.Member == "member-1" || was.Member != "member-1" && a != was {
					c.Errorf("%v is %+v, was %+v", id, a, was)
				}
			}
		}),
		clusterOf("HandlesLosingANodeWhileProcessing", func(c *members) { c.loseWhileProcessing() }),

		clusterOf("FailedStoreIsNoActivation", func(c *members) { c.failedStore() }),
		clusterOf("WhoIsGoneIsNotAdopted", func(c *members) {
			a := c.ensureBy(c.resolvers[0], identity("1"))
			c.hosts.Kill(a.Member) // the store has not been told
			if again := c.ensureBy(c.resolvers[1], identity("1")); again.Member == a.Member {
				c.Errorf("it is on %s, which is gone", again.Member)
			}
		}),
		clusterOf("OwnerIsAsked", func(c *members) {
			a := c.ensureBy(c.resolvers[0], identity("1"))
			c.hosts.Stop(a.Member, fmt.Sprint("pid-", uint64(a.Epoch))) // it ended, and nobody was told
			if again := c.ensureBy(c.resolvers[1], identity("1")); again == a {
				c.Errorf("it is %+v, which its member does not run", again)
			}
		}),
		clusterOf("FailedReleaseDropsNothing", func(c *members) {
			i := c.place.Open()
			r := c.make(noRelease{i.Locker}, i.Storage, c.hosts)
			a := c.ensureBy(r, identity("1"))
			if n, _ := c.hosts.Of(identity("1")); n != 1 || !c.hosts.Runs(a.Member, a.Identity, fmt.Sprint("pid-", uint64(a.Epoch))) {
				c.Errorf("%d act, and the answer is %+v", n, a)
			}
			_, err := r.Ensure(c.within(), placement.Identity{Kind: "room", Key: "1"})
			if c.is("Ensure of a kind that nobody hosts", err, placement.ErrNoHost); err != nil && !strings.Contains(err.Error(), "member-2 does not host the kind") {
				c.Errorf("the reasons are not told: %v", err)
			}
		}),
		clusterOf("WhoAsksAtOnceSharesALock", func(c *members) {
			i := c.place.Open()
			counted := &countsLocks{Locker: i.Locker}
			r := c.make(counted, slowStore{i.Storage}, c.hosts)
			var calls sync.WaitGroup
			for range 10 {
				calls.Go(func() { c.ensureBy(r, identity("1")) })
			}
			calls.Wait()
			// Tries that were made to fail are made again, one at a time.
			if counted.most != 1 || counted.all > 1 && !c.fails {
				c.Errorf("10 that asked one resolver at once tried the lock %d times, %d of them at once", counted.all, counted.most)
			}
		}),
	}
}

// ensureBy has one resolver resolve an identity, which must work.
func (c *members) ensureBy(r placement.Activator, id placement.Identity) placement.Activated {
	c.Helper()
	a, err := r.Ensure(c.within(), id)
	if err != nil {
		c.Errorf("Ensure(%v): %v", id, err)
	}
	return a
}

// loseWhileProcessing kills a member while all identities are asked for all the time.
func (c *members) loseWhileProcessing() {
	c.Helper()
	ids := carts(10)
	stop, end := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	for n, r := range c.resolvers {
		calls.Go(func() {
			for i := n; stop.Err() == nil; i++ {
				if _, err := r.Ensure(c.within(), ids[i%len(ids)]); err != nil {
					c.Errorf("Ensure(%v): %v", ids[i%len(ids)], err)
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	time.Sleep(50 * time.Millisecond)
	c.kill("member-1")
	time.Sleep(50 * time.Millisecond)
	end()
	calls.Wait()
	for id, a := range c.all(ids, 0, 1, 2) {
		if a.Member == "member-1" {
			c.Errorf("%v is on a member that is gone", id)
		}
	}
}

// failedStore has nothing stored any more: nothing may act, and nothing be answered, while it is so.
func (c *members) failedStore() {
	c.Helper()
	i := c.place.Open()
	r := c.make(i.Locker, noStores{i.Storage}, c.hosts)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a, err := r.Ensure(ctx, identity("1"))
	if acting, hidden := c.hosts.Of(identity("1")); err == nil || acting != 0 || hidden != 0 {
		c.Errorf("without its being stored it is %+v, %v; %d act, %d are hidden", a, err, acting, hidden)
	}
	if _, ok, err := c.Load(c.within(), identity("1")); err != nil || ok {
		c.Errorf("Load = %t, %v", ok, err)
	}
	if c.hosts.Begun() == 0 {
		c.Errorf("nothing was begun: nothing is shown")
	}
	time.Sleep(placement.SpawnLockStaleMax) // its lock is over, also when it was not released
	c.all([]placement.Identity{identity("1")}, 0)
}

// noStores fails every Store, with nothing stored.
type noStores struct{ placement.Storage }

func (noStores) Store(context.Context, placement.SpawnLock, placement.StoredActivation) error {
	return errors.New("the disk is full")
}

// noRelease fails every Release.
type noRelease struct{ placement.Locker }

func (noRelease) Release(context.Context, placement.SpawnLock) error {
	return errors.New("the network is down")
}

// countsLocks counts who tries a lock.
type countsLocks struct {
	placement.Locker

	mu             sync.Mutex
	all, now, most int // tries, those on their way, the most of them at once
}

func (c *countsLocks) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	c.mu.Lock()
	c.all++
	c.now++
	c.most = max(c.most, c.now)
	c.mu.Unlock()
	time.Sleep(10 * time.Millisecond)
	l, err := c.Locker.TryAcquire(ctx, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now--
	return l, err
}

// slowStore stores late, so that all who ask at once have asked.
type slowStore struct{ placement.Storage }

func (s slowStore) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	time.Sleep(20 * time.Millisecond)
	return s.Storage.Store(ctx, l, a)
}
