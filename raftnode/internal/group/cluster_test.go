package group_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

// cluster is some groups in one bubble of virtual time, on a network in memory.
type cluster struct {
	t       testing.TB
	net     *raftnodetest.Network
	timing  group.Timing
	nodes   []*node
	change  func(*group.Config)
	rules   rules
	address map[string]string
}

// node is one server: what survives a restart, and what runs.
type node struct {
	c     *cluster
	name  string
	dir   string
	disk  *raftnodetest.Disk
	began bool // before

	host    *testHost
	port    *port.Port
	data    *storage.Dir
	stores  *storage.Stores
	group   *group.Group
	mu      sync.Mutex
	stopped []error
	reopen  []error
	tenures []uint64
}

type option func(*cluster)

func withConfig(f func(*group.Config)) option {
	return func(c *cluster) { c.change = f }
}

func newCluster(t testing.TB, n int, options ...option) *cluster {
	t.Helper()
	c := &cluster{t: t, net: raftnodetest.NewNetwork(), timing: group.LAN, change: func(*group.Config) {}, address: map[string]string{}}
	for _, o := range options {
		o(c)
	}
	for i := range n {
		name := fmt.Sprint("s", i+1)
		c.address[name] = name + ":7421"
		c.nodes = append(c.nodes, &node{c: c, name: name, dir: t.TempDir(), disk: raftnodetest.NewDisk()})
	}
	for _, n := range c.nodes {
		n.start()
	}
	return c
}

func (c *cluster) names() (out []string) {
	for _, n := range c.nodes {
		out = append(out, n.name)
	}
	return out
}

func (n *node) start() {
	t := n.c.t
	t.Helper()
	var err error
	n.host = &testHost{n}
	if n.port, err = port.Open(n.c.net.Host(hostOf(n.c.address[n.name])), n.c.address[n.name], n.host); err != nil {
		t.Fatal(err)
	}
	n.port.Start()
	if n.data, err = storage.OpenDir(n.dir); err != nil {
		t.Fatal(err)
	}
	guard := storage.NewGuard(n.c.timing.Stall, n.stop)
	if n.stores, err = n.data.OpenStores(storage.Identity{Stores: n.began}, guard, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	n.began = true // from then on its vote is kept
	if err := n.stores.Log.Close(); err != nil {
		t.Fatal(err)
	}
	n.stores.Log = storage.NewLog(n.disk, func() error { return nil }, "memory", guard)
	config := group.Config{
		Server: n.name, Cluster: "C", Seed: 1, Founders: n.c.names(), Timing: n.c.timing, MemberTTL: 5 * time.Second,
		Stores: n.stores, Stream: n.port.Raft(), CloseStreams: n.port.CloseStreams,
		Now: func() lease.Instant { return lease.Instant(time.Since(epoch)) }, OnTenure: n.onTenure, Stop: n.stop, Reopen: n.onReopen,
		Intercept: n.intercept, Logger: hclog.NewNullLogger(),
	}
	n.c.change(&config)
	if n.group, err = group.Open(config); err != nil {
		t.Fatal(err)
	}
}

var epoch = time.Unix(0, 0)

func hostOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}

// close shuts a server down in order; kill breaks its connections first, as the end of its process does.
func (n *node) close() {
	if n.group == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.group.Close(ctx); err != nil {
		n.c.t.Errorf("%s: close: %v", n.name, err)
	}
	if err := errors.Join(n.port.Close(), n.stores.Close(), n.data.Close()); err != nil {
		n.c.t.Errorf("%s: close: %v", n.name, err)
	}
	n.group = nil
}

func (n *node) kill() {
	n.c.net.Reset(hostOf(n.c.address[n.name]))
	n.close()
}

func (c *cluster) close() {
	for _, a := range c.nodes {
		n := hostOf(c.address[a.name])
		for _, b := range c.nodes {
			c.net.Cut(n, hostOf(c.address[b.name]), false)
		}
	}
	c.rules.clear()
	for _, n := range c.nodes {
		n.close()
	}
}

func (n *node) stop(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stopped = append(n.stopped, err)
}

func (n *node) onReopen(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.reopen = append(n.reopen, err)
}

func (n *node) onTenure(t *group.Tenure, _ *group.Feed) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tenures = append(n.tenures, t.Term)
}

// stops returns what the server asked to be stopped or opened again for.
func (n *node) stops() (stopped, reopen []error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]error(nil), n.stopped...), append([]error(nil), n.reopen...)
}

type testHost struct{ n *node }

func (h *testHost) Self() port.Greeting {
	return port.Greeting{Cluster: "C", Server: h.n.name, Incarnation: h.n.name, Address: h.n.c.address[h.n.name]}
}
func (h *testHost) Greet(port.Kind, *port.Greeting) port.Greeting { return h.Self() }
func (h *testHost) Resolve(server string) (string, error)         { return h.n.c.address[server], nil }
func (h *testHost) Refused(*port.RefusedError)                    {}
func (h *testHost) Garbage(net.Addr, error)                       {}

