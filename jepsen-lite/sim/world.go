package sim

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// world is a run: the cluster, those who use it, and what is noted of it.
type world struct {
	Plan
	t       *testing.T
	cluster *raftnodetest.Cluster
	links   *links
	journal *journal
	guard   *guard
	healed  atomic.Bool // all faults are over
	crew    *crew
	streams atomic.Uint64

	mu      sync.Mutex
	late    *rand.Rand
	drawn   *rand.Rand
	held    map[string]time.Time     // when a host's messages go on
	slow    map[string]time.Duration // how much longer it takes from and to a host
	lag     map[string]time.Duration // and to one alone
	disks   map[string]*atomic.Int64
	jumped  map[string]*atomic.Int64 // how far a host's clock has jumped ahead
	members map[string]*member
	roster  roster
	up      map[string]*raftnode.Node              // by the server's name
	acting  map[placement.Identity]placement.Epoch // of the newest activation that acts, by identity
	found   []string                               // what breaks a promise
}

// member is a member that comes back.
type member struct {
	client *lookupclient.Client
	*lookupclient.Member
}

// violation notes that a promise is broken.
func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	what := fmt.Sprintf("%v: ", time.Duration(w.journal.now())) + fmt.Sprintf(format, args...)
	w.t.Logf("seed %d: %s", w.Seed, what) // a run that is so broken that it makes no end has said it
	w.found = append(w.found, what)
}

// random is the source of one part of a run.
func (p *Plan) random(part string) *rand.Rand {
	n := uint64(2)
	for _, c := range part {
		n = n*131 + uint64(c)
	}
	return rand.New(rand.NewPCG(p.Seed, n))
}

func newWorld(t *testing.T, p Plan) *world {
	w := &world{
		Plan: p, t: t, journal: newJournal(), guard: &guard{}, late: p.random("network"), drawn: p.random("faults"),
		held: map[string]time.Time{}, slow: map[string]time.Duration{}, lag: map[string]time.Duration{}, disks: map[string]*atomic.Int64{}, jumped: map[string]*atomic.Int64{}, members: map[string]*member{},
		up: map[string]*raftnode.Node{}, acting: map[placement.Identity]placement.Epoch{},
		roster: roster{leaving: map[string]bool{}, gone: map[string]bool{}},
	}
	for _, s := range p.hosts("s", p.Servers+p.Spares) {
		w.disks[s] = &atomic.Int64{}
	}
	for _, h := range p.all() {
		w.jumped[h] = &atomic.Int64{}
	}
	w.cluster = raftnodetest.NewCluster(t, 0, w.config)
	w.links = &links{network: w.cluster.Network, cuts: map[[2]string]int{}}
	w.cluster.Network.Late = w.takes
	for _, s := range p.hosts("s", p.Servers+p.Spares) {
		w.cluster.Add(s)
	}
	for _, s := range w.cluster.Servers[:p.Servers] {
		w.start(s)
	}
	return w
}

// start starts a server. One that was taken out meanwhile may refuse.
func (w *world) start(s *raftnodetest.Server) {
	if !w.leaves(s.Name) {
		s.Start()
	} else if err := s.TryStart(); err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.up[s.Name] = s.Node
}

// kill ends a server as the end of its process would, and reports whether it ran.
func (w *world) kill(s *raftnodetest.Server) bool {
	w.mu.Lock()
	_, ran := w.up[s.Name]
	delete(w.up, s.Name)
	w.mu.Unlock()
	if ran {
		w.links.isolate(s.Name, w.all(), true)
		w.cluster.Network.Reset(s.Name)
		s.Stop()
		w.links.isolate(s.Name, w.all(), false)
	}
	return ran
}

// server is a server by its name.
func (w *world) server(name string) *raftnodetest.Server {
	i := slices.IndexFunc(w.cluster.Servers, func(s *raftnodetest.Server) bool { return s.Name == name })
	return w.cluster.Servers[i]
}

// config gives a server its clock and its disk.
func (w *world) config(c *raftnode.Config) {
	disk, clock := w.disks[c.Name], w.clock(c.Name, c.Name)
	if c.Name == w.Patient {
		c.Timing = "wan"
	}
	// A server that is added joins those that there are.
	first := w.hosts("s", w.Servers)
	if c.Join = nil; !slices.Contains(first, c.Name) {
		c.Expect, first = 0, w.servers()
	} else {
		c.Expect = w.Servers
	}
	for _, s := range first {
		c.Join = append(c.Join, s+":7421")
	}
	c.ReadLease = w.ReadLease
	c.Seams.SnapshotEntries = w.SnapshotEntries
	c.Seams.Now = func() lease.Instant { return lease.Instant(clock()) }
	c.Seams.Write = func(string) error {
		time.Sleep(time.Duration(disk.Load()))
		return nil
	}
}

// clock is the clock of somebody on a host, at the rate of that name, or of the host when the name has none. It counts from 1970 on, so
// that two clocks of different rates are years apart.
func (w *world) clock(name, host string) func() time.Duration {
	rate, ok := w.Rates[name]
	if !ok {
		rate = w.Rates[host]
	}
	jumped := w.jumped[host]
	return func() time.Duration {
		return time.Duration(raftnodetest.Now())/100*time.Duration(rate) + time.Duration(jumped.Load())
	}
}

