package checktest

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Config says what is made.
type Config struct {
	Seed uint64
	// Ops is about how many operations there are. Default 500.
	Ops int
	// Clients is how many ask at once. Default 4.
	Clients int
	// Identities is how many there are to be asked about; each is asked about for a while. Default Ops/100, at least 3.
	Identities int
	// Unknown is how many of a hundred changes get no answer.
	Unknown int
	// Kills is how many members are killed, one after the other.
	Kills int
}

// World is what was made: a history, and the log behind it.
type World struct {
	Events []history.Event
	Log    []replay.Entry
}

// moment is something to be done at a time.
type moment struct {
	at int64
	n  int // the order of making, so that there is one order
	do func()
}

type moments []moment

func (m moments) Len() int           { return len(m) }
func (m moments) Less(i, j int) bool { return cmp.Or(cmp.Compare(m[i].at, m[j].at), m[i].n-m[j].n) < 0 }
func (m moments) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *moments) Push(x any)        { *m = append(*m, x.(moment)) }
func (m *moments) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// server is what a server shows.
type server struct {
	name string
	view *snapshot.View
}

// world is a cluster in the making of its history.
type world struct {
	Config
	*World
	rand    *rand.Rand
	now     int64
	todo    moments
	made    int
	machine *fsm.Machine
	view    *snapshot.View // the leader's
	index   uint64
	servers []*server
	members []*member
	waiting []waiter // for a view
	calls   int      // operations that were begun
	op      uint64
	session map[string]placement.SessionID
	streams []*stream
	final   bool
}

// waiter is whom a new view may concern.
type waiter struct {
	want func(*snapshot.View) bool
	then func()
}

const (
	us = int64(time.Microsecond)
	ms = int64(time.Millisecond)
	// term is that of the one tenure.
	term = 1
)

// Make makes a history.
func Make(c Config) *World {
	c.Ops, c.Clients = cmp.Or(c.Ops, 500), cmp.Or(c.Clients, 4)
	c.Identities = cmp.Or(c.Identities, max(3, c.Ops/100))
	w := &world{
		Config: c, World: &World{}, rand: rand.New(rand.NewPCG(c.Seed, 1)), machine: fsm.New(snapshot.Empty()), session: map[string]placement.SessionID{},
	}
	w.machine.Observed = true
	for _, name := range []string{"s1", "s2", "s3"} {
		w.servers = append(w.servers, &server{name: name, view: snapshot.Empty()})
	}
	w.begin()
	for len(w.todo) > 0 {
		m := heap.Pop(&w.todo).(moment)
		w.now = m.at
		m.do()
	}
	w.end()
	w.fill()
	slices.SortStableFunc(w.Events, func(a, b history.Event) int { return cmp.Compare(a.At, b.At) })
	return w.World
}

// in has something done after a while.
func (w *world) in(after int64, do func()) {
	w.made++
	heap.Push(&w.todo, moment{w.now + max(1, after), w.made, do})
}

// soon is a random time around so much.
func (w *world) soon(about int64) int64 { return about/2 + w.rand.Int64N(about) }

func (w *world) record(e history.Event) {
	e.At = w.now
	w.Events = append(w.Events, e)
}

func (w *world) begin() {
	w.record(history.Event{Run: &history.Run{
		Format: history.Format, Scenario: "checktest", Seed: w.Seed, Tier: 1, Servers: []string{"s1", "s2", "s3"}, Members: []string{"m1", "m2", "m3"},
		Workload: []string{"lookup", "activation", "lock", "watch", "export", "restore", "block"},
		Bounds:   history.Bounds{Progress: 10e9, Gap: 5e9, Goroutines: 10, Descriptors: 5},
	}})
	w.usage(false)
	w.record(history.Event{Phase: &history.Phase{Name: history.PhaseSteady}})
	w.entry(fsm.EncodeStart(fsm.Start{Server: "s1", ReadLease: uint64(time.Second), MemberTTL: uint64(time.Second), ClusterID: "checktest", Seed: 7}))
	for i := range 3 {
		w.join(fmt.Sprintf("m%d", i+1))
	}
	for i := range w.Clients {
		c := &client{world: w, name: fmt.Sprintf("c%d", i+1)}
		r := w.commit(&fsm.OpenSession{Session: placement.Session{TTL: time.Minute, Holder: c.name}}, snapshot.RequestID{})
		w.session[c.name] = r.Session
		w.in(w.soon(ms), c.next)
	}
	w.watch("", "")
	w.watch("cart", "1")
	w.in(ms, w.pulse)
	for i := range w.Kills {
		lasts := int64(w.Ops) * 300 * us / int64(w.Clients) // about
		w.in(lasts*int64(i+1)/int64(w.Kills+1)+w.soon(ms), func() { w.kill(i % len(w.members)) })
	}
}

