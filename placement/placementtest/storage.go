package placementtest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// StorageCases are what a Locker and a Storage must do: first the fourteen of Proto.Actor's suite, by their names there, then
// what follows from the contracts besides.
func StorageCases() []Case {
	return append([]Case{
		trialOf("GlobalLockActivatesOnceOnly", func(x *trial) { x.once(x.Instance) }),
		trialOf("GlobalLockActivatesOnceOnlyAcrossMultipleClients", func(x *trial) { x.once(x.Instance, x.place.Open()) }),
		trialOf("CannotTakeLockWhenAlreadyActivated", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.store(id, a)
			x.has(x.Storage, id, a)
			_, err := x.TryAcquire(x.within(), id)
			x.is("TryAcquire of what is activated", err, placement.ErrNotGranted)
			x.has(x.Storage, id, a)
		}),
		trialOf("CanDeleteSpawnLocks", func(x *trial) {
			id := identity("1")
			first := x.acquire(id)
			x.is("Release", x.Release(x.within(), first), nil)
			x.is("Release again", x.Release(x.within(), first), nil)
			second := x.acquire(id)
			x.is("Release of the first while there is a second", x.Release(x.within(), first), nil)
			_, err := x.TryAcquire(x.within(), id)
			x.is("TryAcquire while there is a second", err, placement.ErrNotGranted)
			x.is("Store with the second", x.Store(x.within(), second, stored("member-1", "pid-1")), nil)
		}),
		trialOf("CanStoreActivation", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.hasNothing(x.Storage, id)
			x.store(id, a)
			x.has(x.Storage, id, a)
			x.has(x.place.Open().Storage, id, a)
		}),
		trialOf("CannotStoreOverExisting", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.store(id, a)
			err := x.Store(x.within(), placement.SpawnLock{ID: "someLockId", Identity: id}, stored("member-2", "pid-2"))
			x.is("Store over what is there", err, placement.ErrLockNotFound)
			x.has(x.Storage, id, a)
		}),
		trialOf("CannotStoreWithoutLock", func(x *trial) {
			id := identity("1")
			err := x.Store(x.within(), placement.SpawnLock{ID: "not-a-lock", Identity: id}, stored("member-1", "pid-1"))
			x.is("Store without a lock", err, placement.ErrLockNotFound)
			x.hasNothing(x.Storage, id)
		}),
		trialOf("CanRemoveActivation", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.store(id, a)
			x.is("Remove", x.Remove(x.within(), id, a), nil)
			x.hasNothing(x.Storage, id)
			x.is("Remove again", x.Remove(x.within(), id, a), nil)
			x.store(id, stored("member-2", "pid-2"))
		}),
		trialOf("DoesNotRemoveIfIdDoesNotMatch", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.store(id, a)
			x.is("Remove of another reference", x.Remove(x.within(), id, stored("member-1", "pid-2")), nil)
			x.is("Remove of another member", x.Remove(x.within(), id, stored("member-2", "pid-1")), nil)
			x.has(x.Storage, id, a)
		}),
		trialOf("CanRemoveByMember", func(x *trial) {
			id := identity("1")
			x.store(id, stored("member-1", "pid-1"))
			x.is("RemoveMember", x.RemoveMember(x.within(), "member-1"), nil)
			x.hasNothing(x.Storage, id)
			x.store(id, stored("member-2", "pid-2"))
		}),
		trialOf("WillNotRemoveCurrentActivationByPrevMember", func(x *trial) {
			id, first, second := identity("1"), stored("member-1", "pid-1"), stored("member-2", "pid-2")
			x.store(id, first)
			x.is("Remove", x.Remove(x.within(), id, first), nil)
			x.store(id, second)
			x.is("RemoveMember of the former member", x.RemoveMember(x.within(), "member-1"), nil)
			x.has(x.Storage, id, second)
		}),
		trialOf("CanRemoveMemberWithManyActivations", func(x *trial) { x.removeMany(200, 10*time.Second) }),
		trialOf("CanWaitForActivation", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			l := x.acquire(id)
			done := make(chan error, 1)
			go func() {
				time.Sleep(500 * time.Millisecond)
				done <- x.Store(x.within(), l, a)
			}()
			begin := time.Now()
			got, ok, err := x.place.Open().Wait(x.within(), id)
			if took := time.Since(begin); err != nil || !ok || got != a || took > 5*time.Second {
				x.Errorf("Wait = %+v, %t, %v after %v; want %+v", got, ok, err, took, a)
			}
			x.is("Store", <-done, nil)
		}),
		trialOf("RemovesLockIfStale", func(x *trial) {
			id := identity("1")
			x.acquire(id)
			begin := time.Now()
			a, ok, err := x.Wait(x.within(), id)
			if took := time.Since(begin); err != nil || ok || took > placement.SpawnLockStaleMax {
				x.Errorf("Wait for a lock that nobody uses = %+v, %t, %v after %v; want nothing, within %v", a, ok, err, took, placement.SpawnLockStaleMax)
			}
			x.acquire(id)
		}),
	}, moreStorageCases()...)
}

// once has every instance try ten times at once: one try is granted.
func (x *trial) once(instances ...Instance) {
	x.Helper()
	id := identity("1")
	var mu sync.Mutex
	var granted []placement.SpawnLock
	var all sync.WaitGroup
	for _, i := range instances {
		for range 10 {
			all.Go(func() {
				l, err := i.TryAcquire(x.within(), id)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					granted = append(granted, l)
				} else if !errors.Is(err, placement.ErrNotGranted) {
					x.Errorf("TryAcquire: %v; want a lock or %v", err, placement.ErrNotGranted)
				}
			})
		}
	}
	all.Wait()
	if len(granted) != 1 || granted[0].Identity != id {
		x.Errorf("%d tries at once were granted %+v; want one, of %v", 10*len(instances), granted, id)
	}
}

// removeMany removes a member with n activations, and leaves another one's.
func (x *trial) removeMany(n int, limit time.Duration) {
	x.Helper()
	other := stored("member-2", "pid-other")
	x.store(identity("other"), other)
	var all sync.WaitGroup
	slots := make(chan struct{}, 20)
	for i := range n {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			id := identity(fmt.Sprint(i))
			l, err := x.TryAcquire(x.within(), id)
			if err == nil {
				err = x.Store(x.within(), l, stored("member-1", fmt.Sprint("pid-", i)))
			}
			x.is(fmt.Sprintf("store of %v", id), err, nil)
		})
	}
	all.Wait()
	x.has(x.Storage, identity("0"), stored("member-1", "pid-0"))
	begin := time.Now()
	x.is("RemoveMember", x.RemoveMember(x.within(), "member-1"), nil)
	if took := time.Since(begin); took > limit {
		x.Errorf("RemoveMember took %v for %d activations; want %v", took, n, limit)
	}
	for i := range n {
		x.hasNothing(x.Storage, identity(fmt.Sprint(i)))
	}
	x.has(x.Storage, identity("other"), other)
}
