package group

import (
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// fresh knows how old this server's state may be at most. Each proof says that a log index has everything that was
// acknowledged before an instant, so a state that has the index is no older than that. No clock of another machine has a
// part in it.
type fresh struct {
	mu      sync.Mutex
	at      lease.Instant // of the newest proof whose index is published
	known   bool
	waiting []proof // whose index is not, as far as anybody looked; ascending in both
}

type proof struct {
	index uint64
	at    lease.Instant
}

// proofsMax proofs are kept for a server that is behind; later ones take the place of the newest.
const proofsMax = 64

// prove notes a proof. Those that come out of order are dropped: a newer one says more.
func (f *fresh) prove(index uint64, at lease.Instant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known && at <= f.at {
		return
	}
	n := len(f.waiting)
	if n > 0 && at <= f.waiting[n-1].at {
		return
	}
	if n > 0 {
		index = max(index, f.waiting[n-1].index)
	}
	if n == proofsMax {
		f.waiting[n-1] = proof{index, at}
		return
	}
	f.waiting = append(f.waiting, proof{index, at})
}

// age is how old the state of an index may be at most.
func (f *fresh) age(published uint64, now lease.Instant) (time.Duration, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for n < len(f.waiting) && f.waiting[n].index <= published {
		f.at, f.known = f.waiting[n].at, true
		n++
	}
	f.waiting = append(f.waiting[:0], f.waiting[n:]...)
	if !f.known {
		return 0, false
	}
	return max(0, now.Sub(f.at)), true
}
