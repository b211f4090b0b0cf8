package placementtest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// broken are implementations with one fault each, and the case that has to see it; others may see it too.
var broken = []struct {
	name, seenBy string
	open         func(m *Memory) Instance
}{
	{"a lock is granted to everybody", "GlobalLockActivatesOnceOnly", func(m *Memory) Instance { return storing(everybodyLocks{m}) }},
	{"each client has locks of its own", "GlobalLockActivatesOnceOnlyAcrossMultipleClients", func(m *Memory) Instance {
		own := NewMemory(m.stale)
		return Instance{Locker: own, Storage: m}
	}},
	{"what is activated can be locked", "CannotTakeLockWhenAlreadyActivated", func(m *Memory) Instance { return storing(locksActivated{m}) }},
	{"Release does nothing", "CanDeleteSpawnLocks", func(m *Memory) Instance { return storing(releasesNothing{m}) }},
	{"Store loses what it is given", "CanStoreActivation", func(m *Memory) Instance { return storing(storesNothing{m}) }},
	{"Store looks at no lock when something is there", "CannotStoreOverExisting", func(m *Memory) Instance { return storing(overwrites{m}) }},
	{"Store looks at no lock", "CannotStoreWithoutLock", func(m *Memory) Instance { return storing(storesAnything{m}) }},
	{"Remove removes nothing", "CanRemoveActivation", func(m *Memory) Instance { return storing(removesNothing{m}) }},
	{"Remove looks at the identity alone", "DoesNotRemoveIfIdDoesNotMatch", func(m *Memory) Instance { return storing(removesAnything{m}) }},
	{"RemoveMember removes nothing", "CanRemoveByMember", func(m *Memory) Instance { return storing(removesNoMember{m}) }},
	{"RemoveMember goes by who was first", "WillNotRemoveCurrentActivationByPrevMember", func(m *Memory) Instance { return storing(newFirstOwners(m)) }},
	{"RemoveMember removes a page", "CanRemoveMemberWithManyActivations", func(m *Memory) Instance { return storing(removesAPage{m}) }},
	{"Wait does not wait", "CanWaitForActivation", func(m *Memory) Instance { return storing(waitsNot{m}) }},
	{"locks last for ever", "RemovesLockIfStale", func(m *Memory) Instance { return storing(keepsLocks{m}) }},
	{"whoever stores has to be known", "MembersExistByBeingNamed", func(m *Memory) Instance { return storing(newForgetful(m)) }},
	{"members have locks of their own", "ConcurrentActivationsOnSameIdWorks", func(m *Memory) Instance { return Instance{Locker: NewMemory(m.stale), Storage: storesAnything{m}} }},
	{"members have stores of their own", "HandlesLosingANode", func(m *Memory) Instance { return storing(NewMemory(m.stale)) }},
	{"a lock that was used is a fault to release", "LockIsUsedOnce", func(m *Memory) Instance { return storing(refusesUsed{m}) }},
	{"a lock's text is a number", "LockIDsAreOpaque", func(m *Memory) Instance { return storing(parsesLocks{m}) }},
	{"a lock is used twice", "LockIsUsedOnce", func(m *Memory) Instance { return storing(repeatsStores{m}) }},
	{"stores at once are all done", "StoresAtOnceOneIsDone", func(m *Memory) Instance { return storing(looksThenStores{m}) }},
	{"Release takes what is stored along", "StoreAndReleaseAtOnceOneIsDone", func(m *Memory) Instance { return storing(releasesStored{m}) }},
	{"a stale lock can be used", "StaleLockIsNotFound", func(m *Memory) Instance { return storing(storesStale{m}) }},
	{"a member that was removed stores", "RemovedMemberIsBarred", func(m *Memory) Instance { return storing(barsNobody{m}) }},
	{"RemoveMember bars when it has removed", "NothingIsStoredAfterRemoveMember", func(m *Memory) Instance { return storing(barsLater{m}) }},
	{"Wait sleeps until the lock is stale", "WaitEndsWithTheLock", func(m *Memory) Instance { return storing(waitsLong{m}) }},
	{"one waiter is told after the other", "WaitersAreToldAllTogether", func(m *Memory) Instance { return storing(&waitsInTurn{Memory: m}) }},
	{"contexts are not looked at", "CallsEndWithTheirContext", func(m *Memory) Instance { return storing(noContext{m}) }},
	{"identities are not looked at", "BadArgumentsAreRefused", func(m *Memory) Instance { return storing(anyIdentity{m}) }},
	{"identities are told apart by their first part", "IdentitiesAreApart", func(m *Memory) Instance { return storing(mixesKeys{m}) }},
	{"an activation is begun again", "EnsureFindsWhatIsThere", func(m *Memory) Instance { return Instance{Activator: beginsAgain{m}} }},
	{"each client activates by itself", "EnsuredAtOnceIsActivatedOnce", func(m *Memory) Instance {
		own := NewMemory(m.stale)
		own.hosts = m.hosts
		return Instance{Activator: &ownActivations{own: own, shared: m}}
	}},
	{"reasons are not told", "NextCandidateIsAskedAndReasonsAreTold", func(m *Memory) Instance { return Instance{Activator: noReasons{m}} }},
	{"End looks at the identity alone", "EndIsConditional", func(m *Memory) Instance { return Instance{Activator: endsAnything{m}} }},
}