// entry appends an entry to the log and applies it.
func (w *world) entry(data []byte) *fsm.Output {
	w.index++
	w.Log = append(w.Log, replay.Entry{Index: w.index, Term: term, Command: data})
	out, err := w.machine.Apply(w.index, term, data)
	if err != nil {
		panic(fmt.Sprintf("checktest: apply: %v", err))
	}
	w.view = w.machine.Publish()
	w.servers[0].view = w.view
	if w.index%16 == 0 {
		w.digest(w.servers[0], false)
	}
	// Others may wait for what is so from now on. They are told in a moment of their own.
	var still []waiter
	for _, x := range w.waiting {
		if x.want(w.view) {
			w.in(w.soon(20*us), x.then)
		} else {
			still = append(still, x)
		}
	}
	w.waiting = still
	return out
}

// barrier is the index up to which every server shows the removals.
func (w *world) barrier() uint64 {
	b := w.index
	for _, s := range w.servers {
		b = min(b, s.view.Index)
	}
	return b
}

// commit has a command carried out.
func (w *world) commit(body fsm.Body, request snapshot.RequestID) fsm.Result {
	command, err := fsm.Encode(fsm.Command{Request: request, Body: body})
	if err != nil {
		panic(fmt.Sprintf("checktest: %v", err))
	}
	out := w.entry(fsm.AppendEntry(nil, fsm.Batch{Term: term, Barrier: w.barrier(), Time: uint64(w.now / ms)}, [][]byte{command}))
	return out.Results[0]
}

// await has something done once a view is as wanted.
func (w *world) await(want func(*snapshot.View) bool, then func()) {
	if want(w.view) {
		w.in(w.soon(20*us), then)
		return
	}
	w.waiting = append(w.waiting, waiter{want, then})
}

// done says that all that clients will ask has been asked.
func (w *world) done() bool { return w.calls >= w.Ops }

// pulse brings followers up to some entry, and says what servers are like, every now and then.
func (w *world) pulse() {
	for _, s := range w.servers[1:] {
		if w.rand.IntN(3) > 0 && s.view != w.view {
			s.view = w.view
			if w.index%16 == 0 {
				w.digest(s, false)
			}
		}
		w.record(history.Event{Server: &history.Server{
			Name: s.name, Role: "follower", Term: term, Leader: "s1", Applied: s.view.Index, Barrier: s.view.Barrier, LeaseUntil: w.now + 100*ms,
		}})
	}
	w.record(history.Event{Server: &history.Server{Name: "s1", Role: "leader", Term: term, Leader: "s1", Applied: w.view.Index, Barrier: w.view.Barrier}})
	if v := w.view; v.OldestRemoval() != 0 && v.OldestRemoval() <= w.barrier() {
		w.entry(fsm.AppendEntry(nil, fsm.Batch{Term: term, Barrier: w.barrier(), Time: uint64(w.now / ms)}, nil))
	}
	for _, s := range w.streams {
		s.mark()
	}
	if !w.done() || len(w.waiting)+len(w.todo) > 0 {
		w.in(w.soon(ms), w.pulse)
	}
}

func (w *world) digest(s *server, final bool) {
	w.record(history.Event{Digest: &history.Digest{Server: s.name, Index: s.view.Index, Digest: replay.Digest(s.view.Digest()), Recomputed: final, Final: final}})
}

