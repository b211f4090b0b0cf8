package group

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// batchesInFlight: with two, one is written while the other is replicated. More only make each smaller.
	batchesInFlight = 2
	// batchBytes is where a batch stops to take more. Not larger: entries of 64 KiB make two to four times as many
	// writes. A single command may be larger.
	batchBytes = 32 << 10
	// queueCommandsMax and queueBytesMax bound what waits.
	queueCommandsMax = 1 << 16
	queueBytesMax    = 32 << 20
)

// Pulse is the proof of a tenure at a moment: a batch that was proposed at T0 committed in its term.
type Pulse struct {
	// T0 is the instant just before the proposal.
	T0 lease.Instant
	// Index is what this server had published just before the proposal. It covers every command that was acknowledged
	// by then, in this or an earlier tenure, so whoever has applied it may answer a read that began before.
	Index uint64
	// Tenure is the tenure that it proves.
	Tenure *Tenure
}

// batcher turns commands into log entries. Whatever waits when a batch can go goes with it; nothing waits for company,
// except pulses that may.
type batcher struct {
	propose func(data []byte) raft.ApplyFuture
	view    func() *snapshot.View
	now     func() lease.Instant
	lost    func(*Tenure) // told when a tenure turns out to be over
	proved  func(Pulse)   // told of each proof
	tracer  trace.Tracer  // nil: nothing is traced

	mu       sync.Mutex
	work     chan struct{} // holds one token for each worker that should look
	tenure   *Tenure       // nil: nothing is taken
	paused   bool          // commands are taken, but not proposed
	queue    []*item
	bytes    int
	pulses   []*pulseWait
	inFlight int
	idle     chan struct{} // closed when nothing is in flight; nil when nobody waits for that
	closed   bool

	batches, pulsesEmpty atomic.Uint64
}

// item is one command that waits or is in flight.
type item struct {
	command []byte
	call    *call
	at      int // its place in the call
}

// pulseWait is one caller that waits for a pulse.
type pulseWait struct {
	urgent bool
	ch     chan pulseResult // of size one
}

type pulseResult struct {
	pulse Pulse
	err   error
}

// submit queues commands, all or none. j notes their way; nil for none.
func (b *batcher) submit(commands [][]byte, j *journey) (*call, error) {
	c := newCall(len(commands))
	c.journey = j
	size := 0
	items := make([]item, len(commands))
	for i, cmd := range commands {
		items[i] = item{cmd, c, i}
		size += len(cmd)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, ErrClosed
	case b.tenure == nil:
		return nil, ErrNotLeader
	case len(b.queue)+len(commands) > queueCommandsMax || b.bytes+size > queueBytesMax:
		return nil, ErrQueueFull
	}
	for i := range items {
		b.queue = append(b.queue, &items[i])
	}
	b.bytes += size
	b.wakeLocked()
	return c, nil
}

// proposeAll proposes commands and waits for their outcomes. Those that were not proposed yet when ctx ends are refused
// with its error; the fate of the others is unknown.
func (b *batcher) proposeAll(ctx context.Context, commands [][]byte) ([]Outcome, error) {
	if len(commands) == 0 {
		return nil, nil
	}
	j := begin(ctx, b.tracer, len(commands))
	c, err := b.submit(commands, j)
	if err != nil {
		j.end(nil, err)
		return nil, err
	}
	var outcomes []Outcome
	select {
	case <-c.done:
		outcomes = c.outcomes
	case <-ctx.Done():
		term := b.withdraw(c, context.Cause(ctx))
		outcomes = c.sofar(&UnknownError{Term: term, Err: context.Cause(ctx)})
	}
	j.end(outcomes, nil)
	return outcomes, nil
}

// withdraw refuses what still waits of a call. It returns the term in which the rest is in flight.
func (b *batcher) withdraw(c *call, cause error) (term uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept := b.queue[:0]
	for _, it := range b.queue {
		if it.call == c {
			b.bytes -= len(it.command)
			c.finish(it.at, Outcome{Err: cause})
		} else {
			kept = append(kept, it)
		}
	}
	clear(b.queue[len(kept):])
	b.queue = kept
	if b.tenure != nil {
		term = b.tenure.Term
	}
	return term
}