// storing is an instance of one value.
func storing[T interface {
	placement.Locker
	placement.Storage
}](x T) Instance {
	return Instance{Locker: x, Storage: x}
}

// Each fault is seen by the case that is there for it.
func TestCases_BrokenImplementation_IsSeen(t *testing.T) {
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			cases := slices.Concat(StorageCases(), ActivatorCases(), ClusterCases())
			i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == b.seenBy })
			if i < 0 {
				t.Fatalf("there is no case %s", b.seenBy)
			}
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{TB: t}
				r.run(cases[i], Factory{New: func(testing.TB) Place {
					m := NewMemory(5 * time.Second)
					return Place{Open: func() Instance { return b.open(m) }, Host: m.Host}
				}})
				if len(r.failures) == 0 {
					t.Errorf("%s does not see it", b.seenBy)
				}
				t.Logf("%s: %q", b.seenBy, r.failures)
			})
		})
	}
}

// Each case has a broken implementation that it sees.
func TestCases_EachCanFail(t *testing.T) {
	nothing := Factory{New: func(testing.TB) Place {
		return Place{Open: func() Instance { return Instance{deaf{}, deaf{}, deaf{}} }, Host: func(placement.MemberID, map[string]func(placement.Identity) error) {}}
	}}
	nothing.Resolver = func(placement.Locker, placement.Storage, *Hosts) placement.Activator { return deaf{} }
	for _, c := range slices.Concat(StorageCases(), ActivatorCases(), ClusterCases()) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{TB: t}
			if r.run(c, nothing); len(r.failures) == 0 {
				t.Errorf("%s is content with an implementation that does nothing", c.Name)
			}
		})
	}
}

// recorder is a testing.TB that notes failures and goes on.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
	cleanups []func()
}

func (r *recorder) run(c Case, f Factory) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Run(r, f)
	}()
	<-done
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) Helper() {}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// The faults.

type everybodyLocks struct{ *Memory }

func (m everybodyLocks) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	m.mu.Lock()
	delete(m.spawning, id)
	m.mu.Unlock()
	return m.Memory.TryAcquire(ctx, id)
}

type locksActivated struct{ *Memory }

func (m locksActivated) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	if _, ok, _ := m.Load(ctx, id); ok {
		return placement.SpawnLock{ID: "again", Identity: id}, nil
	}
	return m.Memory.TryAcquire(ctx, id)
}

type refusesUsed struct{ *Memory }

func (m refusesUsed) Release(ctx context.Context, l placement.SpawnLock) error {
	if _, ok, _ := m.Load(ctx, l.Identity); ok {
		return errors.New("the lock is used")
	}
	return m.Memory.Release(ctx, l)
}

type releasesNothing struct{ *Memory }

func (m releasesNothing) Release(context.Context, placement.SpawnLock) error { return nil }

