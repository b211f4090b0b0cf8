package group

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// Message is one kind of message between servers.
type Message string

// The kinds of messages.
const (
	Heartbeat  Message = "heartbeat"
	Append     Message = "append"
	Vote       Message = "vote"
	PreVote    Message = "prevote"
	Snapshot   Message = "snapshot"
	TimeoutNow Message = "timeoutnow"
)

// Intercept is a test's hand on the messages of a server. It is called before a message goes out, and again, with
// answered set, before the library gets its answer. It may wait; an error takes the message's, or its answer's, place.
type Intercept func(to string, m Message, answered bool) error

// transport is the library's network transport without what makes it unsafe:
//
//   - Heartbeats go through Raft's own goroutine. On the fast path they change term and state under a leader that is
//     about to write, and two logs get different entries at one index and term (hashicorp/raft#695).
//   - There is no pipeline: one refused append deadlocks it, and Shutdown with it (#612).
//   - While a peer's heartbeats fail, entries for it wait here. The library would back off up to 10 s and leave a healed
//     peer behind for as long; this way its first heartbeat opens the gate.
//   - Nothing waits long for what the network lost. TCP sends it again at times that double, up to the message's own
//     timeout; so heartbeats have a shorter one, and when one fails, entries on their way to the peer are given up. For
//     snapshots see install.go.
type transport struct {
	*raft.NetworkTransport
	inbound   *inbound
	consumer  chan raft.RPC
	heart     *raft.NetworkTransport // sends heartbeats, and nothing else
	raft      atomic.Pointer[raft.Raft]
	timing    Timing
	intercept Intercept
	tasks     sync.WaitGroup // messages that are on their way, also those that were given up

	mu    sync.Mutex
	gates map[raft.ServerID]chan struct{} // there while the peer's heartbeats fail; closed by the next that succeeds
	lost  map[raft.ServerID]chan struct{} // closed by the first heartbeat that fails; there while entries are on their way
	quit  chan struct{}
	once  sync.Once
}

func newTransport(stream raft.StreamLayer, timing Timing, intercept Intercept, logger hclog.Logger) *transport {
	in := &inbound{StreamLayer: stream}
	config := raft.NetworkTransportConfig{
		Stream: in, MaxPool: 3, MaxRPCsInFlight: 1, Timeout: timing.Transport, MsgpackUseNewTimeFormat: true, Logger: logger,
	}
	// A heartbeat that takes longer comes too late for the leader's lease. A peer that heals is behind for as long, and
	// for the library's pause of half an election timeout, at most.
	heart := config
	heart.Stream, heart.MaxPool, heart.Timeout = &dialer{StreamLayer: stream, done: make(chan struct{})}, 1, min(timing.Transport, timing.Election)
	t := &transport{
		NetworkTransport: raft.NewNetworkTransportWithConfig(&config), heart: raft.NewNetworkTransportWithConfig(&heart),
		inbound: in, consumer: make(chan raft.RPC), timing: timing, intercept: intercept,
		gates: map[raft.ServerID]chan struct{}{}, lost: map[raft.ServerID]chan struct{}{}, quit: make(chan struct{}),
	}
	t.TimeoutScale = snapshotScale
	t.tasks.Go(t.consume)
	return t
}

// Consumer is where Raft gets its messages from.
func (t *transport) Consumer() <-chan raft.RPC { return t.consumer }

// dialer is a stream layer that accepts nothing, and leaves the one below open.
type dialer struct {
	raft.StreamLayer
	once sync.Once
	done chan struct{}
}

// Accept waits for Close.
func (d *dialer) Accept() (net.Conn, error) {
	<-d.done
	return nil, net.ErrClosed
}

// Close ends Accept.
func (d *dialer) Close() error {
	d.once.Do(func() { close(d.done) })
	return nil
}

// SetHeartbeatHandler does nothing: see transport.
func (t *transport) SetHeartbeatHandler(func(raft.RPC)) {}

