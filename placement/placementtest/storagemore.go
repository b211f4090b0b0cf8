package placementtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// moreStorageCases are what follows from the contracts beyond Proto.Actor's suite.
func moreStorageCases() []Case {
	return []Case{
		trialOf("AcquireNeedsNoMember", func(x *trial) {
			x.acquire(identity("1")) // nobody has joined or stored anything
			x.acquire(identity("2")) // and one lock is not in another's way
		}),
		trialOf("MembersExistByBeingNamed", func(x *trial) {
			id, a := identity("1"), stored("never-joined-0c9b4d52", "pid-1")
			x.store(id, a)
			time.Sleep(3 * placement.SpawnLockStaleMax) // much longer than any lock lasts
			x.has(x.Storage, id, a)
			x.has(x.place.Open().Storage, id, a)
			_, err := x.TryAcquire(x.within(), id)
			x.is("TryAcquire of what is activated", err, placement.ErrNotGranted)
		}),
		trialOf("LockIDsAreOpaque", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			l := x.acquire(id)
			for _, text := range []string{"", "0", "1.2", l.ID + "0", "0" + l.ID, strings.ToUpper(l.ID) + "x", "\x00\xff", strings.Repeat("9", 4000), "-1.-1"} {
				no := placement.SpawnLock{ID: text, Identity: id}
				x.is(fmt.Sprintf("Store with lock %.20q", text), x.Store(x.within(), no, a), placement.ErrLockNotFound)
				x.is(fmt.Sprintf("Release of lock %.20q", text), x.Release(x.within(), no), nil)
			}
			other := placement.SpawnLock{ID: l.ID, Identity: identity("2")}
			x.is("Store with the lock of another identity", x.Store(x.within(), other, a), placement.ErrLockNotFound)
			x.is("Release of the lock of another identity", x.Release(x.within(), other), nil)
			x.hasNothing(x.Storage, identity("2"))
			x.is("Store with the lock", x.place.Open().Store(x.within(), l, a), nil) // by another process
			x.has(x.Storage, id, a)
		}),
		trialOf("LockIsUsedOnce", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			l := x.store(id, a)
			x.is("Store again", x.Store(x.within(), l, a), placement.ErrLockNotFound)
			x.is("Store of another one", x.Store(x.within(), l, stored("member-2", "pid-2")), placement.ErrLockNotFound)
			x.has(x.Storage, id, a)
			x.is("Release of a lock that was used", x.Release(x.within(), l), nil)
			x.has(x.Storage, id, a)
			x.is("Remove", x.Remove(x.within(), id, a), nil)
			x.is("Store with the lock of what was removed", x.Store(x.within(), l, a), placement.ErrLockNotFound)
			x.hasNothing(x.Storage, id)
		}),
		trialOf("StoresAtOnceOneIsDone", func(x *trial) { x.storesAtOnce(5) }),
		trialOf("StoreAndReleaseAtOnceOneIsDone", func(x *trial) { x.storeAndRelease(10) }),
		trialOf("StaleLockIsNotFound", func(x *trial) {
			id := identity("1")
			l := x.acquire(id)
			time.Sleep(placement.SpawnLockStaleMax)
			x.is("Store with a lock that is over", x.Store(x.within(), l, stored("member-1", "pid-1")), placement.ErrLockNotFound)
			x.is("Release of a lock that is over", x.Release(x.within(), l), nil)
			x.hasNothing(x.Storage, id)
			next := x.acquire(id)
			x.is("Store with the former lock", x.Store(x.within(), l, stored("member-1", "pid-1")), placement.ErrLockNotFound)
			x.is("Store with the present one", x.Store(x.within(), next, stored("member-2", "pid-2")), nil)
		}),
		trialOf("RemovedMemberIsBarred", func(x *trial) {
			x.is("RemoveMember of nobody", x.RemoveMember(x.within(), "member-1"), nil)
			id, other := identity("1"), stored("member-10", "pid-2")
			l := x.acquire(id)
			x.is("Store for a member that was removed", x.Store(x.within(), l, stored("member-1", "pid-1")), placement.ErrMemberBarred)
			x.hasNothing(x.Storage, id)
			x.is("Store for another one with the same lock", x.place.Open().Store(x.within(), l, other), nil)
			x.is("RemoveMember again", x.place.Open().RemoveMember(x.within(), "member-1"), nil)
			x.has(x.Storage, id, other)
		}),
		trialOf("NothingIsStoredAfterRemoveMember", func(x *trial) { x.removeWhileStoring(20) }),
		trialOf("WaitEndsWithTheLock", func(x *trial) {
			id := identity("1")
			l := x.acquire(id)
			done := make(chan error, 1)
			go func() {
				time.Sleep(200 * time.Millisecond)
				done <- x.Release(x.within(), l)
			}()
			begin := time.Now()
			a, ok, err := x.place.Open().Wait(x.within(), id)
			if took := time.Since(begin); err != nil || ok || took > time.Second {
				x.Errorf("Wait for a lock that is released = %+v, %t, %v after %v; want nothing, at once", a, ok, err, took)
			}
			x.is("Release", <-done, nil)
			if a, ok, err := x.Wait(x.within(), id); err != nil || ok {
				x.Errorf("Wait for nothing = %+v, %t, %v", a, ok, err)
			}
			x.acquire(id) // whoever waited is in nobody's way
		}),
		trialOf("WaitersAreToldAllTogether", func(x *trial) { x.waiters(10) }),
		trialOf("WaitFindsWhatIsThere", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			x.store(id, a)
			if got, ok, err := x.Wait(x.within(), id); err != nil || !ok || got != a {
				x.Errorf("Wait = %+v, %t, %v; want %+v", got, ok, err, a)
			}
		}),
		trialOf("CallsEndWithTheirContext", func(x *trial) {
			id, a := identity("1"), stored("member-1", "pid-1")
			l := x.acquire(id)
			soon, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			begin := time.Now()
			_, _, err := x.Wait(soon, id)
			if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second {
				x.Errorf("Wait with a deadline: %v after %v", err, took)
			}
			over, cancel := context.WithCancel(context.Background())
			cancel()
			x.is("Store", x.Store(over, l, a), context.Canceled)
			x.is("Remove", x.Remove(over, id, a), context.Canceled)
			x.is("RemoveMember", x.RemoveMember(over, a.Member), context.Canceled)
			x.is("Release", x.Release(over, l), context.Canceled)
			_, err = x.TryAcquire(over, identity("2"))
			x.is("TryAcquire", err, context.Canceled)
			_, _, err = x.Load(over, id)
			x.is("Load", err, context.Canceled)
			x.is("Store with what is left", x.Store(x.within(), l, a), nil)
		}),
		trialOf("BadArgumentsAreRefused", func(x *trial) {
			id := identity("1")
			l := x.acquire(id)
			for _, bad := range []placement.Identity{{}, {Kind: "cart"}, {Kind: "a b", Key: "1"}, {Kind: "cart", Key: strings.Repeat("k", placement.KeyBytesMax+1)}} {
				_, err := x.TryAcquire(x.within(), bad)
				refused[*placement.IdentityError](x, "TryAcquire", err)
				_, _, err = x.Load(x.within(), bad)
				refused[*placement.IdentityError](x, "Load", err)
				_, _, err = x.Wait(x.within(), bad)
				refused[*placement.IdentityError](x, "Wait", err)
			}
			for _, bad := range []placement.StoredActivation{{Ref: "p"}, {Member: "m"}, {Member: "m/n", Ref: "p"}, {Member: "m", Ref: "a\nb"}, {Member: "m", Ref: strings.Repeat("p", placement.RefBytesMax+1)}} {
				refused[*placement.MemberError](x, "Store", x.Store(x.within(), l, bad))
			}
			refused[*placement.MemberError](x, "RemoveMember", x.RemoveMember(x.within(), ""))
			x.is("Store with the lock afterwards", x.Store(x.within(), l, stored("m", strings.Repeat("p", placement.RefBytesMax))), nil)
			longest := placement.Identity{Kind: strings.Repeat("k", placement.KindBytesMax), Key: strings.Repeat("é", placement.KeyBytesMax/2)}
			a := stored(placement.MemberID(strings.Repeat("m", placement.MemberIDBytesMax)), strings.Repeat("/", placement.RefBytesMax))
			x.store(longest, a)
			x.has(x.Storage, longest, a)
		}),
		trialOf("IdentitiesAreApart", func(x *trial) {
			ids := []placement.Identity{{Kind: "a", Key: "b"}, {Kind: "a", Key: "b/c"}, {Kind: "a", Key: "b/"}, {Kind: "ab", Key: "c"}, {Kind: "A", Key: "b"}}
			for i, id := range ids {
				x.store(id, stored("member-1", fmt.Sprint("pid-", i)))
			}
			x.is("Remove", x.Remove(x.within(), ids[0], stored("member-1", "pid-0")), nil)
			x.hasNothing(x.Storage, ids[0])
			for i, id := range ids[1:] {
				x.has(x.Storage, id, stored("member-1", fmt.Sprint("pid-", i+1)))
			}
		}),
	}
}

