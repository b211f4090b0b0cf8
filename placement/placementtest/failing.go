package placementtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// ErrInjected is what Failing has calls fail with. Nothing was changed by such a call, but for a Store, which has released its
// lock before.
var ErrInjected = errors.New("injected failure")

// failPercent is how many of a hundred calls fail.
const failPercent = 20

// Failing returns a factory whose instances fail: of a hundred calls eighty are carried out. A Store that fails releases its
// lock first, and then says so half of the time (ErrLockNotFound), and nothing the other half. It is Proto.Actor's
// FailureInjectionStorage. Which calls fail comes from the seed and the order in which they are made.
//
// Cases that expect of one call that it is done then ask again, as the contracts allow a caller to; see persevering.
func Failing(f Factory, seed uint64) Factory {
	f.failing = &injecting{draws: rand.New(rand.NewPCG(seed, 80))}
	inner := f.New
	f.New = func(t testing.TB) Place {
		p := inner(t)
		open := p.Open
		p.Open = func() Instance { return f.failing.instance(open()) }
		return p
	}
	return f
}

// injecting decides which calls fail.
type injecting struct {
	mu    sync.Mutex
	draws *rand.Rand
	n     atomic.Int64 // calls that failed
}

// fails draws for one call. One whose context has ended is not made to fail: it does so by itself.
func (i *injecting) fails(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if ctx.Err() != nil || i.draws.IntN(100) >= failPercent {
		return nil
	}
	i.n.Add(1)
	return ErrInjected
}

// coin is drawn too.
func (i *injecting) coin() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.draws.IntN(2) == 0
}

// instance makes an instance fail.
func (i *injecting) instance(inner Instance) Instance {
	x := failing{injecting: i, inner: inner}
	var out Instance
	if inner.Locker != nil && inner.Storage != nil {
		out.Locker, out.Storage = failingStore{x}, failingStore{x}
	}
	if inner.Activator != nil {
		out.Activator = failingActivator{x}
	}
	return out
}

type failing struct {
	*injecting
	inner Instance
}

type failingStore struct{ failing }

// TryAcquire is that of placement.Locker.
func (f failingStore) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	if err := f.fails(ctx); err != nil {
		return placement.SpawnLock{}, err
	}
	return f.inner.TryAcquire(ctx, id)
}

// Release is that of placement.Locker.
func (f failingStore) Release(ctx context.Context, l placement.SpawnLock) error {
	if err := f.fails(ctx); err != nil {
		return err
	}
	return f.inner.Release(ctx, l)
}

// Load is that of placement.Storage.
func (f failingStore) Load(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	if err := f.fails(ctx); err != nil {
		return placement.StoredActivation{}, false, err
	}
	return f.inner.Load(ctx, id)
}

// Wait is that of placement.Storage.
func (f failingStore) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	if err := f.fails(ctx); err != nil {
		return placement.StoredActivation{}, false, err
	}
	return f.inner.Wait(ctx, id)
}

// Store is that of placement.Storage.
func (f failingStore) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	err := f.fails(ctx)
	if err == nil {
		return f.inner.Store(ctx, l, a)
	}
	if e := f.inner.Release(ctx, l); e != nil {
		return fmt.Errorf("%w: %w", err, e)
	}
	if f.coin() {
		return fmt.Errorf("%w: %w", err, placement.ErrLockNotFound)
	}
	return err
}

// Remove is that of placement.Storage.
func (f failingStore) Remove(ctx context.Context, id placement.Identity, a placement.StoredActivation) error {
	if err := f.fails(ctx); err != nil {
		return err
	}
	return f.inner.Remove(ctx, id, a)
}

// RemoveMember is that of placement.Storage.
func (f failingStore) RemoveMember(ctx context.Context, member placement.MemberID) error {
	if err := f.fails(ctx); err != nil {
		return err
	}
	return f.inner.RemoveMember(ctx, member)
}

type failingActivator struct{ failing }

// Ensure is that of placement.Activator.
func (f failingActivator) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	if err := f.fails(ctx); err != nil {
		return placement.Activated{}, err
	}
	return f.inner.Ensure(ctx, id)
}

// End is that of placement.Activator.
func (f failingActivator) End(ctx context.Context, a placement.Activated) error {
	if err := f.fails(ctx); err != nil {
		return err
	}
	return f.inner.End(ctx, a)
}
