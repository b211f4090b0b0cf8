package leader

import (
	"github.com/seed13d31b7f/berth/placement"
)

// Watch tells when an identity may have changed.
type Watch struct {
	// C is closed at the first change after the watch was made, or when something happened that may concern any
	// identity: a member ended, the barrier advanced, changes were lost.
	C  chan struct{}
	id placement.Identity
}

// Watch watches an identity for one change. Look at the state after making it, and call Unwatch when it is not needed any
// more.
func (d *Driver) Watch(id placement.Identity) *Watch {
	w := &Watch{C: make(chan struct{}), id: id}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.mu.watches[id]
	if all == nil {
		all = map[*Watch]struct{}{}
		d.mu.watches[id] = all
	}
	all[w] = struct{}{}
	return w
}

// Unwatch ends a watch.
func (d *Driver) Unwatch(w *Watch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.mu.watches[w.id]
	delete(all, w)
	if len(all) == 0 {
		delete(d.mu.watches, w.id)
	}
}

func (d *Driver) wakeLocked(id placement.Identity) {
	for w := range d.mu.watches[id] {
		close(w.C)
	}
	delete(d.mu.watches, id)
}

func (d *Driver) wakeAllLocked() {
	for id := range d.mu.watches {
		d.wakeLocked(id)
	}
}