type storesNothing struct{ *Memory }

func (m storesNothing) Store(context.Context, placement.SpawnLock, placement.StoredActivation) error {
	return nil
}

type overwrites struct{ *Memory }

func (m overwrites) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	m.mu.Lock()
	if _, ok := m.stored[l.Identity]; ok {
		m.stored[l.Identity] = a
	}
	m.mu.Unlock()
	return m.Memory.Store(ctx, l, a)
}

type storesAnything struct{ *Memory }

func (m storesAnything) Store(_ context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored[l.Identity] = a
	return nil
}

type removesNothing struct{ *Memory }

func (m removesNothing) Remove(context.Context, placement.Identity, placement.StoredActivation) error {
	return nil
}

type removesAnything struct{ *Memory }

func (m removesAnything) Remove(ctx context.Context, id placement.Identity, _ placement.StoredActivation) error {
	a, _, _ := m.Load(ctx, id)
	return m.Memory.Remove(ctx, id, a)
}

type removesNoMember struct{ *Memory }

func (m removesNoMember) RemoveMember(context.Context, placement.MemberID) error { return nil }

type firstOwners struct {
	*Memory
	first map[placement.Identity]placement.MemberID
}

func newFirstOwners(m *Memory) firstOwners {
	return firstOwners{m, map[placement.Identity]placement.MemberID{}}
}

func (m firstOwners) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	if m.first[l.Identity] == "" {
		m.first[l.Identity] = a.Member
	}
	return m.Memory.Store(ctx, l, a)
}

func (m firstOwners) RemoveMember(_ context.Context, member placement.MemberID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, owner := range m.first {
		if owner == member {
			delete(m.stored, id)
		}
	}
	return nil
}

type removesAPage struct{ *Memory }

func (m removesAPage) RemoveMember(_ context.Context, member placement.MemberID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for id, a := range m.stored {
		if a.Member == member && n < 100 {
			delete(m.stored, id)
			n++
		}
	}
	return nil
}

type waitsNot struct{ *Memory }

func (m waitsNot) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	return m.Load(ctx, id)
}

type keepsLocks struct{ *Memory }

func (m keepsLocks) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	l, err := m.Memory.TryAcquire(ctx, id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		m.spawning[id] = spawning{l.ID, time.Now().Add(time.Hour)}
	}
	return l, err
}

// forgetful drops what members have stored that nobody has seen for a while.
type forgetful struct {
	*Memory
	at map[placement.Identity]time.Time
}

func newForgetful(m *Memory) forgetful { return forgetful{m, map[placement.Identity]time.Time{}} }

func (m forgetful) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	m.at[l.Identity] = time.Now()
	return m.Memory.Store(ctx, l, a)
}

func (m forgetful) Load(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	if time.Since(m.at[id]) > m.stale {
		return placement.StoredActivation{}, false, nil
	}
	return m.Memory.Load(ctx, id)
}

type parsesLocks struct{ *Memory }

func (m parsesLocks) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	if strings.Trim(l.ID, "0123456789") != "" {
		return errors.New("a lock is a number")
	}
	return m.Memory.Store(ctx, l, a)
}

type repeatsStores struct{ *Memory }

func (m repeatsStores) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	if got, ok, _ := m.Load(ctx, l.Identity); ok && got == a {
		return nil
	}
	return m.Memory.Store(ctx, l, a)
}

type looksThenStores struct{ *Memory }

func (m looksThenStores) Store(_ context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	m.mu.Lock()
	holds := m.holdsLocked(l)
	m.mu.Unlock()
	if !holds {
		return placement.ErrLockNotFound
	}
	time.Sleep(time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stored[l.Identity] = a
	delete(m.spawning, l.Identity)
	return nil
}

type releasesStored struct{ *Memory }

func (m releasesStored) Release(ctx context.Context, l placement.SpawnLock) error {
	time.Sleep(time.Millisecond) // the answer of Store is out by then
	m.mu.Lock()
	delete(m.stored, l.Identity)
	m.mu.Unlock()
	return m.Memory.Release(ctx, l)
}

type storesStale struct{ *Memory }

func (m storesStale) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	m.mu.Lock()
	if s := m.spawning[l.Identity]; s.id == l.ID {
		m.spawning[l.Identity] = spawning{l.ID, time.Now().Add(time.Hour)}
	}
	m.mu.Unlock()
	return m.Memory.Store(ctx, l, a)
}

