package placementtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// persevering is a caller of a place whose calls fail, who asks again as the contracts allow: whatever is safe to repeat is
// repeated; after a Store that failed Load tells, and when nothing is stored the lock is acquired anew. Of the locks that were
// acquired through it, it knows which are the caller's still, so that a case finds what it would find if nothing had failed.
type persevering struct {
	mu    sync.Mutex
	locks map[placement.SpawnLock]*heldLock
}

// heldLock is a lock that a case was given.
type heldLock struct {
	at      time.Time
	now     placement.SpawnLock // the one that stands for it
	over    bool                // released or used
	storing int                 // calls of Store on their way
	stored  int                 // and those that are over, whatever became of them
}

// live says that whoever has the lock may use it still.
func (h *heldLock) live() bool { return !h.over && time.Since(h.at) < placement.SpawnLockStaleMax }

// again makes a call until it does not fail by injection.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, ErrInjected) {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// instance makes the caller of an instance persevere.
func (p *persevering) instance(inner Instance) Instance {
	x := perseveringCaller{p, inner}
	var out Instance
	if inner.Locker != nil && inner.Storage != nil {
		out.Locker, out.Storage = x, x
	}
	if inner.Activator != nil {
		out.Activator = perseveringActivator{inner.Activator}
	}
	return out
}

type perseveringCaller struct {
	*persevering
	inner Instance
}

// held finds what there is to know of a lock; nil when it was not acquired here.
func (p perseveringCaller) held(l placement.SpawnLock) *heldLock {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.locks[l]
}

// TryAcquire is that of placement.Locker.
func (p perseveringCaller) TryAcquire(ctx context.Context, id placement.Identity) (l placement.SpawnLock, err error) {
	err = again(func() error {
		l, err = p.inner.TryAcquire(ctx, id)
		return err
	})
	if err == nil {
		p.mu.Lock()
		p.locks[l] = &heldLock{at: time.Now(), now: l}
		p.mu.Unlock()
	}
	return l, err
}

// Release is that of placement.Locker.
func (p perseveringCaller) Release(ctx context.Context, l placement.SpawnLock) error {
	h := p.held(l)
	for {
		now := l
		if h != nil {
			p.mu.Lock()
			now = h.now
			p.mu.Unlock()
		}
		if err := again(func() error { return p.inner.Release(ctx, now) }); err != nil || h == nil {
			return err
		}
		p.mu.Lock()
		h.over = true
		same := h.now == now
		p.mu.Unlock()
		if same {
			return nil
		}
	}
}

// Load is that of placement.Storage.
func (p perseveringCaller) Load(ctx context.Context, id placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	err = again(func() error {
		a, ok, err = p.inner.Load(ctx, id)
		return err
	})
	return a, ok, err
}

// Wait is that of placement.Storage. A Store that is on its way may have lost its lock by a failure: what was not there meanwhile may be
// there when it is over.
func (p perseveringCaller) Wait(ctx context.Context, id placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	for {
		_, before := p.stores(id)
		err = again(func() error {
			a, ok, err = p.inner.Wait(ctx, id)
			return err
		})
		if now, after := p.stores(id); err != nil || ok || now == 0 && after == before {
			return a, ok, err
		}
		time.Sleep(time.Millisecond)
	}
}

// stores counts the calls of Store for an identity that are on their way, and those that are over.
func (p perseveringCaller) stores(id placement.Identity) (now, over int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l, h := range p.locks {
		if l.Identity == id {
			now += h.storing
			over += h.stored
		}
	}
	return now, over
}

// Store is that of placement.Storage.
func (p perseveringCaller) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	h := p.held(l)
	if h == nil {
		return again(func() error { return lockIsNotThere(p.inner.Store(ctx, l, a)) })
	}
	p.mu.Lock()
	h.storing++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		h.storing--
		h.stored++
		p.mu.Unlock()
	}()
	for {
		p.mu.Lock()
		now := h.now
		p.mu.Unlock()
		err := p.inner.Store(ctx, now, a)
		if err == nil {
			p.mu.Lock()
			h.over = true
			p.mu.Unlock()
		}
		if !errors.Is(err, ErrInjected) {
			return err
		}
		if err, done := p.restore(ctx, h, l.Identity, a); done {
			return err
		}
	}
}

// lockIsNotThere takes the failure for what it says, where it says that: the lock is nobody's.
func lockIsNotThere(err error) error {
	if errors.Is(err, placement.ErrLockNotFound) {
		return placement.ErrLockNotFound
	}
	return err
}

// restore looks at what became of a Store that failed, and acquires the lock anew when nothing was stored.
func (p perseveringCaller) restore(ctx context.Context, h *heldLock, id placement.Identity, a placement.StoredActivation) (err error, done bool) {
	gone := fmt.Errorf("store %v: %w", id, placement.ErrLockNotFound)
	p.mu.Lock()
	live := h.live()
	p.mu.Unlock()
	if !live {
		return gone, true
	}
	got, ok, err := p.Load(ctx, id)
	switch {
	case err != nil:
		return err, true
	case ok && got == a:
		return nil, true
	case ok:
		return gone, true
	}
	var l placement.SpawnLock
	err = again(func() error {
		l, err = p.inner.TryAcquire(ctx, id)
		return err
	})
	if errors.Is(err, placement.ErrNotGranted) {
		return gone, true
	}
	if err != nil {
		return err, true
	}
	p.mu.Lock()
	h.now = l
	over := h.over
	p.mu.Unlock()
	if over { // it was released meanwhile
		return errors.Join(gone, again(func() error { return p.inner.Release(ctx, l) })), true
	}
	return nil, false
}

// Remove is that of placement.Storage.
func (p perseveringCaller) Remove(ctx context.Context, id placement.Identity, a placement.StoredActivation) error {
	return again(func() error { return p.inner.Remove(ctx, id, a) })
}

// RemoveMember is that of placement.Storage.
func (p perseveringCaller) RemoveMember(ctx context.Context, member placement.MemberID) error {
	return again(func() error { return p.inner.RemoveMember(ctx, member) })
}

type perseveringActivator struct{ inner placement.Activator }

// Ensure is that of placement.Activator.
func (p perseveringActivator) Ensure(ctx context.Context, id placement.Identity) (a placement.Activated, err error) {
	err = again(func() error {
		a, err = p.inner.Ensure(ctx, id)
		return err
	})
	return a, err
}

// End is that of placement.Activator.
func (p perseveringActivator) End(ctx context.Context, a placement.Activated) error {
	return again(func() error { return p.inner.End(ctx, a) })
}
