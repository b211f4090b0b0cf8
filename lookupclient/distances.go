package lookupclient

import (
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// nearSlack is how much farther than twice the distance of the nearest one a server may be and still count as near.
	nearSlack = 500 * time.Microsecond
	// trials is how many look-ups a server that let one wait must have answered before it may be near again.
	trials = 3
	// lateAgain is how long a server that is late, and whose connection stands, is left alone before it is asked again whether it is well.
	lateAgain = time.Second
)

// distances are how long servers take to answer by themselves, and which of them let somebody wait.
type distances struct {
	mu   sync.Mutex
	list map[string]*distance // by address; of servers that are known, so there are few
}

// distance is what is known of how one server answers.
type distance struct {
	took   time.Duration // smoothed; zero before it was measured
	late   bool          // it let a look-up wait, or said that it is not ready, and has not said otherwise since
	asked  time.Time     // when it was last asked whether it is well, while it is late
	trials int           // look-ups that it has yet to answer before it may be near
	said   uint64        // how often it has said anything
}

func newDistances() *distances { return &distances{list: map[string]*distance{}} }

// forget drops what is not of the given servers.
func (d *distances) forget(but []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.list, func(address string, _ *distance) bool { return !slices.Contains(but, address) })
}

// of returns what is known of a server. The caller holds mu.
func (d *distances) of(address string) *distance {
	x := d.list[address]
	if x == nil {
		x = &distance{}
		d.list[address] = x
	}
	return x
}

// well says which of the servers that fit are not late; all when there is no other. The caller holds mu.
func (d *distances) well(servers []readyServer, fits func(*readyServer) bool) func(*readyServer) bool {
	return orAll(servers, fits, func(s *readyServer) bool { return !d.of(s.address).late })
}

// within says which servers are near: of those that are well, and have answered since they were late, the ones that are about as near as
// the nearest, and those that were not measured. The caller holds mu.
func (d *distances) within(servers []readyServer, fits func(*readyServer) bool) func(*readyServer) bool {
	tried := orAll(servers, d.well(servers, fits), func(s *readyServer) bool { return d.of(s.address).trials == 0 })
	best := time.Duration(0)
	for i := range servers {
		if x := d.of(servers[i].address).took; x > 0 && (best == 0 || x < best) && tried(&servers[i]) {
			best = x
		}
	}
	return func(s *readyServer) bool { return tried(s) && (best == 0 || d.of(s.address).took <= 2*best+nearSlack) }
}

// orAll narrows a choice, unless nothing would be left of it.
func orAll(servers []readyServer, of, narrower func(*readyServer) bool) func(*readyServer) bool {
	for i := range servers {
		if of(&servers[i]) && narrower(&servers[i]) {
			return func(s *readyServer) bool { return of(s) && narrower(s) }
		}
	}
	return of
}

// answered says that a server has answered a look-up, and how long it took when it has asked nobody else; zero otherwise. A distance
// grows by an eighth of the difference, and shrinks by half of it, so that one answer that was slow is soon forgiven.
func (d *distances) answered(address string, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.of(address)
	x.said, x.late, x.trials = x.said+1, false, max(0, x.trials-1)
	switch {
	case took <= 0:
	case x.took == 0:
		x.took = took
	case took < x.took:
		x.took -= (x.took - took) / 2
	default:
		x.took += (took - x.took) / 8
	}
}

// heard says that a server has said something; ready, that it says it can answer.
func (d *distances) heard(address string, ready bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.of(address)
	x.said, x.late = x.said+1, x.late && !ready
}

// words is how often a server has said something.
func (d *distances) words(address string) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.of(address).said
}

// isLate says that a server lets a look-up wait, or is not ready. It is not asked any more until it says something, and is not near before it
// has answered a few.
func (d *distances) isLate(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x := d.of(address)
	x.late, x.trials, x.asked = true, trials, time.Now()
}

// overdue returns the servers that are late and were not asked for a while, and takes them to be asked.
func (d *distances) overdue() (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, x := range d.list {
		if x.late && time.Since(x.asked) >= lateAgain {
			x.asked = time.Now()
			list = append(list, address)
		}
	}
	return list
}

// nearest is the distance of the nearest server; zero when none is known.
func (d *distances) nearest() (best time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.list {
		if x.took > 0 && (best == 0 || x.took < best) {
			best = x.took
		}
	}
	return best
}
