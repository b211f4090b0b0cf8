package placementtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Memory keeps the contracts within one process. Every user of one Memory is another instance of it. What it keeps ends with
// the process.
type Memory struct {
	stale time.Duration

	mu       sync.Mutex
	last     uint64 // of the numbers that were given to locks and epochs
	spawning map[placement.Identity]spawning
	stored   map[placement.Identity]placement.StoredActivation
	barred   map[placement.MemberID]bool
	changed  chan struct{} // closed when a lock ends or something is stored; then there is another one
	hosts    []host
	active   map[placement.Identity]*active
}

// spawning is a lock that somebody has.
type spawning struct {
	id    string
	until time.Time
}

type host struct {
	member placement.MemberID
	kinds  map[string]func(placement.Identity) error
}

// active is an activation that is being begun, or acts.
type active struct {
	placement.Activated
	err  error
	done chan struct{} // closed when it acts, or failed
}

// NewMemory returns an empty one, whose locks are over after stale without being used. It panics unless stale is more than
// zero and at most placement.SpawnLockStaleMax.
func NewMemory(stale time.Duration) *Memory {
	if stale <= 0 || stale > placement.SpawnLockStaleMax {
		panic(fmt.Sprintf("placementtest: stale %v: more than 0 and at most %v is allowed", stale, placement.SpawnLockStaleMax))
	}
	return &Memory{
		stale: stale, spawning: map[placement.Identity]spawning{}, stored: map[placement.Identity]placement.StoredActivation{},
		barred: map[placement.MemberID]bool{}, changed: make(chan struct{}), active: map[placement.Identity]*active{},
	}
}

// begin checks what every call begins with.
func begin(ctx context.Context, id placement.Identity) error {
	if err := id.Validate(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// tell wakes those who wait.
func (m *Memory) tellLocked() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// holdsLocked says whether the lock is one that somebody has.
func (m *Memory) holdsLocked(l placement.SpawnLock) bool {
	s, ok := m.spawning[l.Identity]
	return ok && s.id == l.ID && time.Now().Before(s.until)
}

// TryAcquire is that of placement.Locker.
func (m *Memory) TryAcquire(ctx context.Context, id placement.Identity) (placement.SpawnLock, error) {
	if err := begin(ctx, id); err != nil {
		return placement.SpawnLock{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if a, ok := m.stored[id]; ok {
		return placement.SpawnLock{}, fmt.Errorf("%v is activated on %s: %w", id, a.Member, placement.ErrNotGranted)
	}
	if s, ok := m.spawning[id]; ok && time.Now().Before(s.until) {
		return placement.SpawnLock{}, fmt.Errorf("%v is being activated: %w", id, placement.ErrNotGranted)
	}
	m.last++
	s := spawning{id: strconv.FormatUint(m.last, 10), until: time.Now().Add(m.stale)}
	m.spawning[id] = s
	return placement.SpawnLock{ID: s.id, Identity: id}, nil
}

// Release is that of placement.Locker.
func (m *Memory) Release(ctx context.Context, l placement.SpawnLock) error {
	if err := begin(ctx, l.Identity); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.holdsLocked(l) {
		delete(m.spawning, l.Identity)
		m.tellLocked()
	}
	return nil
}

// Load is that of placement.Storage.
func (m *Memory) Load(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	if err := begin(ctx, id); err != nil {
		return placement.StoredActivation{}, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.stored[id]
	return a, ok, nil
}

// Wait is that of placement.Storage.
func (m *Memory) Wait(ctx context.Context, id placement.Identity) (placement.StoredActivation, bool, error) {
	for {
		if err := begin(ctx, id); err != nil {
			return placement.StoredActivation{}, false, err
		}
		m.mu.Lock()
		a, ok := m.stored[id]
		s, locked := m.spawning[id]
		changed := m.changed
		m.mu.Unlock()
		left := time.Until(s.until)
		if ok || !locked || left <= 0 {
			return a, ok, nil
		}
		over := time.NewTimer(left)
		select {
		case <-changed:
		case <-over.C:
		case <-ctx.Done():
		}
		over.Stop()
	}
}

// Store is that of placement.Storage.
func (m *Memory) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	if err := errors.Join(a.Validate(), begin(ctx, l.Identity)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !m.holdsLocked(l):
		return fmt.Errorf("store %v: %w", l.Identity, placement.ErrLockNotFound)
	case m.barred[a.Member]:
		return fmt.Errorf("store %v on %s: %w", l.Identity, a.Member, placement.ErrMemberBarred)
	}
	delete(m.spawning, l.Identity)
	m.stored[l.Identity] = a
	m.tellLocked()
	return nil
}

// Remove is that of placement.Storage.
func (m *Memory) Remove(ctx context.Context, id placement.Identity, a placement.StoredActivation) error {
	if err := begin(ctx, id); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stored[id] == a {
		delete(m.stored, id)
	}
	return nil
}

// RemoveMember is that of placement.Storage. The member is barred for as long as the Memory lasts.
func (m *Memory) RemoveMember(ctx context.Context, member placement.MemberID) error {
	if err := errors.Join(member.Validate(), context.Cause(ctx)); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.barred[member] = true
	for id, a := range m.stored {
		if a.Member == member {
			delete(m.stored, id)
		}
	}
	return nil
}

// Host makes a member that activates identities of the kinds that its functions are named by. Their errors refuse one.
func (m *Memory) Host(member placement.MemberID, kinds map[string]func(placement.Identity) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hosts = append(m.hosts, host{member, kinds})
}

// Ensure is that of placement.Activator. It asks the members in the order in which they came. An Activated has no address.
func (m *Memory) Ensure(ctx context.Context, id placement.Identity) (placement.Activated, error) {
	if err := begin(ctx, id); err != nil {
		return placement.Activated{}, err
	}
	m.mu.Lock()
	a := m.active[id]
	if a == nil {
		m.last++
		a = &active{Activated: placement.Activated{Identity: id, Epoch: placement.Epoch(m.last)}, done: make(chan struct{})}
		m.active[id] = a
		go m.activate(a, slices.Clone(m.hosts)) // ends with the hosts' functions
	}
	m.mu.Unlock()
	select {
	case <-a.done:
		return a.Activated, a.err
	case <-ctx.Done():
		return placement.Activated{}, context.Cause(ctx)
	}
}

// activate asks one member after the other.
func (m *Memory) activate(a *active, hosts []host) {
	var why []error
	for _, h := range hosts {
		begin := h.kinds[a.Identity.Kind]
		if begin == nil {
			why = append(why, fmt.Errorf("%s does not host the kind", h.member))
			continue
		}
		err := begin(a.Identity)
		if err == nil {
			a.Member = h.member
			close(a.done)
			return
		}
		why = append(why, fmt.Errorf("%s: %w", h.member, err))
	}
	m.mu.Lock()
	delete(m.active, a.Identity)
	m.mu.Unlock()
	a.Activated, a.err = placement.Activated{}, errors.Join(append([]error{fmt.Errorf("ensure %v: %w", a.Identity, placement.ErrNoHost)}, why...)...)
	close(a.done)
}

// End is that of placement.Activator.
func (m *Memory) End(ctx context.Context, x placement.Activated) error {
	if err := begin(ctx, x.Identity); err != nil {
		return err
	}
	m.mu.Lock()
	a := m.active[x.Identity]
	m.mu.Unlock()
	if a == nil || a.Epoch != x.Epoch {
		return nil
	}
	select {
	case <-a.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.active[x.Identity] == a {
		delete(m.active, x.Identity)
	}
	return nil
}
