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
	// again.
	probeAfter = time.Second
	// probeAnswer is how long the answer to that, which every server knows by heart, may take before calls go to another server. Longer
	// than any way there and back, but for a few.
	probeAnswer = time.Second
	// probeBreak is how long it may take before the connection is taken for dead. Shorter, and a link that is slow for a while would lose
	// what goes over it, again and again.
	probeBreak = 4 * time.Second
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

	at   string // the server that it waits for; empty: none. probes.mu guards this and over
	over bool   // it waits no more
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

// enter takes in a call that waits for a server, and for none that it waited for before.
func (p *probes) enter(address string, w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.over || w.at == address {
		return
	}
	p.remove(w)
	w.at = address
	if p.waiting[address] == nil {
		p.waiting[address] = map[*waiter]bool{}
	}
	p.waiting[address][w] = true
}

// exit is for a call that waits no more.
func (p *probes) exit(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(w)
	w.over = true
}

// remove has a call wait for nobody. The caller holds mu.
func (p *probes) remove(w *waiter) {
	if delete(p.waiting[w.at], w); len(p.waiting[w.at]) == 0 {
		delete(p.waiting, w.at)
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

// waits has the server of a call asked again and again whether it is there, as long as the call waits for it. gRPC takes a call that it could
// not send to another server.
func (c *Conn) waits(w *waiter, r *route) {
	follow := func() {
		if address := r.server(); address != "" { // or it waits for a connection to any
			c.probes.enter(address, w)
			c.probe(address)
		}
	}
	r.moved.Store(&follow)
	context.AfterFunc(w.call, func() { c.probes.exit(w) })
	follow()
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

// ask asks a server whether it is there and ready. When nothing at all is heard of it for a second, or it is not ready, what waits there goes to
// another one that is. When nothing is heard for longer the connection is broken: gRPC makes another, and the calls that waited are made again.
func (c *Conn) ask(address string) {
	conn, said := c.links.newest(address), c.distances.words(address)
	type answer struct {
		ready bool
		err   error
	}
	answered := make(chan answer, 1)
	go func() { // until probeBreak
		ready, err := c.ready(&route{only: address}, probeBreak)
		answered <- answer{ready, err}
	}()
	for {
		select {
		case x := <-answered:
			switch code := status.Code(x.err); {
			case code == codes.DeadlineExceeded:
				if c.distances.words(address) == said { // or it is slow, and there
					_ = conn.Close()
				}
			case code == codes.Unavailable, code == codes.Canceled: // the connection is broken already, or the client is closed
			default:
				if c.distances.heard(address, x.ready); !x.ready {
					c.pass(address)
				}
			}
			return
		case <-time.After(probeAnswer):
			if c.distances.words(address) == said {
				c.pass(address)
			}
		}
	}
}

// pass has calls pass a server over, and those that wait there leave, when another one is ready.
func (c *Conn) pass(address string) {
	c.distances.isLate(address)
	if !c.probes.waits(address) {
		return
	}
	if ready, err := c.ready(&route{known: c.distances, avoid: address}, probeAnswer); ready && err == nil {
		c.probes.leave(address)
	}
}

// ready asks a server whether it is ready. One that does not say is.
func (c *Conn) ready(r *route, within time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(r.with(c.probes.ctx), within)
	defer cancel()
	resp, err := healthpb.NewHealthClient(c.cc).Check(ctx, &healthpb.HealthCheckRequest{Service: probedService})
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Unavailable, codes.Canceled:
		return false, err
	}
	return err != nil || resp.Status != healthpb.HealthCheckResponse_NOT_SERVING, nil
}
