package events

import (
	"context"
	"sync/atomic"
)

// announcer wakes those who wait for events. Whoever adds tells one goroutine, and that one wakes all: what it costs to add
// does not depend on how many wait.
type announcer struct {
	added   atomic.Pointer[chan struct{}] // of the goroutine; nil while there is none
	changed atomic.Pointer[chan struct{}] // closed when something was added; nil while nobody waits
}

func (a *announcer) notify() {
	if added := a.added.Load(); added != nil && a.changed.Load() != nil {
		select {
		case *added <- struct{}{}:
		default: // it was told, and has not looked yet
		}
	}
}

// Changed is closed when something was added since the call, or soon after. Look for what is there after calling it, and only
// then wait.
func (r *Ring) Changed() <-chan struct{} {
	for {
		if ch := r.announcer.changed.Load(); ch != nil {
			return *ch
		}
		ch := make(chan struct{})
		if r.announcer.changed.CompareAndSwap(nil, &ch) {
			return ch
		}
	}
}

// Announce wakes those who wait whenever something is added, until ctx ends.
func (r *Ring) Announce(ctx context.Context) {
	added := make(chan struct{}, 1)
	r.announcer.added.Store(&added)
	for {
		if ch := r.announcer.changed.Swap(nil); ch != nil {
			close(*ch) // something may have been added before it was there
		}
		select {
		case <-added:
		case <-ctx.Done():
			return
		}
	}
}