type barsNobody struct{ *Memory }

func (m barsNobody) RemoveMember(ctx context.Context, member placement.MemberID) error {
	err := m.Memory.RemoveMember(ctx, member)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.barred)
	return err
}

type barsLater struct{ *Memory }

func (m barsLater) RemoveMember(ctx context.Context, member placement.MemberID) error {
	err := m.Memory.RemoveMember(ctx, member)
	m.mu.Lock()
	delete(m.barred, member)
	m.mu.Unlock()
	time.Sleep(time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.barred[member] = true
	return err
}

type waitsLong struct{ *Memory }

func (m waitsLong) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	time.Sleep(m.stale)
	return m.Memory.Wait(ctx, id)
}

type waitsInTurn struct {
	*Memory
	turn atomicTurn
}

type atomicTurn struct {
	sync.Mutex
	n time.Duration
}

func (m *waitsInTurn) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	a, ok, err := m.Memory.Wait(ctx, id)
	m.turn.Lock()
	m.turn.n++
	turn := m.turn.n
	m.turn.Unlock()
	time.Sleep(turn * time.Second)
	return a, ok, err
}

type noContext struct{ *Memory }

func (m noContext) Store(_ context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	return m.Memory.Store(context.Background(), l, a)
}

type anyIdentity struct{ *Memory }

func (m anyIdentity) Load(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.stored[id]
	return a, ok, nil
}

type mixesKeys struct{ *Memory }

func (m mixesKeys) Remove(_ context.Context, id placement.Identity, _ placement.StoredActivation) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for other := range m.stored {
		if strings.HasPrefix(other.String(), id.String()) {
			delete(m.stored, other)
		}
	}
	return nil
}

type beginsAgain struct{ *Memory }

func (m beginsAgain) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	m.mu.Lock()
	delete(m.active, id)
	m.mu.Unlock()
	return m.Memory.Ensure(ctx, id)
}

type ownActivations struct{ own, shared *Memory }

func (m *ownActivations) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	m.shared.mu.Lock()
	hosts := slices.Clone(m.shared.hosts)
	m.shared.mu.Unlock()
	m.own.mu.Lock()
	m.own.hosts = hosts
	m.own.mu.Unlock()
	return m.own.Ensure(ctx, id)
}

func (m *ownActivations) End(ctx context.Context, a placement.Activated) error {
	return m.own.End(ctx, a)
}

type noReasons struct{ *Memory }

func (m noReasons) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	a, err := m.Memory.Ensure(ctx, id)
	if errors.Is(err, placement.ErrNoHost) {
		err = placement.ErrNoHost
	}
	return a, err
}

type endsAnything struct{ *Memory }

func (m endsAnything) End(_ context.Context, a placement.Activated) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.active, a.Identity)
	return nil
}

// deaf does nothing, and says that it is done.
type deaf struct{}

func (deaf) TryAcquire(context.Context, placement.Identity) (placement.SpawnLock, error) {
	return placement.SpawnLock{}, nil
}
func (deaf) Release(context.Context, placement.SpawnLock) error { return nil }
func (deaf) Load(context.Context, placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	return a, ok, nil
}
func (deaf) Wait(context.Context, placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	return a, ok, nil
}
func (deaf) Store(context.Context, placement.SpawnLock, placement.StoredActivation) error {
	return nil
}
func (deaf) Remove(context.Context, placement.Identity, placement.StoredActivation) error {
	return nil
}
func (deaf) RemoveMember(context.Context, placement.MemberID) error { return nil }
func (deaf) Ensure(context.Context, placement.Identity) (placement.Activated, error) {
	return placement.Activated{}, nil
}
func (deaf) End(context.Context, placement.Activated) error { return nil }
