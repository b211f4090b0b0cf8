package switchnet

import (
	"container/heap"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// flightMax is how many frames may be on their way at once; more are lost. It is 100 MB at the most.
	flightMax = 65_536
	// frameBytesMax is more than a device with an MTU of 1500 gives.
	frameBytesMax = 4096
)

// Counts are what became of the frames of a switch.
type Counts struct {
	Carried, Dropped, Duplicated uint64
}

// fabric is the switch between ports. Each port is what a host's device is to it: each Read gives a frame, each Write
// takes one.
type fabric struct {
	ports []io.ReadWriteCloser
	wake  chan struct{}
	group sync.WaitGroup

	carried, dropped, duplicated atomic.Uint64

	mu struct {
		sync.Mutex
		wires  [][]wire
		flight flight
		seq    uint64
		closed bool
	}
}

func newFabric(ports []io.ReadWriteCloser, seed uint64) *fabric {
	f := &fabric{ports: ports, wake: make(chan struct{}, 1)}
	f.mu.wires = make([][]wire, len(ports))
	for i := range ports {
		f.mu.wires[i] = make([]wire, len(ports))
		for j := range ports {
			f.mu.wires[i][j].rng = rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(j)))
		}
	}
	for i := range ports {
		f.group.Go(func() { f.serve(i) })
	}
	f.group.Go(f.deliver)
	return f
}

// change changes the links of both directions and all pairs at one moment: no frame sees half of it.
func (f *fabric) change(do func(from, to int, l *Link)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.mu.wires {
		for j := range f.mu.wires[i] {
			if i != j {
				do(i, j, &f.mu.wires[i][j].link)
			}
		}
	}
}

// check finds nothing wrong: a link can be all that a Link says.
func (f *fabric) check(Link) error { return nil }

// each gives all links to do.
func (f *fabric) each(_ int, do func(from, to int, l Link)) {
	f.change(func(i, j int, l *Link) { do(i, j, *l) })
}

// set changes links at one moment.
func (f *fabric) set(links map[[2]int]Link) error {
	f.change(func(i, j int, l *Link) { *l = links[[2]int{i, j}] })
	return nil
}

// serve takes the frames of one port until it is closed.
func (f *fabric) serve(from int) {
	buf := make([]byte, frameBytesMax)
	for {
		n, err := f.ports[from].Read(buf)
		if err != nil {
			return
		}
		if to, ok := destination(buf[:n], len(f.ports)); ok && to != from {
			f.forward(from, to, buf[:n])
		}
	}
}

// forward sends a frame on its way; what arrives at once is written at once. The frame is the caller's.
func (f *fabric) forward(from, to int, data []byte) {
	now := time.Now()
	f.mu.Lock()
	times := f.mu.wires[from][to].carry(now, len(data))
	at, later := 0, false
	for _, due := range times {
		switch {
		case !due.After(now):
			at++
		case len(f.mu.flight) >= flightMax:
			f.dropped.Add(1)
		default:
			f.mu.seq++
			heap.Push(&f.mu.flight, frame{due, f.mu.seq, to, append([]byte(nil), data...)})
			later = true
		}
	}
	f.mu.Unlock()
	for range at {
		f.write(to, data)
	}
	switch len(times) {
	case 0:
		f.dropped.Add(1)
	case 2:
		f.duplicated.Add(1)
	}
	if later {
		f.rouse()
	}
}

// rouse has deliver look again.
func (f *fabric) rouse() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// deliver writes the frames that are on their way when they arrive, until close.
func (f *fabric) deliver() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		f.mu.Lock()
		if f.mu.closed {
			f.mu.Unlock()
			return
		}
		due := f.mu.flight.due(time.Now())
		wait := time.Hour
		if len(f.mu.flight) > 0 {
			wait = time.Until(f.mu.flight[0].at)
		}
		f.mu.Unlock()
		for _, x := range due {
			f.write(x.to, x.data)
		}
		t.Reset(wait)
		select {
		case <-t.C:
		case <-f.wake:
		}
	}
}

// write gives a frame to a port. A device that is full loses it, as a real one does.
func (f *fabric) write(to int, data []byte) {
	if _, err := f.ports[to].Write(data); err != nil {
		f.dropped.Add(1)
		return
	}
	f.carried.Add(1)
}

// counts are what became of the frames so far.
func (f *fabric) counts() Counts {
	return Counts{Carried: f.carried.Load(), Dropped: f.dropped.Load(), Duplicated: f.duplicated.Load()}
}

// close closes the ports and waits for the goroutines. What is on its way is lost.
func (f *fabric) close() error {
	f.mu.Lock()
	f.mu.closed = true
	f.mu.Unlock()
	f.rouse()
	var errs []error
	for _, p := range f.ports {
		errs = append(errs, p.Close())
	}
	f.group.Wait()
	return errors.Join(errs...)
}