// rules hold back or drop messages between servers, by their kind.
type rules struct {
	mu      sync.Mutex
	list    []*rule
	changed chan struct{}
	sent    map[string]int // messages to each server

	snapshots atomic.Int64 // that were begun to be sent
}

type rule struct {
	from, to string // empty: any
	kinds    []group.Message
	answers  bool // the answer, not the message
	drop     bool // an error at once; else it waits while the rule stands
}

func (r *rules) add(x *rule) *rule {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, x)
	return x
}

func (r *rules) changedLocked() chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

func (r *rules) remove(x *rule) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.list {
		if r.list[i] == x {
			r.list = append(r.list[:i], r.list[i+1:]...)
			break
		}
	}
	close(r.changedLocked())
	r.changed = nil
}

func (r *rules) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = nil
	close(r.changedLocked())
	r.changed = nil
}

func (r *rules) match(from, to string, m group.Message, answered bool) (*rule, chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.list {
		if x.from != "" && x.from != from || x.to != "" && x.to != to || x.answers != answered {
			continue
		}
		if x.kinds == nil {
			return x, r.changedLocked()
		}
		for _, k := range x.kinds {
			if k == m {
				return x, r.changedLocked()
			}
		}
	}
	return nil, nil
}

var errDropped = errors.New("dropped")

func (n *node) intercept(to string, m group.Message, answered bool) error {
	return n.c.rules.pass(n.name, to, m, answered)
}

func (r *rules) count(to string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent == nil {
		r.sent = map[string]int{}
	}
	r.sent[to]++
}

// sentTo is how many messages to a server there were.
func (r *rules) sentTo(server string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent[server]
}

func (r *rules) pass(from, to string, m group.Message, answered bool) error {
	if m == group.Snapshot && !answered {
		r.snapshots.Add(1)
	}
	if !answered {
		r.count(to)
	}
	for {
		x, changed := r.match(from, to, m, answered)
		if x == nil {
			return nil
		}
		if x.drop {
			return errDropped
		}
		<-changed
	}
}

// leader waits for a server with a tenure, other than the given one.
func (c *cluster) leader(other *node) *node {
	c.t.Helper()
	for range 60_000 {
		for _, n := range c.nodes {
			if n != other && n.group != nil && n.group.Tenure() != nil {
				return n
			}
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Fatal("no leader in a minute")
	return nil
}

// others are the servers that run, but for the given ones.
func (c *cluster) others(not ...*node) (out []*node) {
next:
	for _, n := range c.nodes {
		for _, x := range not {
			if n == x {
				continue next
			}
		}
		if n.group != nil {
			out = append(out, n)
		}
	}
	return out
}

func encode(t testing.TB, b fsm.Body) []byte {
	t.Helper()
	data, err := fsm.Encode(fsm.Command{Body: b})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func place(key string) fsm.Body {
	return &fsm.Place{Identity: placement.Identity{Kind: "cart", Key: key}}
}

func join(name string) fsm.Body {
	return &fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: "h:1", Kinds: []string{"cart"}}}
}

// propose proposes on a server and gives it ten seconds.
func (n *node) propose(b fsm.Body) (fsm.Result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return n.group.Propose(ctx, encode(n.c.t, b))
}

func (n *node) mustPropose(b fsm.Body) fsm.Result {
	n.c.t.Helper()
	r, err := n.propose(b)
	if err != nil {
		n.c.t.Fatalf("%s: propose %T: %v", n.name, b, err)
	}
	return r
}

// agree waits until all servers that run have the same view, and compares their digests.
func (c *cluster) agree() *snapshot.View {
	c.t.Helper()
	for range 60_000 {
		nodes := c.others()
		views := make([]*snapshot.View, len(nodes)) // once each: time goes on while they are looked at
		same := true
		for i, n := range nodes {
			views[i] = n.group.View()
			same = same && views[i].Index == views[0].Index
		}
		if same {
			for i, v := range views {
				if v.Digest() != views[0].Digest() || v.RecomputeDigest() != views[0].Digest() {
					c.t.Fatalf("at index %d %s has digest %v, %s has %v", v.Index, nodes[i].name, v.Digest(), nodes[0].name, views[0].Digest())
				}
			}
			return views[0]
		}
		time.Sleep(time.Millisecond)
	}
	for _, n := range c.others() {
		c.t.Logf("%s is at %d", n.name, n.group.View().Index)
	}
	c.t.Fatal("the servers do not come to one index within a minute")
	return nil
}

// await waits until a server has an index.
func (c *cluster) await(n *node, index uint64) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := n.group.AwaitIndex(ctx, index); err != nil {
		c.t.Fatalf("%s: index %d: %v", n.name, index, err)
	}
}

// isolate cuts a server off from all others, or heals it.
func (c *cluster) isolate(n *node, cut bool) {
	var hosts []string
	for _, o := range c.nodes {
		hosts = append(hosts, hostOf(c.address[o.name]))
	}
	c.net.Isolate(hostOf(c.address[n.name]), cut, hosts...)
}

var _ raft.LogStore = (*raftnodetest.Disk)(nil)
