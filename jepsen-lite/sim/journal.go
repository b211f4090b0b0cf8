package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// journal is the history of a run, and the hash of everything that happened in it.
type journal struct {
	begin time.Time

	mu     sync.Mutex
	events []history.Event
	ops    uint64
	faults uint64
	passes uint64
	asked  map[uint64]asked    // by operation, those that go on
	done   map[history.F]int64 // when the newest of each kind began that ended ok
	trace  hash.Hash
	err    error // of the test itself
}

// asked is an operation that goes on.
type asked struct {
	f     history.F
	begin int64
}

func newJournal() *journal {
	return &journal{begin: time.Now(), asked: map[uint64]asked{}, done: map[history.F]int64{}, trace: sha256.New()}
}

// now is the moment of the run.
func (j *journal) now() int64 { return int64(time.Since(j.begin)) }

// Record adds an event.
func (j *journal) Record(e history.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	e.At = j.now()
	line, err := history.Append(nil, &e)
	if err != nil && j.err == nil {
		j.err = err
	}
	j.events = append(j.events, e)
	j.trace.Write(line)
	switch {
	case e.Invoke != nil:
		j.asked[e.Invoke.Op] = asked{e.Invoke.F, e.At}
	case e.OK != nil:
		x := j.asked[e.OK.Op]
		j.done[x.f] = max(j.done[x.f], x.begin)
		delete(j.asked, e.OK.Op)
	}
}

// since says which kinds of operations ended ok, and none that began at a moment or later. Blocks are faults, which nobody makes then.
func (j *journal) since(moment int64) (missing []history.F) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range slices.Sorted(maps.Keys(j.done)) {
		if j.done[f] < moment && !f.IsFault() {
			missing = append(missing, f)
		}
	}
	return missing
}

// Invoke begins an operation.
func (j *journal) Invoke(c history.Call) uint64 {
	j.mu.Lock()
	j.ops++
	c.Op = j.ops
	j.mu.Unlock()
	j.Record(history.Event{Invoke: &c})
	return c.Op
}

// passesMax bounds what goes over the network in one run: five times as much as in any that is well.
const passesMax = 1_000_000

// passed notes what went over the network. What is broken may talk without end: that ends the process.
func (j *journal) passed(from, to string, bytes int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.passes++; j.passes > passesMax {
		panic(fmt.Sprintf("%v: after %d messages they still talk", time.Duration(j.now()), passesMax))
	}
	fmt.Fprintln(j.trace, j.now(), from, to, bytes)
}

// fault notes the beginning of a fault, and returns what notes its end.
func (j *journal) fault(f Fault) (over func()) {
	j.mu.Lock()
	j.faults++
	x := history.Fault{Fault: j.faults, Kind: string(f.Kind), Targets: f.Hosts, Detail: f.String()}
	j.mu.Unlock()
	j.Record(history.Event{Fault: &x})
	return func() {
		end := x
		end.Ends = true
		j.Record(history.Event{Fault: &end})
	}
}

// hash is that of everything so far, and of the state of what is random.
func (j *journal) hash(state uint64) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintln(j.trace, state)
	return hex.EncodeToString(j.trace.Sum(nil)[:12])
}