// usage is what servers have in use: the one that leads has more.
func (w *world) usage(final bool) {
	for i, s := range w.servers {
		w.record(history.Event{Usage: &history.Usage{Server: s.name, Goroutines: 100 - 20*min(i, 1), Descriptors: 30 - 5*min(i, 1), Final: final}})
	}
}

// end is what follows when everything has been asked: the last reads.
func (w *world) end() {
	w.now += ms
	w.final = true
	w.record(history.Event{Phase: &history.Phase{Name: history.PhaseHealed}})
	for _, s := range w.servers {
		s.view = w.view
	}
	c := &client{world: w, name: "last"}
	for i := range w.Identities {
		for _, s := range w.servers {
			c.lookup(identity(i), s, history.Leader, true)
		}
	}
	w.crashes()
	w.blocked()
	for _, f := range []history.F{history.Place, history.Remove, history.Acquire, history.Release, history.Export} {
		w.once(f)
	}
	w.record(history.Event{Phase: &history.Phase{Name: history.PhaseFinal}})
	for _, s := range w.servers {
		w.digest(s, true)
	}
	w.usage(true)
	w.restored()
	for _, s := range w.streams {
		s.mark()
	}
	w.record(history.Event{Phase: &history.Phase{Name: history.PhaseTeardown}})
	w.record(history.Event{Leaks: &history.Leaks{}})
	w.record(history.Event{End: &history.End{}})
}

// restored is what would be seen of a new cluster that is made of the last state: it has all of it, and makes epochs.
func (w *world) restored() {
	v, err := fsm.Restore(w.view, "restored", 0, false)
	if err != nil {
		panic(fmt.Sprintf("checktest: %v", err))
	}
	x := &history.Restored{Index: w.view.Index, Digest: replay.Digest(w.view.Digest()), From: w.view.Cluster.Generation, To: v.Cluster.Generation}
	for p := range v.Placements() {
		if p.Entry.Phase == placement.Settled {
			x.Settled++
		}
	}
	for i := range 3 {
		x.Epochs = append(x.Epochs, uint64(placement.MakeEpoch(x.To, uint64(i+1), 0)))
	}
	w.record(history.Event{Restored: x})
}

// crashes has an identity that nobody asks about fail everywhere, until it is blocked for that.
func (w *world) crashes() {
	id := placement.Identity{Kind: "cart", Key: "crashes"}
	for range placement.CrashesFree + 1 {
		w.now += us
		e := w.commit(&fsm.Place{Identity: id}, snapshot.RequestID{}).Entry
		for e.Phase == placement.Pending {
			w.now += us
			failure := placement.Failure{Code: placement.FailureActivation, Text: "no file"}
			e = w.commit(&fsm.Fail{Identity: id, Epoch: e.Epoch, Failure: failure}, snapshot.RequestID{}).Entry
		}
	}
}

// blocked puts an identity on the block list for some entries, and asks about it meanwhile.
func (w *world) blocked() {
	id := placement.Identity{Kind: "cart", Key: "blocked"}
	subject := snapshot.Subject{Identity: id}
	c := &client{world: w, name: "operator"}
	does := func(x history.Call, body fsm.Body) {
		w.now += us
		op := c.call(x)
		w.now += us
		w.commit(body, snapshot.RequestID{})
		w.now += us
		w.record(history.Event{OK: &history.Answer{Op: op, Read: proof(w.servers[0], w.view, "leader")}})
	}
	does(history.Call{F: history.Block, Subject: id.String()}, &fsm.Block{Subject: subject})
	w.now += us
	w.entry(fsm.AppendEntry(nil, fsm.Batch{Term: term, Barrier: w.barrier(), Time: uint64(w.now / ms)}, nil))
	w.now += us
	op := c.call(history.Call{F: history.Lookup, Identity: id.String(), Level: history.Leader})
	w.now += us
	w.record(history.Event{OK: &history.Answer{Op: op, Phase: history.Absent, Read: proof(w.servers[0], w.view, "leader")}})
	does(history.Call{F: history.Unblock, Subject: id.String()}, &fsm.Unblock{Subject: subject})
	w.now += us
	w.streams[0].mark()
	for _, s := range w.servers {
		s.view = w.view
	}
}