// storesAtOnce has two instances use one lock at once, for two members: one does it, and that one's is stored.
func (x *trial) storesAtOnce(rounds int) {
	x.Helper()
	instances := []Instance{x.Instance, x.place.Open()}
	for round := range rounds {
		id := identity(fmt.Sprint(round))
		l := x.acquire(id)
		name := func(i int) placement.MemberID { return placement.MemberID(fmt.Sprintf("member-%d-%d", round, i)) }
		as := []placement.StoredActivation{stored(name(0), "pid-0"), stored(name(1), "pid-1")}
		errs := make([]error, len(as))
		var all sync.WaitGroup
		for i := range as {
			all.Go(func() { errs[i] = instances[i].Store(x.within(), l, as[i]) })
		}
		all.Wait()
		won := 0
		if errs[0] != nil {
			won = 1
		}
		if errs[won] != nil || !errors.Is(errs[1-won], placement.ErrLockNotFound) {
			x.Fatalf("two stores at once: %v; want one done and one %v", errs, placement.ErrLockNotFound)
		}
		x.has(x.Storage, id, as[won])
		x.is("RemoveMember of the other", x.RemoveMember(x.within(), as[1-won].Member), nil)
		x.has(x.Storage, id, as[won])
	}
}

// storeAndRelease has one instance use a lock that another one releases: either it is stored and stays, or it is not.
func (x *trial) storeAndRelease(rounds int) {
	x.Helper()
	other := x.place.Open()
	for round := range rounds {
		id, a := identity(fmt.Sprint(round)), stored("member-1", "pid-1")
		l := x.acquire(id)
		var all sync.WaitGroup
		var err error
		all.Go(func() { err = x.Store(x.within(), l, a) })
		all.Go(func() { x.is("Release", other.Release(x.within(), l), nil) })
		all.Wait()
		switch {
		case err == nil:
			x.has(x.Storage, id, a)
		case errors.Is(err, placement.ErrLockNotFound):
			x.hasNothing(x.Storage, id)
			x.acquire(id)
		default:
			x.Errorf("Store while it is released: %v", err)
		}
	}
}