// takes is how long a message takes; see raftnodetest.Network.Late.
func (w *world) takes(from, to string, bytes int) time.Duration {
	w.journal.passed(from, to, bytes)
	w.mu.Lock()
	defer w.mu.Unlock()
	d := time.Duration(w.late.Int64N(int64(w.Latency)))
	if w.late.IntN(20) == 0 {
		d *= time.Duration(w.Tail)
	}
	if from != to {
		d += w.slow[from] + w.slow[to] + w.lag[to]
	}
	for _, h := range []string{from, to} {
		d = max(d, time.Until(w.held[h]))
	}
	return d
}

// client opens a client on a host, of all servers, or of those given alone.
func (w *world) client(host string, servers ...string) *lookupclient.Client {
	only := servers != nil
	if !only {
		servers = w.hosts("s", w.Servers)
	}
	var addresses []string
	for _, s := range servers {
		addresses = append(addresses, s+":7420")
	}
	c, err := lookupclient.Open(lookupclient.Config{Servers: addresses, ServersOnly: only, Timeout: 10 * time.Second, Dial: w.cluster.Network.Host(host).Dial})
	if err != nil {
		panic(err) // the addresses are right
	}
	return c
}

// join has a member join, as long as that takes.
func (w *world) join(name string) *member {
	m := &member{client: w.client(name)}
	config := lookupclient.MemberConfig{
		Name: placement.MemberID(name), Address: name + ":1", Kinds: map[string]lookupclient.Kind{},
		Now: w.clock(name, name),
	}
	for _, kind := range kinds {
		config.Kinds[kind] = lookupclient.Kind{Run: func(a *lookupclient.Activation) { w.act(name, a) }}
	}
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		x, err := m.client.Join(ctx, config)
		cancel()
		if err == nil {
			m.Member = x
			return m
		}
		time.Sleep(time.Second)
	}
}

// kinds are what the members host. The second is settled as soon as it is placed, and nobody activates it.
var kinds = [...]string{"cart", "note"}

// setKinds sets what kinds are, as long as that takes.
func (w *world) setKinds() {
	client := w.client("operator")
	defer func() { _ = client.Close() }()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		_, err := apiv1.NewKindsClient(client.Conn()).SetKind(ctx, &apiv1.SetKindRequest{Name: kinds[1], Settle: "on-place"})
		cancel()
		if err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// act is the life of an activation: it believes, and acts on its belief. Told to stop it takes its time, as one does who has to save
// what it has: it goes on meanwhile, as long as its lease lasts.
func (w *world) act(name string, a *lookupclient.Activation) {
	over := w.believes(history.Hold{Identity: a.Identity.String(), Member: name, Epoch: uint64(a.Epoch)})
	w.acts(a, true)
	defer func() {
		w.acts(a, false)
		over(a.Context())
	}()
	write := func() { w.guard.write(w, a.Identity.String(), name, uint64(a.Epoch)) }
	for a.Context().Err() == nil {
		write()
		select {
		case <-time.After(300 * time.Millisecond):
		case <-a.Context().Done():
		}
	}
	for range w.below(10) {
		time.Sleep(20 * time.Millisecond)
		if a.LeaseLeft() <= 0 {
			return
		}
		write()
	}
}

// acts notes that an activation begins, or that it has ended.
func (w *world) acts(a *lookupclient.Activation, begins bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case begins:
		w.acting[a.Identity] = a.Epoch
	case w.acting[a.Identity] == a.Epoch:
		delete(w.acting, a.Identity)
	}
}

// crash ends a member as the end of its process would, and reports whether it ran.
func (w *world) crash(name string) bool {
	w.mu.Lock()
	m := w.members[name]
	delete(w.members, name)
	w.mu.Unlock()
	if m == nil {
		return false
	}
	w.links.isolate(name, w.all(), true)
	w.cluster.Network.Break(name)
	m.Close()
	_ = m.client.Close()
	w.links.isolate(name, w.all(), false)
	return true
}

// revive has a member join again.
func (w *world) revive(name string) {
	m := w.join(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[name] = m
}

// close ends everything.
func (w *world) close() {
	w.mu.Lock()
	members := w.members
	w.members = nil
	w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		members[name].Close()
		_ = members[name].client.Close()
	}
	w.cluster.Close()
}

// logs are the logs of the servers, which have ended.
func (w *world) logs() (logs map[string][]replay.Entry, err error) {
	logs = map[string][]replay.Entry{}
	for _, s := range w.servers() {
		if logs[s], err = replay.FromDataDir(w.server(s).Dir); err != nil {
			return nil, fmt.Errorf("the log of %s: %w", s, err)
		}
	}
	return logs, nil
}

// leads is the name of a server that leads, empty for none.
func (w *world) leads() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.serversLocked() {
		if n := w.up[s]; n != nil && n.Leads() {
			return s
		}
	}
	return ""
}

// name is the host that a fault is about.
func (w *world) name(host string) string {
	leader := cmp.Or(w.leads(), "s1")
	switch {
	case host == leaderNow, host == impatientNow && leader != w.Patient:
		return leader
	case host == followerNow, host == impatientNow, w.isGone(host):
		others := slices.DeleteFunc(w.servers(), func(s string) bool { return s == leader })
		return others[w.below(len(others))]
	}
	return host
}

// below draws a number for a fault.
func (w *world) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.drawn.IntN(n)
}
