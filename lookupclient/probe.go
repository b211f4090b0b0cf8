package lookupclient

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	// probeAfter is how long a call may be on its way before its server is asked whether it is there, and how long until it is asked
	// again; probeAnswer is how long the answer to that, which every server knows by heart, may take before the connection is taken
	// for dead. Shorter ones would break the connections of a server that is merely busy.
	probeAfter, probeAnswer = time.Second, time.Second
	// probedService is what a server is asked for: whether it knows a leader, and the leader knows it.
	probedService = "ready"
)

// probes are the questions whether a server is there.
//
// A machine that vanished says nothing, and gRPC notices it after ten seconds and more. The calls that wait for it would wait as long.
type probes struct {
	ctx    context.Context // ends with the client
	cancel context.CancelFunc
	tasks  sync.WaitGroup

	mu      sync.Mutex
	over    bool
	asking  map[string]bool             // one is asked, or will be soon
	waiting map[string]map[*waiter]bool // calls that have waited for probeAfter
}

// waiter is a call that waits for a server.
type waiter struct {
	call  context.Context
	leave context.CancelFunc // unless it is nil: ends the waiting, since another server may answer
	left  atomic.Bool        // it was ended so
}

func newProbes() *probes {
	p := &probes{asking: map[string]bool{}, waiting: map[string]map[*waiter]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// begin says whether a server is to be asked: nobody asks it.
func (p *probes) begin(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over || p.asking[address] {
		return false
	}
	p.asking[address] = true
	p.tasks.Add(1)
	return true
}

// again waits until a server is to be asked once more. It says no, and ends what begin began, when no call waits for it.
func (p *probes) again(address string) bool {
	if p.waits(address) {
		select {
		case <-time.After(probeAfter):
		case <-p.ctx.Done():
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting[address]) > 0 && !p.over {
		return true
	}
	delete(p.asking, address)
	p.tasks.Done()
	return false
}

// waits says whether a call waits for a server.
func (p *probes) waits(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting[address]) > 0 && !p.over
}

// enter takes in a call that waits for a server.
func (p *probes) enter(address string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting[address] == nil {
		p.waiting[address] = map[*waiter]bool{}
	}
	p.waiting[address][w] = true
}

// exit is for a call that waits no more.
func (p *probes) exit(address string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if delete(p.waiting[address], w); len(p.waiting[address]) == 0 {
		delete(p.waiting, address)
	}
}

// leave has the calls leave that wait for a server and may be answered by another one.
func (p *probes) leave(address string) {
	p.mu.Lock()
	waiting := slices.Collect(maps.Keys(p.waiting[address]))
	p.mu.Unlock()
	for _, w := range waiting {
		if w.leave != nil {
			w.left.Store(true)
			w.leave()
		}
	}
}

// close ends all questions.
func (p *probes) close() {
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.cancel()
	p.tasks.Wait()
}

// waits has a server asked again and again whether it is there, as long as a call waits for it.
func (c *Conn) waits(w *waiter, address string) {
	if address == "" {
		return // it waits for a connection to any
	}
	c.probes.enter(address, w)
	context.AfterFunc(w.call, func() { c.probes.exit(address, w) })
	c.probe(address)
}

// probe has a server asked whether it is there, once at least.
func (c *Conn) probe(address string) {
	if c.links.newest(address) == nil || !c.probes.begin(address) {
		return // it was never reached, or is being asked
	}
	go func() {
		for again := true; again; again = c.probes.again(address) {
			c.ask(address)
		}
	}()
}

// ask asks a server whether it is there and ready, and breaks the connection to it when nothing at all is answered on it. gRPC makes another, and
// the calls that waited are made again.
func (c *Conn) ask(address string) {
	conn, said := c.links.newest(address), c.distances.words(address)
	ctx, cancel := context.WithTimeout((&route{only: address}).with(c.probes.ctx), probeAnswer)
	defer cancel()
	resp, err := healthpb.NewHealthClient(c.cc).Check(ctx, &healthpb.HealthCheckRequest{Service: probedService})
	switch code := status.Code(err); {
	case code == codes.DeadlineExceeded:
		if c.distances.words(address) == said { // or it is slow, and there
			_ = conn.Close()
		}
	case code == codes.Unavailable, code == codes.Canceled: // the connection is broken already, or the client is closed
	case err == nil && resp.Status == healthpb.HealthCheckResponse_NOT_SERVING:
		c.distances.heard(address, false)
		c.distances.isLate(address)
		if c.probes.waits(address) && c.ready(&route{known: c.distances, avoid: address}) {
			c.probes.leave(address)
		}
	default:
		c.distances.heard(address, true)
	}
}

// ready says whether a server says that it is ready.
func (c *Conn) ready(r *route) bool {
	ctx, cancel := context.WithTimeout(r.with(c.probes.ctx), probeAnswer)
	defer cancel()
	resp, err := healthpb.NewHealthClient(c.cc).Check(ctx, &healthpb.HealthCheckRequest{Service: probedService})
	return err == nil && resp.Status == healthpb.HealthCheckResponse_SERVING
}
