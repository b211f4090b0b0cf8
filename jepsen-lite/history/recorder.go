package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a recorder.
const (
	// LineBytesMax is the length of the longest line, its end included.
	LineBytesMax = 64 << 10
	// bufferBytesMax is how much may wait to be written. Whoever records more waits: not smaller, since a disk may take a
	// moment, and not larger, since what waits is lost when the process is killed (calls are waited for).
	bufferBytesMax = 1 << 20
	// flushEvery is how long an event waits at most.
	flushEvery = 10 * time.Millisecond
)

// Recorder appends events to a history. It is safe for concurrent use.
//
// It writes whole lines, in one goroutine, which Close ends. When a write fails nothing more is written, and Err and Close
// say so: the events of the run from then on are lost, and with them its verdict.
type Recorder struct {
	w     io.Writer
	clock func() int64
	ops   atomic.Uint64

	mu struct {
		sync.Mutex
		moved   sync.Cond // there is room in waiting, or a batch is written, or there was an error
		waiting []byte    // whole lines
		batch   uint64    // the number of what waits
		written uint64    // what has a smaller number is written
		err     error
		closed  bool
	}
	flush  chan struct{} // something waits that must not wait longer; holds one
	done   chan struct{} // the goroutine has ended
	failed chan struct{} // mu.err is set
}

// NewRecorder returns a recorder that writes to w, which it does not close. clock says the moment (Clock; in virtual time, one
// that counts from the bubble's beginning).
func NewRecorder(w io.Writer, clock func() int64) *Recorder {
	r := &Recorder{w: w, clock: clock, flush: make(chan struct{}, 1), done: make(chan struct{}), failed: make(chan struct{})}
	r.mu.moved.L = &r.mu
	go r.write()
	return r
}

// Now is the moment on the recorder's clock.
func (r *Recorder) Now() int64 { return r.clock() }

// Invoke records the beginning of an operation and returns the number that it gave it, when it is written or can't be: call it
// before the request is made, and no process that is killed leaves a request that its history does not have.
func (r *Recorder) Invoke(c Call) uint64 {
	c.Op = r.ops.Add(1)
	batch := r.record(&Event{Invoke: &c})
	r.hurry()
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.mu.written <= batch && r.mu.err == nil {
		r.mu.moved.Wait()
	}
	return c.Op
}

// OK records that an operation happened. Call it when the reply is decoded.
func (r *Recorder) OK(a Answer) { r.Record(Event{OK: &a}) }

// Fail records that an operation certainly changed nothing.
func (r *Recorder) Fail(a Answer) { r.Record(Event{Fail: &a}) }

// Unknown records that nobody can say whether an operation happened.
func (r *Recorder) Unknown(a Answer) { r.Record(Event{Unknown: &a}) }

// Record records an event at this moment. It waits while too much is waiting to be written. An event that breaks a rule is an
// error of the test: Err says which.
func (r *Recorder) Record(e Event) { r.record(&e) }

// record encodes an event and hands it over. It returns the number of the batch that the event is in.
func (r *Recorder) record(e *Event) uint64 {
	e.At = r.clock()
	line, err := Append(nil, e)
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.mu.waiting)+len(line) > bufferBytesMax && r.mu.err == nil && !r.mu.closed {
		r.mu.moved.Wait()
	}
	if r.mu.closed {
		err = errors.Join(err, errors.New("an event was recorded after the end"))
	}
	if err != nil {
		r.failLocked(err)
	}
	if r.mu.err != nil {
		return r.mu.batch
	}
	r.mu.waiting = append(r.mu.waiting, line...)
	if len(r.mu.waiting) > bufferBytesMax/2 {
		r.hurry()
	}
	return r.mu.batch
}

func (r *Recorder) hurry() {
	select {
	case r.flush <- struct{}{}:
	default:
	}
}

// write writes what waits, now and then, until Close.
func (r *Recorder) write() {
	defer close(r.done)
	var lines []byte
	timer := time.NewTicker(flushEvery)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-r.flush:
		}
		r.mu.Lock()
		closed, err := r.mu.closed, r.mu.err
		lines, r.mu.waiting = r.mu.waiting, lines[:0]
		r.mu.batch++
		batch := r.mu.batch
		r.mu.moved.Broadcast()
		r.mu.Unlock()
		if err == nil && len(lines) > 0 {
			if _, err = r.w.Write(lines); err != nil {
				r.fail(fmt.Errorf("write history: %w", err))
			}
		}
		r.wrote(batch)
		if closed {
			return
		}
	}
}

// wrote notes that what has a smaller number is written.
func (r *Recorder) wrote(batch uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.written = batch
	r.mu.moved.Broadcast()
}

func (r *Recorder) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failLocked(err)
}

// failLocked notes the first error.
func (r *Recorder) failLocked(err error) {
	if r.mu.err != nil {
		return
	}
	r.mu.err = err
	r.mu.moved.Broadcast()
	close(r.failed)
}

// Failed is closed when something goes wrong: nothing is recorded from then on.
func (r *Recorder) Failed() <-chan struct{} { return r.failed }

// Err is what went wrong, nil when nothing did.
func (r *Recorder) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.err
}

// Close writes what waits and ends the recorder. It returns Err. It may be called again.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.mu.closed = true
	r.mu.moved.Broadcast()
	r.mu.Unlock()
	r.hurry()
	<-r.done
	return r.Err()
}

// Append appends the line of an event to b. The error says which rule the event breaks.
func Append(b []byte, e *Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return b, fmt.Errorf("%w: %w", ErrBadLine, err)
	}
	line, err := json.Marshal(e)
	if err != nil {
		return b, fmt.Errorf("%w: %w", ErrBadLine, err)
	}
	if len(line) >= LineBytesMax {
		return b, ErrLineTooLong
	}
	return append(append(b, line...), '\n'), nil
}