// AppendEntriesPipeline is not supported: see transport.
func (t *transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// isHeartbeat tells as the library itself does (net_transport.go, handleCommand).
func isHeartbeat(r *raft.AppendEntriesRequest) bool {
	return r.PrevLogEntry == 0 && r.PrevLogTerm == 0 && len(r.Entries) == 0 && r.LeaderCommitIndex == 0
}

// AppendEntries sends entries, or a heartbeat.
func (t *transport) AppendEntries(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if isHeartbeat(req) {
		err := t.call(id, Heartbeat, func() error { return t.heart.AppendEntries(id, to, req, resp) })
		t.mark(id, err == nil)
		return err
	}
	if err := t.await(id, req.Term); err != nil {
		return err
	}
	return t.call(id, Append, func() error { return t.append(id, to, req, resp) })
}

// append sends entries and waits for the answer, or until a heartbeat to the peer fails. Entries that were given up may
// still arrive, which is no more than what a network may do to them: the peer has them then, and takes them once.
func (t *transport) append(id raft.ServerID, to raft.ServerAddress, req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	lost, err := t.untilLost(id)
	if err != nil {
		return err
	}
	own, answer, done := *req, raft.AppendEntriesResponse{}, make(chan error, 1) // the library uses its own again
	t.tasks.Go(func() { done <- t.NetworkTransport.AppendEntries(id, to, &own, &answer) })
	select {
	case err := <-done:
		*resp = answer
		return err
	case <-lost:
		return errLost
	}
}

var errLost = errors.New("given up: the peer's heartbeats fail")

// untilLost returns a channel that is closed when a heartbeat to the peer fails. It fails while they do.
func (t *transport) untilLost(id raft.ServerID) (<-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gates[id] != nil {
		return nil, errLost
	}
	if t.lost[id] == nil {
		t.lost[id] = make(chan struct{})
	}
	return t.lost[id], nil
}

// untilFailing returns a channel that is closed when heartbeats to the peer fail.
func (t *transport) untilFailing(id raft.ServerID) <-chan struct{} {
	lost, err := t.untilLost(id)
	if err != nil {
		return closed
	}
	return lost
}

// untilBack returns a channel that is closed when heartbeats to the peer do not fail.
func (t *transport) untilBack(id raft.ServerID) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if gate := t.gates[id]; gate != nil {
		return gate
	}
	return closed
}

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// mark notes whether a peer's heartbeat came back.
func (t *transport) mark(id raft.ServerID, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gate := t.gates[id]
	switch {
	case ok && gate != nil:
		close(gate)
		delete(t.gates, id)
	case !ok && gate == nil:
		t.gates[id] = make(chan struct{})
	}
	if lost := t.lost[id]; !ok && lost != nil {
		close(lost)
		delete(t.lost, id)
	}
}

var errDeposed = errors.New("no longer leader of this term, or the peer was removed")

// isServer says whether the latest configuration has the server.
func isServer(r *raft.Raft, id raft.ServerID) bool {
	f := r.GetConfiguration() // from memory: its future is done
	for _, s := range f.Configuration().Servers {
		if s.ID == id {
			return true
		}
	}
	return false
}

// lookEvery is how often what waits for a peer looks whether it is to wait at all. Not longer: replication to the peer, and with it its
// heartbeat, ends only when the call returns.
const lookEvery = 50 * time.Millisecond

// deposed says that this server does not lead in a term any more, or that the peer was removed.
func (t *transport) deposed(id raft.ServerID, term uint64) bool {
	r := t.raft.Load()
	return r == nil || r.State() != raft.Leader || r.CurrentTerm() != term || !isServer(r, id)
}

// await holds entries for a peer back while its heartbeats fail.
func (t *transport) await(id raft.ServerID, term uint64) error {
	for {
		t.mu.Lock()
		gate := t.gates[id]
		t.mu.Unlock()
		if gate == nil {
			return nil
		}
		select {
		case <-gate:
		case <-t.quit:
			return raft.ErrTransportShutdown
		case <-time.After(lookEvery):
			if t.deposed(id, term) {
				return errDeposed
			}
		}
	}
}

// call makes one call under the eyes of a test.
func (t *transport) call(id raft.ServerID, m Message, f func() error) error {
	if t.intercept == nil {
		return f()
	}
	if err := t.intercept(string(id), m, false); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return t.intercept(string(id), m, true)
}

// RequestVote asks for a vote.
func (t *transport) RequestVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return t.call(id, Vote, func() error { return t.NetworkTransport.RequestVote(id, to, req, resp) })
}

// RequestPreVote asks whether a vote would be given.
func (t *transport) RequestPreVote(id raft.ServerID, to raft.ServerAddress, req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return t.call(id, PreVote, func() error { return t.NetworkTransport.RequestPreVote(id, to, req, resp) })
}

// InstallSnapshot sends a snapshot.
func (t *transport) InstallSnapshot(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	return t.call(id, Snapshot, func() error { return t.install(id, to, req, resp, data) })
}

// TimeoutNow asks a server to stand for election.
func (t *transport) TimeoutNow(id raft.ServerID, to raft.ServerAddress, req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse) error {
	return t.call(id, TimeoutNow, func() error { return t.NetworkTransport.TimeoutNow(id, to, req, resp) })
}

// Close closes both transports.
func (t *transport) Close() error { return errors.Join(t.NetworkTransport.Close(), t.heart.Close()) }

// stop lets everything that waits here go.
func (t *transport) stop() { t.once.Do(func() { close(t.quit) }) }

var (
	_ raft.Transport   = (*transport)(nil)
	_ raft.WithPreVote = (*transport)(nil)
	_ raft.WithClose   = (*transport)(nil)
)
