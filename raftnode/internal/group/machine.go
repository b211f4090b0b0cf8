package group

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/snapshot"
)

// machine is the library's FSM: it applies entries to an fsm.Machine and publishes a view before the library learns that
// they are applied.
type machine struct {
	fsm    *fsm.Machine // belongs to the library's FSM goroutine
	broken bool         // an entry could not be applied: nothing is, from then on
	stop   func(error)
	level  uint32 // the newest feature level that this server understands
	timed  bool   // responses say when they came about

	view    atomic.Pointer[snapshot.View]
	waiters waiters
	feed    atomic.Pointer[Feed]
	removed func(index uint64) // told of the newest removal of a state that is published
	events  events.Ring
	applied atomic.Uint64 // commands
}

var errBroken = errors.New("the state machine is stopped")

func newMachine(stop func(error), level uint32) *machine {
	m := &machine{fsm: fsm.New(snapshot.Empty()), stop: stop, level: level, removed: func(uint64) {}}
	m.fsm.Level, m.fsm.Observed = level, true // for the events
	m.view.Store(snapshot.Empty())
	return m
}

// Apply applies one entry.
func (m *machine) Apply(l *raft.Log) any { return m.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch applies entries and publishes one view. A command's response is an *fsm.Output, a *timedOutput when the machine
// is timed, or an error when it is stopped.
func (m *machine) ApplyBatch(logs []*raft.Log) []any {
	if !m.timed {
		return m.applyBatch(logs, nil)
	}
	began := make([]time.Time, len(logs))
	responses := m.applyBatch(logs, began)
	published := time.Now()
	for i, r := range responses {
		if out, ok := r.(*fsm.Output); ok {
			responses[i] = &timedOutput{out, began[i], published}
		}
	}
	return responses
}

// applyBatch notes, unless began is nil, when it began with each entry.
func (m *machine) applyBatch(logs []*raft.Log, began []time.Time) []any {
	responses := make([]any, len(logs))
	feed := m.feed.Load()
	var outputs []*fsm.Output
	for i, l := range logs {
		if l.Type != raft.LogCommand {
			continue
		}
		if m.broken {
			responses[i] = errBroken
			continue
		}
		if began != nil {
			began[i] = time.Now()
		}
		out, err := m.fsm.Apply(l.Index, l.Term, l.Data)
		if err != nil {
			m.broken = true
			responses[i] = errBroken
			m.stop(err)
			continue
		}
		responses[i] = out
		outputs = append(outputs, out)
		m.applied.Add(uint64(len(out.Results)))
		if endsMember(out) {
			m.publish(m.fsm.Publish(), outputs, feed)
			outputs = nil
		}
	}
	if len(outputs) > 0 && !m.broken {
		m.publish(m.fsm.Publish(), outputs, feed)
	}
	return responses
}

// endsMember says that a member ended with an entry. What it owned is known as of the view right behind that.
func endsMember(out *fsm.Output) bool {
	return slices.ContainsFunc(out.Changes, func(c fsm.Change) bool { return c.Type == fsm.MemberEnded })
}

// publish makes a view everybody's, and only then tells who waits for it. Whoever has the view finds the events that led
// to it.
func (m *machine) publish(v *snapshot.View, outputs []*fsm.Output, feed *Feed) {
	m.events.Add(outputs, v)
	prev := m.view.Swap(v)
	if r := removalIn(v, outputs); r != 0 {
		m.removed(r)
	}
	if feed != nil {
		feed.add(prev.Index, v, outputs)
	}
	for _, out := range outputs {
		m.fsm.Reuse(out) // events and feed have copies, and who proposed looks at the results alone
	}
	m.waiters.wake(v)
}

// StoreConfiguration is told of the servers; it makes the library's snapshots reach over such entries.
func (m *machine) StoreConfiguration(uint64, raft.Configuration) {}

// Snapshot takes the view: a pointer.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	if m.broken {
		return nil, errBroken
	}
	return persister{m.view.Load()}, nil
}

type persister struct{ view *snapshot.View }

// Persist writes the view.
func (p persister) Persist(sink raft.SnapshotSink) error {
	if err := p.view.Encode(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release does nothing: the memory is the garbage collector's.
func (p persister) Release() {}

// Restore replaces the state by that of a snapshot.
func (m *machine) Restore(rc io.ReadCloser) error {
	v, err := viewOf(rc)
	if err != nil {
		return err
	}
	if err := rc.Close(); err != nil {
		return err
	}
	if err := fsm.CheckLevel(v, m.level); err != nil {
		m.broken = true
		m.stop(err)
		return err
	}
	m.fsm = fsm.New(v)
	m.fsm.Level, m.fsm.Observed = m.level, true
	m.broken = false
	m.events.Begin(v)
	m.publish(v, nil, nil) // a feed finds out by the index that follows
	return nil
}

// viewOf decodes a snapshot, unless package storage has done so already.
func viewOf(rc io.ReadCloser) (*snapshot.View, error) {
	inner := rc
	if w, ok := rc.(raft.ReadCloserWrapper); ok {
		inner = w.WrappedReadCloser()
	}
	if d, ok := inner.(storage.View); ok {
		return d.View(), nil
	}
	v, err := snapshot.Decode(rc)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return v, nil
}

var (
	_ raft.BatchingFSM        = (*machine)(nil)
	_ raft.ConfigurationStore = (*machine)(nil)
)

// waiters are calls that wait for a view.
type waiters struct {
	mu   sync.Mutex
	list map[*waiter]struct{}
}

type waiter struct {
	want func(*snapshot.View) bool
	ch   chan struct{}
}

// add makes a waiter whose channel is closed when a view is what it wants.
func (w *waiters) add(want func(*snapshot.View) bool) *waiter {
	x := &waiter{want: want, ch: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[*waiter]struct{}{}
	}
	w.list[x] = struct{}{}
	return x
}

func (w *waiters) remove(x *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.list, x)
}

func (w *waiters) wake(v *snapshot.View) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := range w.list {
		if x.want(v) {
			delete(w.list, x)
			close(x.ch)
		}
	}
}
