package group_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// stock is the library as it comes, on the same network and under the same rules: what it does wrong there shows that
// the tests of our own wrappers can fail.
type stock struct {
	t     *testing.T
	net   *raftnodetest.Network
	rules rules
	nodes []*stockNode
}

type stockNode struct {
	name  string
	raft  *raft.Raft
	trans *stockTransport
	log   *raft.InmemStore
	fsm   *stockFSM
}

type stockFSM struct {
	mu      sync.Mutex
	applied []string
}

func (f *stockFSM) Apply(l *raft.Log) any {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, string(l.Data))
	return nil
}
func (f *stockFSM) Snapshot() (raft.FSMSnapshot, error) { return stockSnapshot{}, nil }
func (f *stockFSM) Restore(r io.ReadCloser) error       { return r.Close() }
func (f *stockFSM) list() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.applied...)
}

type stockSnapshot struct{}

func (stockSnapshot) Persist(s raft.SnapshotSink) error { return s.Close() }
func (stockSnapshot) Release()                          {}

type stockStream struct {
	net.Listener
	host *raftnodetest.Host
}

func (s stockStream) Dial(a raft.ServerAddress, d time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.host.Dial(ctx, string(a))
}

// stockTransport is the library's, under the rules of a test.
type stockTransport struct {
	*raft.NetworkTransport
	from  string
	rules *rules
}

func (t *stockTransport) call(id raft.ServerID, m group.Message, f func() error) error {
	if err := t.rules.pass(t.from, string(id), m, false); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return t.rules.pass(t.from, string(id), m, true)
}

func (t *stockTransport) AppendEntries(id raft.ServerID, a raft.ServerAddress, q *raft.AppendEntriesRequest, r *raft.AppendEntriesResponse) error {
	m := group.Append
	if q.PrevLogEntry == 0 && q.LeaderCommitIndex == 0 && len(q.Entries) == 0 {
		m = group.Heartbeat
	}
	return t.call(id, m, func() error { return t.NetworkTransport.AppendEntries(id, a, q, r) })
}

func (t *stockTransport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported // its fault is another one's test
}

func (t *stockTransport) RequestVote(id raft.ServerID, a raft.ServerAddress, q *raft.RequestVoteRequest, r *raft.RequestVoteResponse) error {
	return t.call(id, group.Vote, func() error { return t.NetworkTransport.RequestVote(id, a, q, r) })
}

func (t *stockTransport) RequestPreVote(id raft.ServerID, a raft.ServerAddress, q *raft.RequestPreVoteRequest, r *raft.RequestPreVoteResponse) error {
	return t.call(id, group.PreVote, func() error { return t.NetworkTransport.RequestPreVote(id, a, q, r) })
}

func (t *stockTransport) TimeoutNow(id raft.ServerID, a raft.ServerAddress, q *raft.TimeoutNowRequest, r *raft.TimeoutNowResponse) error {
	return t.call(id, group.TimeoutNow, func() error { return t.NetworkTransport.TimeoutNow(id, a, q, r) })
}

func newStock(t *testing.T, change func(*raft.Config)) *stock {
	t.Helper()
	s := &stock{t: t, net: raftnodetest.NewNetwork()}
	var first raft.Configuration
	for i := range 3 {
		name := fmt.Sprint("s", i+1)
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(name), Address: raft.ServerAddress(name + ":1")})
	}
	for i := range 3 {
		n := &stockNode{name: string(first.Servers[i].ID), log: raft.NewInmemStore(), fsm: &stockFSM{}}
		host := s.net.Host(n.name)
		l, err := host.Listen(n.name + ":1")
		if err != nil {
			t.Fatal(err)
		}
		n.trans = &stockTransport{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			Stream: stockStream{l, host}, MaxPool: 3, Timeout: 3 * time.Second, Logger: hclog.NewNullLogger(),
		}), n.name, &s.rules}
		c := raft.DefaultConfig()
		c.LocalID, c.Logger = raft.ServerID(n.name), hclog.NewNullLogger()
		change(c)
		snaps := raft.NewInmemSnapshotStore()
		if err := raft.BootstrapCluster(c, n.log, n.log, snaps, n.trans, first); err != nil {
			t.Fatal(err)
		}
		if n.raft, err = raft.NewRaft(c, n.fsm, n.log, n.log, snaps, n.trans); err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
	}
	return s
}

func (s *stock) close() {
	s.rules.clear()
	for _, n := range s.nodes {
		f := n.raft.Shutdown()
		_ = n.trans.Close()
		s.net.Reset(n.name)
		_ = f.Error()
	}
	for _, n := range s.nodes {
		s.net.Reset(n.name)
	}
}

func (s *stock) leader(not *stockNode) *stockNode {
	s.t.Helper()
	for range 60_000 {
		for _, n := range s.nodes {
			if n != not && n.raft.State() == raft.Leader {
				return n
			}
		}
		time.Sleep(time.Millisecond)
	}
	s.t.Fatal("no leader in a minute")
	return nil
}

func (s *stock) others(not ...*stockNode) (out []*stockNode) {
next:
	for _, n := range s.nodes {
		for _, x := range not {
			if n == x {
				continue next
			}
		}
		out = append(out, n)
	}
	return out
}