// pulse waits for a batch that is proposed after the call and commits. When delay is not zero it may wait that long for
// company; then, or at once, an empty batch is proposed if there is none.
func (b *batcher) pulse(ctx context.Context, delay time.Duration) (Pulse, error) {
	w := &pulseWait{urgent: delay == 0, ch: make(chan pulseResult, 1)}
	b.mu.Lock()
	if err := b.pulseErrorLocked(); err != nil {
		b.mu.Unlock()
		return Pulse{}, err
	}
	b.pulses = append(b.pulses, w)
	b.wakeLocked()
	b.mu.Unlock()
	if delay > 0 {
		timer := time.AfterFunc(delay, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			w.urgent = true
			b.wakeLocked()
		})
		defer timer.Stop()
	}
	select {
	case r := <-w.ch:
		return r.pulse, r.err
	case <-ctx.Done():
		return Pulse{}, context.Cause(ctx)
	}
}

func (b *batcher) pulseErrorLocked() error {
	switch {
	case b.closed:
		return ErrClosed
	case b.tenure == nil:
		return ErrNotLeader
	}
	return nil
}

// wakeLocked gives a token to a worker that may have something to do.
func (b *batcher) wakeLocked() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// begin lets a tenure's commands in.
func (b *batcher) begin(t *Tenure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tenure, b.paused = t, false
}

// end refuses everything that waits, when it waits for this tenure.
func (b *batcher) end(t *Tenure, cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tenure != t {
		return
	}
	b.tenure = nil
	b.refuseLocked(cause)
}

// close refuses everything that waits and whatever comes.
func (b *batcher) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.tenure = true, nil
	b.refuseLocked(ErrClosed)
}

func (b *batcher) refuseLocked(cause error) {
	for _, it := range b.queue {
		it.call.finish(it.at, Outcome{Err: cause})
	}
	for _, w := range b.pulses {
		w.ch <- pulseResult{err: cause}
	}
	b.queue, b.pulses, b.bytes = nil, nil, 0
}

// drained pauses the batcher and waits until nothing is in flight. resume must follow.
func (b *batcher) drained(ctx context.Context) error {
	b.mu.Lock()
	b.paused = true
	if b.inFlight == 0 {
		b.mu.Unlock()
		return nil
	}
	if b.idle == nil {
		b.idle = make(chan struct{})
	}
	idle := b.idle
	b.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *batcher) resume() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paused = false
	b.wakeLocked()
	b.wakeLocked()
}

// run makes batches until ctx ends.
func (b *batcher) run(ctx context.Context) {
	for {
		if next := b.take(); next != nil {
			b.carry(next)
			// Whoever was waiting for it goes first: what they propose next makes the next batch fuller.
			runtime.Gosched()
			continue
		}
		select {
		case <-b.work:
		case <-ctx.Done():
			return
		}
	}
}

// take cuts the next batch off the queue; nil when there is no reason for one.
func (b *batcher) take() *batch {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tenure == nil || b.paused || len(b.queue) == 0 && !b.urgentLocked() {
		return nil
	}
	n, size := 0, 0
	for n < len(b.queue) && n < placement.BatchCommandsMax && (n == 0 || size+len(b.queue[n].command) <= batchBytes) {
		size += len(b.queue[n].command)
		n++
	}
	next := &batch{tenure: b.tenure, items: append([]*item(nil), b.queue[:n]...), pulses: b.pulses}
	clear(b.queue[:n])
	b.queue = b.queue[n:]
	b.bytes -= size
	b.pulses = nil
	b.inFlight++
	b.batches.Add(1)
	if n == 0 {
		b.pulsesEmpty.Add(1)
	}
	if len(b.queue) > 0 {
		b.wakeLocked() // there is enough for the other worker
	}
	if b.tracer != nil {
		next.taken = time.Now()
	}
	b.seal(next)
	return next
}

func (b *batcher) urgentLocked() bool {
	for _, w := range b.pulses {
		if w.urgent {
			return true
		}
	}
	return false
}

// takeOff counts something that is in flight and is no batch; landed must follow. It says no when the batcher is closed.
func (b *batcher) takeOff() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.inFlight++
	return true
}

func (b *batcher) landed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if b.inFlight == 0 && b.idle != nil {
		close(b.idle)
		b.idle = nil
	}
}
