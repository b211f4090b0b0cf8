package placementtest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Resolver is how the adapter of a framework uses a Locker and a Storage: one that has members of its own and wants a store that
// says which of them runs what. It is a placement.Activator. What it begins is hidden until it is stored, and ended when it is
// not. The Epoch of an Activated is the number of its reference.
type Resolver struct {
	locker  placement.Locker
	storage placement.Storage
	hosts   *Hosts

	mu      sync.Mutex
	flights map[placement.Identity]*resolving
}

// resolving is one resolution that all who ask meanwhile share. It ends with the last of them that gives up.
type resolving struct {
	waiting int // of Resolver.mu
	cancel  context.CancelFunc
	done    chan struct{}
	a       placement.Activated
	err     error
}

const (
	// resolveTries is how often a resolution begins anew: calls may fail, and activations end meanwhile.
	resolveTries = 20
	resolvePause = 5 * time.Millisecond
)

// NewResolver returns a resolver of one process.
func NewResolver(locker placement.Locker, storage placement.Storage, hosts *Hosts) placement.Activator {
	return &Resolver{locker: locker, storage: storage, hosts: hosts, flights: map[placement.Identity]*resolving{}}
}

// Ensure is that of placement.Activator.
func (r *Resolver) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	if err := begin(ctx, id); err != nil {
		return placement.Activated{}, err
	}
	r.mu.Lock()
	f := r.flights[id]
	if f == nil {
		f = &resolving{done: make(chan struct{})}
		r.flights[id] = f
		var all context.Context
		all, f.cancel = context.WithTimeout(context.WithoutCancel(ctx), patience)
		go r.resolve(all, id, f) // ends after its tries, or with all
	}
	f.waiting++
	r.mu.Unlock()
	select {
	case <-f.done:
		return f.a, f.err
	case <-ctx.Done():
		r.giveUp(id, f)
		return placement.Activated{}, context.Cause(ctx)
	}
}

// giveUp is the end of one that waited. The last one ends the resolution, and waits until nothing of it goes on.
func (r *Resolver) giveUp(id placement.Identity, f *resolving) {
	r.mu.Lock()
	f.waiting--
	last := f.waiting == 0
	if last && r.flights[id] == f {
		delete(r.flights, id)
	}
	r.mu.Unlock()
	if last {
		f.cancel()
		<-f.done
	}
}

func (r *Resolver) resolve(ctx context.Context, id placement.Identity, f *resolving) {
	defer close(f.done)
	defer f.cancel()
	for try := range resolveTries {
		if f.a, f.err = r.try(ctx, id); f.err == nil || errors.Is(f.err, placement.ErrNoHost) || !slept(ctx, time.Duration(try+1)*resolvePause) {
			break
		}
	}
	r.mu.Lock()
	if r.flights[id] == f {
		delete(r.flights, id)
	}
	r.mu.Unlock()
}

// slept says whether the time has passed before ctx ended.
func slept(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// try finds the activation that there is, or makes one.
func (r *Resolver) try(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	if a, ok, err := r.find(ctx, id); err != nil || ok {
		return a, err
	}
	l, err := r.locker.TryAcquire(ctx, id)
	if errors.Is(err, placement.ErrNotGranted) {
		if _, _, err := r.storage.Wait(ctx, id); err != nil {
			return placement.Activated{}, err
		}
		a, ok, err := r.find(ctx, id)
		if err == nil && !ok {
			err = fmt.Errorf("%v is being activated by others", id)
		}
		return a, err
	}
	if err != nil {
		return placement.Activated{}, err
	}
	return r.activate(ctx, l)
}

// find returns the activation that is stored, when its member says that it runs. One that does not is removed: nobody else.
func (r *Resolver) find(ctx context.Context, id placement.Identity) (placement.Activated, bool, error) {
	a, ok, err := r.storage.Load(ctx, id)
	if err != nil || !ok {
		return placement.Activated{}, false, err
	}
	if r.hosts.Runs(a.Member, id, a.Ref) {
		return activatedOf(id, a), true, nil
	}
	return placement.Activated{}, false, r.storage.Remove(ctx, id, a)
}

// activate has a member begin an activation under a lock, and stores it.
func (r *Resolver) activate(ctx context.Context, l placement.SpawnLock) (placement.Activated, error) {
	why := []error{fmt.Errorf("ensure %v: %w", l.Identity, placement.ErrNoHost)}
	for _, member := range r.hosts.Members() {
		ref, err := r.hosts.Begin(member, l.Identity)
		if err != nil {
			why = append(why, err)
			continue
		}
		a := placement.StoredActivation{Member: member, Ref: ref}
		if err := r.storage.Store(ctx, l, a); err != nil {
			return placement.Activated{}, r.notStored(ctx, l, a, err)
		}
		r.hosts.Act(member, ref)
		return activatedOf(l.Identity, a), nil
	}
	// What it fails with says nothing of why nobody activates it, and the lock ends by itself.
	_ = r.locker.Release(ctx, l)
	return placement.Activated{}, errors.Join(why...)
}

// notStored ends what a Store that failed was for. When it was stored all the same, whoever finds it finds that nobody runs it.
func (r *Resolver) notStored(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation, err error) error {
	r.hosts.Stop(a.Member, a.Ref)
	_ = r.locker.Release(ctx, l)
	return fmt.Errorf("%v on %s: %w", l.Identity, a.Member, err)
}

// End is that of placement.Activator.
func (r *Resolver) End(ctx context.Context, a placement.Activated) error {
	if err := begin(ctx, a.Identity); err != nil {
		return err
	}
	ref := fmt.Sprint("pid-", uint64(a.Epoch))
	r.hosts.Stop(a.Member, ref)
	return r.storage.Remove(ctx, a.Identity, placement.StoredActivation{Member: a.Member, Ref: ref})
}

func activatedOf(id placement.Identity, a placement.StoredActivation) placement.Activated {
	n, _ := strconv.ParseUint(strings.TrimPrefix(a.Ref, "pid-"), 10, 64)
	return placement.Activated{Identity: id, Member: a.Member, Epoch: placement.Epoch(n)}
}
