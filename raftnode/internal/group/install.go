package group

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// A snapshot on its way when the network is cut, or the sender dies, must not hold up what comes after: the receiver's Raft
// goroutine reads it from the connection, with no deadline, and answers neither a heartbeat nor a candidate meanwhile; the
// sender waits as long as TCP likes, and sends the peer nothing else. So
//
//   - the receiver breaks the connection when nothing of the snapshot came for a while (inbound), and
//   - the sender gives it up when a heartbeat came back after one that failed (outbound): Raft's goroutine does one thing
//     at a time, so the peer is not reading the snapshot any more. It does so too when nothing more of it goes out while
//     heartbeats come back, and when it does not lead any more or the peer was removed.
//
// The library has a deadline for the whole of it, Timing.Transport for each TimeoutScale bytes. That is to be none: a snapshot
// that it ends is sent again from its beginning, and behind a slow link that would go on forever.

// snapshotScale is TimeoutScale, in bytes: no link is as slow as 8 KiB in the time of Timing.Transport.
const snapshotScale = 8 << 10

// inbound is a stream layer that knows the connections that it accepted.
type inbound struct {
	raft.StreamLayer
	mu    sync.Mutex
	conns map[*inboundConn]struct{}
}

// inboundConn is an accepted connection that notes when something came.
type inboundConn struct {
	net.Conn
	layer *inbound
	heard atomic.Int64 // Unix time in nanoseconds
}

// Accept waits for a connection.
func (l *inbound) Accept() (net.Conn, error) {
	raw, err := l.StreamLayer.Accept()
	if err != nil {
		return nil, err
	}
	c := &inboundConn{Conn: raw, layer: l}
	c.heard.Store(time.Now().UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		l.conns = map[*inboundConn]struct{}{}
	}
	l.conns[c] = struct{}{}
	return c, nil
}

// Read reads.
func (c *inboundConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Close closes the connection.
func (c *inboundConn) Close() error {
	c.layer.mu.Lock()
	delete(c.layer.conns, c)
	c.layer.mu.Unlock()
	return c.Conn.Close()
}

// breakSilent closes the connections on which something came after begin, and nothing after end. Those that were idle
// before stay, and those on which a message waits for its answer.
func (l *inbound) breakSilent(begin, end time.Time) {
	l.mu.Lock()
	var silent []net.Conn
	for c := range l.conns {
		if at := c.heard.Load(); at >= begin.UnixNano() && at <= end.UnixNano() {
			silent = append(silent, c.Conn)
		}
	}
	l.mu.Unlock()
	for _, c := range silent {
		_ = c.Close()
	}
}

// inboundSnapshot reads a snapshot that is sent to this server.
type inboundSnapshot struct {
	io.Reader
	layer    *inbound
	patience time.Duration
	begin    time.Time
}

// Read reads, and breaks the connection when nothing comes for as long as patience.
func (s *inboundSnapshot) Read(b []byte) (int, error) {
	stalled := time.AfterFunc(s.patience, func() {
		now := time.Now()
		s.layer.breakSilent(s.begin.Add(-s.patience), now.Add(-s.patience/2))
	})
	defer stalled.Stop()
	return s.Reader.Read(b)
}

// consume hands what comes in on to Raft, with an eye on snapshots.
func (t *transport) consume() {
	for {
		var rpc raft.RPC
		select {
		case rpc = <-t.NetworkTransport.Consumer():
		case <-t.quit:
			return
		}
		if rpc.Reader != nil {
			rpc.Reader = &inboundSnapshot{rpc.Reader, t.inbound, t.timing.Election, time.Now()}
		}
		select {
		case t.consumer <- rpc:
		case <-t.quit:
			return
		}
	}
}

// outboundSnapshot is a snapshot that is sent from here, until it is given up.
type outboundSnapshot struct {
	mu    sync.Mutex
	data  io.Reader
	read  time.Time // for the last time
	ended bool
}

// Read reads.
func (s *outboundSnapshot) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, errLost
	}
	s.read = time.Now()
	return s.data.Read(b)
}

// stuck says that nothing more of it went out for a time.
func (s *outboundSnapshot) stuck(patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.read) >= patience
}

// end sees to it that the data is not read any more: the library closes it.
func (s *outboundSnapshot) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// install sends a snapshot and waits for the answer, or until it is known to be lost.
func (t *transport) install(id raft.ServerID, to raft.ServerAddress, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	own, answer, done := *req, raft.InstallSnapshotResponse{}, make(chan error, 1) // the library uses its own again
	source := &outboundSnapshot{data: data, read: time.Now()}
	defer source.end()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	t.tasks.Go(func() { done <- t.NetworkTransport.InstallSnapshot(id, to, &own, &answer, source) })
	failing, moment := t.untilFailing(id), (<-chan time.Time)(nil)
	var back <-chan struct{}
	for {
		select {
		case err := <-done:
			*resp = answer
			return err
		case <-failing:
			failing, back = nil, t.untilBack(id)
		case <-back:
			// The answer may be on its way: it was sent before the heartbeat's, on another connection. Longer would be felt: the
			// peer is found 1.5 elections after it has healed at the latest, and is to have everything after two.
			back, moment = nil, time.After(t.timing.Election/8)
		case <-moment:
			return errLost
		case <-t.quit:
			return raft.ErrTransportShutdown
		case <-look.C:
			if t.deposed(id, req.Term) {
				return errDeposed
			}
			if failing != nil && source.stuck(t.timing.Transport) {
				return errLost
			}
		}
	}
}
