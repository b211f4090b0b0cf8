package group

import (
	"context"
	"sync"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/snapshot"
)

// feedMax is the number of changes that wait for a reader at most. Not smaller: a batch has thousands. Not larger: a
// reader that falls behind reads the view instead.
const feedMax = 1 << 16

// Feed carries what changes in the state from the library's goroutine to one reader, which it never waits for. A reader
// that falls behind, or whose server is sent a snapshot, has lost changes and is told so.
type Feed struct {
	mu      sync.Mutex
	changes []fsm.Change
	view    *snapshot.View // that the changes lead to; nil when there is nothing to read
	at      uint64         // index of the newest view that the reader has, or that waits for it
	gap     bool
	signal  chan struct{}
}

// newFeed returns a feed for a reader that has the view of an index.
func newFeed(at uint64) *Feed { return &Feed{at: at, signal: make(chan struct{}, 1)} }

// add takes what led from the view of index prev to v.
func (f *Feed) add(prev uint64, v *snapshot.View, outputs []*fsm.Output) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, out := range outputs {
		f.changes = append(f.changes, out.Changes...)
	}
	if f.at != prev || len(f.changes) > feedMax {
		f.gap = true
	}
	if f.gap {
		f.changes = nil // the reader has to look at the whole view
	}
	f.view, f.at = v, v.Index
	f.notify()
}

func (f *Feed) notify() {
	select {
	case f.signal <- struct{}{}:
	default:
	}
}

// Next waits for changes and returns them, in their order, with the view that they lead to. gap says that changes were
// lost before these: the view has what they made. The slice belongs to the caller. The error is the context's.
func (f *Feed) Next(ctx context.Context) (changes []fsm.Change, view *snapshot.View, gap bool, err error) {
	for {
		f.mu.Lock()
		changes, view, gap = f.changes, f.view, f.gap
		f.changes, f.view, f.gap = nil, nil, false
		f.mu.Unlock()
		if view != nil {
			return changes, view, gap, nil
		}
		select {
		case <-f.signal:
		case <-ctx.Done():
			return nil, nil, false, context.Cause(ctx)
		}
	}
}
