package placementtest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Factory makes what is tested.
type Factory struct {
	// New makes a place in which nothing is locked and nothing stored, once for each case. What it started ends in t.Cleanup.
	New func(t testing.TB) Place
	// Bubble, unless it is nil, runs each case: synctest.Test for implementations that work in virtual time.
	Bubble func(t *testing.T, f func(t *testing.T))
	// Resolver, unless it is nil, is what ClusterCases are run with in place of NewResolver: the adapter of a framework that
	// resolves identities by a Locker and a Storage.
	Resolver func(placement.Locker, placement.Storage, *Hosts) placement.Activator

	failing *injecting // of Failing
}

// Place is one store, or cluster.
type Place struct {
	// Open returns one more instance, as another process would open it: what one has done, the others see.
	Open func() Instance
	// Host makes a member that activates identities of the kinds that its functions are named by. A function is called for
	// each activation that is begun on the member, perhaps from several goroutines; its error refuses it. Needed when
	// instances have an Activator.
	Host func(member placement.MemberID, kinds map[string]func(placement.Identity) error)
}

// Instance is what one process has. An implementation that has no Locker and Storage, or no Activator, leaves them nil, and
// their cases are not run.
type Instance struct {
	placement.Locker
	placement.Storage
	placement.Activator
}

// Case is one expectation.
type Case struct {
	Name string
	// Run fails t when the expectation is not met. New is called with t once.
	Run func(t testing.TB, f Factory)
}

// Run runs every case that f has an implementation for, each as a test of its name. A factory whose instances implement
// nothing fails, and so does one of Failing of which no call failed.
func Run(t *testing.T, f Factory) {
	t.Helper()
	bubble := f.Bubble
	if bubble == nil {
		bubble = func(t *testing.T, run func(*testing.T)) { run(t) }
	}
	var stores, activates bool
	bubble(t, func(t *testing.T) {
		i := f.New(t).Open()
		stores, activates = i.Locker != nil && i.Storage != nil, i.Activator != nil
	})
	if !stores && !activates {
		t.Fatal("the instance has neither a Locker and a Storage nor an Activator")
	}
	var cases []Case
	if stores {
		cases = append(append(cases, StorageCases()...), ClusterCases()...)
	}
	if activates {
		cases = append(cases, ActivatorCases()...)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) { c.Run(t, f) })
		})
	}
	if i := f.failing; i != nil {
		if t.Logf("%d calls were made to fail", i.n.Load()); i.n.Load() == 0 {
			t.Error("no call was made to fail")
		}
	}
}

// patience bounds a call: longer than every wait that a case expects.
const patience = time.Minute

// trial is one case while it runs.
type trial struct {
	testing.TB
	place Place
	Instance
}

// trialOf makes a case of what needs one instance to begin with.
func trialOf(name string, f func(x *trial)) Case {
	return Case{Name: name, Run: func(t testing.TB, factory Factory) {
		t.Helper()
		place := factory.New(t)
		if factory.failing != nil {
			p, open := &persevering{locks: map[placement.SpawnLock]*heldLock{}}, place.Open
			place.Open = func() Instance { return p.instance(open()) }
		}
		f(&trial{TB: t, place: place, Instance: place.Open()})
	}}
}

// within is a context for one call.
func (x *trial) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	x.Cleanup(cancel)
	return ctx
}

func identity(key string) placement.Identity { return placement.Identity{Kind: "cart", Key: key} }

func stored(member placement.MemberID, ref string) placement.StoredActivation {
	return placement.StoredActivation{Member: member, Ref: ref}
}

// acquire takes a lock, which must be granted.
func (x *trial) acquire(id placement.Identity) placement.SpawnLock {
	x.Helper()
	l, err := x.TryAcquire(x.within(), id)
	if err != nil {
		x.Fatalf("TryAcquire(%v): %v", id, err)
	}
	if l.Identity != id || l.ID == "" {
		x.Fatalf("TryAcquire(%v) = %+v: want a lock of the identity, with an ID", id, l)
	}
	return l
}

// store acquires and stores.
func (x *trial) store(id placement.Identity, a placement.StoredActivation) placement.SpawnLock {
	x.Helper()
	l := x.acquire(id)
	if err := x.Store(x.within(), l, a); err != nil {
		x.Fatalf("Store(%v, %+v): %v", id, a, err)
	}
	return l
}

// has fails unless the activation is what is stored.
func (x *trial) has(s placement.Storage, id placement.Identity, want placement.StoredActivation) {
	x.Helper()
	if got, ok, err := s.Load(x.within(), id); err != nil || !ok || got != want {
		x.Errorf("Load(%v) = %+v, %t, %v; want %+v", id, got, ok, err, want)
	}
}

// hasNothing fails unless nothing is stored.
func (x *trial) hasNothing(s placement.Storage, id placement.Identity) {
	x.Helper()
	if got, ok, err := s.Load(x.within(), id); err != nil || ok {
		x.Errorf("Load(%v) = %+v, %t, %v; want nothing", id, got, ok, err)
	}
}

// is fails unless the error is the wanted one.
func (x *trial) is(what string, err, want error) {
	x.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		x.Errorf("%s: %v; want %v", what, err, want)
	}
}

// refused fails unless the error is of type E.
func refused[E error](x *trial, what string, err error) {
	x.Helper()
	var e E
	if !errors.As(err, &e) {
		x.Errorf("%s: %v; want %s", what, err, fmt.Sprintf("%T", e))
	}
}
