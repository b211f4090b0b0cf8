package lookupclient

import (
	"context"
	"sync"

	"google.golang.org/grpc/status"

	"github.com/seed13d31b7f/berth/placement"
)

// flights lets look-ups of one identity share an answer: one asks, and those that come meanwhile wait for it.
type flights struct {
	mu   sync.Mutex
	list map[placement.Identity]*flight
}

// flight is a look-up on its way. What it has found is read when done is closed.
type flight struct {
	done  chan struct{}
	found Placement
	err   error
	left  bool // its caller has given up, so the error is the caller's alone
}

// do asks, or waits for who asks. An answer that is shared may be of before the call, so it is a hint. An error is not shared by
// those that came after it was asked for: what was not there then may be placed by now.
func (f *flights) do(ctx context.Context, id placement.Identity, ask func() (Placement, error)) (Placement, error) {
	for later := false; ; later = true {
		x, mine := f.join(id)
		if mine {
			x.found, x.err = ask()
			x.left = ctx.Err() != nil
			f.end(id, x)
			close(x.done)
			return x.found, x.err
		}
		select {
		case <-x.done:
		case <-ctx.Done():
			return Placement{}, errorOf(status.FromContextError(ctx.Err()).Err(), false)
		}
		switch {
		case x.err == nil:
			return x.found.hint(), nil
		case later && !x.left: // it was asked for after this call
			return Placement{}, x.err
		}
	}
}

// join returns the flight of an identity; mine says that it is new, and that the caller has to ask.
func (f *flights) join(id placement.Identity) (x *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if x = f.list[id]; x != nil {
		return x, false
	}
	x = &flight{done: make(chan struct{})}
	f.list[id] = x
	return x, true
}

func (f *flights) end(id placement.Identity, x *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.list[id] == x {
		delete(f.list, id)
	}
}

// forget has look-ups that come from now on ask anew.
func (f *flights) forget(id placement.Identity) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.list, id)
}

// hint is a placement that is answered without being asked for.
func (p Placement) hint() Placement {
	p.Level, p.Age, p.Cached = Stale, -1, true
	return p
}
