package raftnodetest

import (
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// ErrDisk is what a failing Disk returns.
var ErrDisk = errors.New("input/output error")

// Disk is a log in memory that takes time to write, fails and stalls on demand. It outlives the server that uses it, so
// that a server can be started again over it.
type Disk struct {
	*raft.InmemStore

	mu      sync.Mutex
	delay   time.Duration
	fail    int
	stalled chan struct{} // there while writes stall; closed to let them go on
	writes  int
}

// NewDisk returns an empty log whose writes take no time.
func NewDisk() *Disk { return &Disk{InmemStore: raft.NewInmemStore()} }

// Slow makes each write take that long.
func (d *Disk) Slow(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// Fail makes the next n writes fail with ErrDisk, and do nothing.
func (d *Disk) Fail(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = n
}

// Stall makes writes wait until it is called again with false.
func (d *Disk) Stall(stall bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stall && d.stalled == nil {
		d.stalled = make(chan struct{})
	} else if !stall && d.stalled != nil {
		close(d.stalled)
		d.stalled = nil
	}
}

// Writes is the number of writes so far.
func (d *Disk) Writes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.writes
}

// StoreLog writes one entry.
func (d *Disk) StoreLog(l *raft.Log) error { return d.StoreLogs([]*raft.Log{l}) }

// StoreLogs writes entries.
func (d *Disk) StoreLogs(l []*raft.Log) error {
	d.mu.Lock()
	delay, stalled, failing := d.delay, d.stalled, d.fail > 0
	if failing {
		d.fail--
	}
	d.writes++
	d.mu.Unlock()
	if failing {
		return ErrDisk
	}
	if stalled != nil {
		<-stalled
	}
	if delay > 0 {
		time.Sleep(delay)
	}
	return d.InmemStore.StoreLogs(l)
}