// removeWhileStoring removes a member while n calls store for it: when all have returned nothing is stored.
func (x *trial) removeWhileStoring(n int) {
	x.Helper()
	other := x.place.Open()
	locks := make([]placement.SpawnLock, n)
	for i := range locks {
		locks[i] = x.acquire(identity(fmt.Sprint(i)))
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			time.Sleep(time.Duration(i) * time.Millisecond / 10)
			err := x.Store(x.within(), locks[i], stored("member-1", "pid-1"))
			if err != nil && !errors.Is(err, placement.ErrMemberBarred) && !errors.Is(err, placement.ErrLockNotFound) {
				x.Errorf("Store while the member is removed: %v", err)
			}
		})
	}
	time.Sleep(time.Millisecond)
	x.is("RemoveMember", other.RemoveMember(x.within(), "member-1"), nil)
	all.Wait()
	for i := range n {
		x.hasNothing(x.Storage, identity(fmt.Sprint(i)))
	}
}

// waiters has n calls wait for one activation.
func (x *trial) waiters(n int) {
	x.Helper()
	id, a := identity("1"), stored("member-1", "pid-1")
	l := x.acquire(id)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if got, ok, err := x.Wait(x.within(), id); err != nil || !ok || got != a {
				x.Errorf("Wait = %+v, %t, %v; want %+v", got, ok, err, a)
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	begin := time.Now()
	x.is("Store", x.Store(x.within(), l, a), nil)
	all.Wait()
	if took := time.Since(begin); took > 3*time.Second {
		x.Errorf("%d waiters were told after %v", n, took)
	}
}
