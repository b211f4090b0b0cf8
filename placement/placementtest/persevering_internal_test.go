package placementtest

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/seed13d31b7f/berth/placement"
)

// storeMeanwhile is a storage that looks for those who wait before something is stored, and tells them afterwards.
type storeMeanwhile struct {
	*Memory
	store func()
}

// Wait is that of placement.Storage.
func (s *storeMeanwhile) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	if store := s.store; store != nil {
		s.store = nil
		store()
		return placement.StoredActivation{}, false, nil
	}
	return s.Memory.Wait(ctx, id)
}

// A Store that has lost its lock by a failure, and is over before anybody asks whether there is one, is waited for as well.
func TestPersevering_StoreEndsAsNothingIsThere_ItIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, a := placement.Identity{Kind: "cart", Key: "1"}, placement.StoredActivation{Member: "member-1", Ref: "pid-1"}
		m := NewMemory(placement.SpawnLockStaleMax)
		inner := &storeMeanwhile{Memory: m}
		p := persevering{locks: map[placement.SpawnLock]*heldLock{}}
		x := p.instance(Instance{Locker: m, Storage: inner})
		l, err := x.TryAcquire(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		inner.store = func() {
			if err := x.Store(t.Context(), l, a); err != nil {
				t.Error(err)
			}
		}
		if got, ok, err := x.Wait(t.Context(), id); err != nil || !ok || got != a {
			t.Errorf("Wait = %+v, %t, %v; want %+v", got, ok, err, a)
		}
	})
}
