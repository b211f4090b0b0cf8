package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// watching is somebody who watches in the background.
type watching struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu  sync.Mutex
	o   observed
	err error
}

// watch begins to watch, until the test ends it.
func (w *world) watch(c *lookupclient.Client, config lookupclient.WatchConfig) *watching {
	ctx, cancel := context.WithCancel(context.Background())
	x := &watching{cancel: cancel, done: make(chan struct{}), o: observed{config: config}}
	go func() {
		defer close(x.done)
		for u, err := range c.Watch(ctx, config) {
			x.mu.Lock()
			if x.err = err; err == nil {
				x.o.updates = append(x.o.updates, u)
			}
			x.mu.Unlock()
		}
	}()
	return x
}

// at is the newest position.
func (x *watching) at() lookupclient.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := len(x.o.updates) - 1; i >= 0; i-- {
		if u := &x.o.updates[i]; !u.Partial {
			return u.Position
		}
	}
	return lookupclient.Position{}
}

// reach waits until it has heard of an index, and ends it.
func (x *watching) reach(t *testing.T, index uint64) *observed {
	t.Helper()
	for range 6000 {
		if x.at().Index >= index {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	x.cancel()
	<-x.done
	if x.at().Index < index {
		t.Errorf("a minute later it has heard of %v, want %d; %v", x.at(), index, x.err)
	}
	return &x.o
}

// index is the newest index of all servers.
func (w *world) index() (index uint64) {
	w.t.Helper()
	for _, s := range w.c.Servers {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if resp, err := apiv1.NewClusterClient(w.c.Dial("reader", s)).ServerStatus(ctx, &apiv1.ServerStatusRequest{}); err == nil {
			index = max(index, resp.Index)
		}
		cancel()
	}
	return index
}

// only returns a client that knows one server.
func (w *world) only(host string, s *raftnodetest.Server) *lookupclient.Client {
	w.t.Helper()
	h := w.c.Network.Host(host)
	c, err := lookupclient.Open(lookupclient.Config{
		Servers: []string{s.Host + ":7420"}, ServersOnly: true, Timeout: 10 * time.Second,
		Dial: func(ctx context.Context, a string) (net.Conn, error) { return h.Dial(ctx, a) },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.clients = append(w.clients, c)
	return c
}

// all is everything that happened from the first index on, as one server tells it.
func (w *world) all(s *raftnodetest.Server) []*apiv1.Event {
	w.t.Helper()
	o := w.watch(w.only("reader", s), lookupclient.WatchConfig{Since: &lookupclient.Position{}}).reach(w.t, w.index())
	for _, v := range o.violations(o.told()) { // against itself: order, uniqueness and positions
		w.t.Errorf("%s: %s", s.Name, v)
	}
	return o.told()
}

// turmoil has everything happen for a while, with servers that are killed and cut off.
func (w *world) turmoil(ctx context.Context, c *lookupclient.Client) {
	t := w.t
	sometimes := func(err error) {
		if err != nil && ctx.Err() == nil && !errors.Is(err, lookupclient.ErrUnsettled) && !errors.Is(err, lookupclient.ErrUnavailable) &&
			!errors.Is(err, lookupclient.ErrNotPlaced) && !errors.Is(err, lookupclient.ErrFenced) && !errors.Is(err, lookupclient.ErrBlocked) &&
			!errors.Is(err, lookupclient.ErrUnknown) && !errors.Is(err, lookupclient.ErrNoMember) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("turmoil: %v", err)
		}
	}
	s, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "turmoil"})
	if err != nil {
		t.Fatal(err)
	}
	w.locking = append(w.locking, s)
	blocks := apiv1.NewBlocksClient(c.Conn())
	kinds := apiv1.NewKindsClient(c.Conn())
	for round := range 12 {
		var ids []placement.Identity
		for i := range 40 {
			ids = append(ids, placement.Identity{Kind: []string{"cart", "room"}[i%2], Key: fmt.Sprintf("%d/%d", round%3, i)})
		}
		_, err := c.PlaceAll(ctx, ids)
		sometimes(err)
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		for _, id := range ids[:4] {
			sometimes(c.Remove(short, id, 0, nil))
		}
		_, err = c.Move(short, lookupclient.MoveRequest{Identity: ids[5], To: "b"})
		sometimes(err)
		if l, err := s.Acquire(short, fmt.Sprint("lock", round%2), lookupclient.LockOptions{}); err == nil {
			sometimes(l.Release(short))
		}
		_, err = blocks.Block(short, &apiv1.BlockRequest{Kind: "cart", Key: "0/0", Reason: fmt.Sprint("round ", round)})
		sometimes(err)
		_, err = blocks.Unblock(short, &apiv1.UnblockRequest{Kind: "cart", Key: "0/0"})
		sometimes(err)
		_, _, err = c.Place(short, placement.Identity{Kind: "broken", Key: "1"})
		sometimes(err)
		_, err = kinds.SetKind(short, &apiv1.SetKindRequest{Name: "room", Attempts: uint32(1 + round%3), Settle: []string{"on-confirm", "on-place"}[round/6]})
		sometimes(err)
		cancel()
		switch round {
		case 2, 8:
			lead := w.c.Leader(nil)
			lead.Kill()
			w.c.Leader(lead)
			lead.Start()
		case 3: // so that a log index, and the end of a member, have more events than a message
			_, err := c.PlaceAll(ctx, carts(1000))
			sometimes(err)
		case 4:
			cut := w.c.Leader(nil)
			cut.Isolate(true)
			time.Sleep(8 * time.Second)
			cut.Isolate(false)
		case 5:
			w.isolate("a", true)
			time.Sleep(12 * time.Second)
			w.isolate("a", false)
		case 7:
			s := w.c.Others(w.c.Leader(nil))[0]
			s.Stop()
			time.Sleep(time.Second)
			s.Start()
		}
	}
	_, _ = blocks.Unblock(ctx, &apiv1.UnblockRequest{Kind: "broken", Key: "1"}) // nothing ends by time later; it may be over
}

// Whatever happens to the servers that tell it, everybody who watches is told all that is wanted, once, in order, whole, and can
// go on anywhere; all servers tell the same.
func TestWatch_Turmoil_EveryPromiseHolds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		two := func(c *lookupclient.MemberConfig) {
			c.Kinds["room"] = lookupclient.Kind{Run: w.run(string(c.Name))}
			c.Kinds["broken"] = lookupclient.Kind{Activate: func(context.Context, *lookupclient.Activation) error { return errors.New("broken") }}
		}
		w.member("a", two)
		w.member("b", two)
		c := w.client("client")
		if _, err := c.PlaceAll(ctx, carts(10)); err != nil {
			t.Fatal(err)
		}
		ends := []apiv1.Event_Type{apiv1.Event_REMOVED, apiv1.Event_UNSETTLED}
		watchers := map[string]*watching{}
		for name, config := range map[string]lookupclient.WatchConfig{
			"of all":                  {},
			"from the beginning":      {Since: &lookupclient.Position{}},
			"behind a snapshot":       {Snapshot: true},
			"of a kind":               {Kind: "cart", Snapshot: true},
			"of a prefix":             {Prefix: "1/", Snapshot: true},
			"of a member":             {Member: "a"},
			"of a type":               {Types: []apiv1.Event_Type{apiv1.Event_SETTLED}},
			"of ends of a kind":       {Kind: "room", Types: ends},
			"of ends of a member":     {Member: "b", Types: ends},
			"of members and leaders":  {Types: []apiv1.Event_Type{apiv1.Event_MEMBER_EXPIRED, apiv1.Event_MEMBER_JOINED, apiv1.Event_LEADER_CHANGED}},
			"of locks, by a snapshot": {Types: []apiv1.Event_Type{apiv1.Event_LOCK_GRANTED, apiv1.Event_LOCK_RELEASED}, Snapshot: true},
			"of retries, by snapshot": {Types: []apiv1.Event_Type{apiv1.Event_RETRY_THROTTLED}, Snapshot: true},
			"of nothing that happens": {Kind: "stranger"},
		} {
			watchers[name] = w.watch(w.client("watcher"), config)
		}
		time.Sleep(time.Second)
		w.turmoil(ctx, c)
		time.Sleep(2 * time.Second)
		reference := w.all(w.c.Servers[0])
		counts := map[apiv1.Event_Type]int{}
		for _, e := range reference {
			counts[e.Type]++
		}
		for _, want := range []apiv1.Event_Type{
			apiv1.Event_PLACED, apiv1.Event_SETTLED, apiv1.Event_STOPPING, apiv1.Event_UNSETTLED, apiv1.Event_REMOVED, apiv1.Event_MOVED,
			apiv1.Event_MEMBER_JOINED, apiv1.Event_MEMBER_EXPIRED, apiv1.Event_SESSION_OPENED, apiv1.Event_LOCK_GRANTED, apiv1.Event_LOCK_RELEASED,
			apiv1.Event_KIND_CHANGED, apiv1.Event_BLOCK_ADDED, apiv1.Event_BLOCK_REMOVED, apiv1.Event_RETRY_THROTTLED, apiv1.Event_LEADER_CHANGED,
		} {
			if counts[want] == 0 {
				t.Errorf("there is no event of type %v", want)
			}
		}
		end := w.index()
		for name, x := range watchers {
			o := x.reach(t, end)
			o.check(t, name, reference)
			if x.err != nil && !errors.Is(x.err, context.Canceled) {
				t.Errorf("%s ended with %v", name, x.err)
			}
			resets := 0
			for _, u := range o.updates {
				if u.Reset != 0 {
					resets++
				}
			}
			if want := map[bool]int{true: 1}[o.config.Snapshot]; resets != want {
				t.Errorf("%s was given %d snapshots, want %d", name, resets, want)
			}
			if n := len(o.told()); (n == 0) != (o.config.Kind == "stranger") {
				t.Errorf("%s was told %d events", name, n)
			}
		}
		// All servers tell the same, and what they tell makes of nothing, or of a snapshot, the state that they have.
		for _, s := range w.c.Servers {
			if other := sorted(w.all(s)); len(other) < len(reference) {
				t.Errorf("%s tells %d events, %s %d", s.Name, len(other), w.c.Servers[0].Name, len(reference))
			} else {
				for i, e := range sorted(reference) {
					if !proto.Equal(e, other[i]) {
						t.Fatalf("%s tells %v, %s %v", s.Name, other[i], w.c.Servers[0].Name, e)
					}
				}
			}
		}
		for _, name := range []string{"from the beginning", "behind a snapshot"} {
			p := picture{}
			for _, u := range watchers[name].o.updates {
				for _, fault := range p.take(&u) {
					t.Errorf("%s: %s", name, fault)
				}
			}
			want := picture{}
			for x := range w.c.Save().Placements() {
				want[x.Identity] = pictured(&apiv1.Placement{
					Phase: apiv1.Placement_Phase(x.Entry.Phase) + apiv1.Placement_ABSENT, Draining: x.Entry.Draining, Epoch: uint64(x.Entry.Epoch), Member: ownerOf(x.Owner),
				})
			}
			if len(want) < 50 || !maps.Equal(p, want) {
				t.Errorf("%s: it knows %d placements, want %d:\n%v\n%v", name, len(p), len(want), p, want)
			}
		}
		// Behind every position, at any server, comes what follows it.
		marks := watchers["from the beginning"].o.updates
		for i := 0; i < len(marks); i += 1 + len(marks)/12 {
			at := marks[i].Position
			w.watch(w.only("resumer", w.c.Servers[i%3]), lookupclient.WatchConfig{Since: &at}).reach(t, end).check(t, fmt.Sprint("behind ", at), reference)
		}
	})
}

func ownerOf(m *placement.Member) string {
	if m == nil {
		return ""
	}
	return string(m.ID)
}

// Every type of event is told when that happens which it says.
func TestWatch_EveryType_IsTold(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		c := w.client("client")
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		x := w.watch(c, lookupclient.WatchConfig{Since: &lookupclient.Position{}})
		fail := errors.New("no room")
		bad := w.member("bad", func(c *lookupclient.MemberConfig) {
			c.Kinds["cart"] = lookupclient.Kind{Activate: func(context.Context, *lookupclient.Activation) error { return fail }}
		})
		if _, _, err := c.Place(ctx, cart(1)); !errors.Is(err, lookupclient.ErrNoMember) {
			t.Fatalf("placed where it fails: %v", err)
		}
		must(bad.Leave(ctx))
		w.member("a", nil)
		w.member("b", nil)
		_, _, err := c.Place(ctx, cart(1))
		must(err)
		must(c.Remove(ctx, cart(1), 0, nil))
		p, _, err := c.Place(ctx, cart(2))
		must(err)
		_, err = c.Move(ctx, lookupclient.MoveRequest{Identity: cart(2), To: map[placement.MemberID]placement.MemberID{"a": "b", "b": "a"}[p.Member]})
		must(err)
		members, blocks := apiv1.NewMembersClient(c.Conn()), apiv1.NewBlocksClient(c.Conn())
		_, err = members.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a"})
		must(err)
		_, err = members.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a", Off: true})
		must(err)
		_, err = blocks.Block(ctx, &apiv1.BlockRequest{Member: "a", Reason: "repair", By: "ops"})
		must(err)
		_, err = blocks.Unblock(ctx, &apiv1.UnblockRequest{Member: "a"})
		must(err)
		_, err = apiv1.NewKindsClient(c.Conn()).SetKind(ctx, &apiv1.SetKindRequest{Name: "cart", Attempts: 2})
		must(err)
		w.isolate("b", true)
		again, err := w.client("b2").Join(ctx, lookupclient.MemberConfig{ // its former life is superseded, and expires
			Name: "b", Address: "b2:9000", Kinds: map[string]lookupclient.Kind{"cart": {Run: w.run("b2")}}, Now: memberNow,
		})
		must(err)
		w.members = append(w.members, again)
		time.Sleep(10 * time.Second)
		first, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "first"})
		must(err)
		second, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "second"})
		must(err)
		_, err = first.Acquire(ctx, "l", lookupclient.LockOptions{})
		must(err)
		short, end := context.WithTimeout(ctx, time.Second)
		_, err = second.Acquire(short, "l", lookupclient.LockOptions{})
		end()
		if err == nil {
			t.Fatal("both have the lock")
		}
		_, err = apiv1.NewLocksClient(c.Conn()).BreakLock(ctx, &apiv1.BreakLockRequest{Name: "l"})
		must(err)
		must(first.Close(ctx))
		must(second.Close(ctx))
		broken := w.member("broken", func(c *lookupclient.MemberConfig) {
			c.Kinds = map[string]lookupclient.Kind{"room": {Activate: func(context.Context, *lookupclient.Activation) error { return fail }}}
		})
		room := placement.Identity{Kind: "room", Key: "1"}
		for range placement.CrashesFree + 1 {
			if _, _, err := c.Place(ctx, room); !errors.Is(err, lookupclient.ErrNoMember) {
				t.Fatalf("placed where it fails: %v", err)
			}
		}
		if _, _, err := c.Place(ctx, room); !errors.Is(err, lookupclient.ErrBlocked) {
			t.Fatalf("it is not held back: %v", err)
		}
		must(broken.Leave(ctx))
		o := x.reach(t, w.index())
		seen := map[apiv1.Event_Type]*apiv1.Event{}
		for _, e := range o.told() {
			if seen[e.Type] == nil {
				seen[e.Type] = e
			}
			if e.Time == nil && e.Index > 3 || time.Since(e.Time.AsTime()) > time.Hour {
				t.Errorf("%v has no time", e)
			}
		}
		for number, name := range apiv1.Event_Type_name {
			if seen[apiv1.Event_Type(number)] == nil && number != 0 {
				t.Errorf("%s is not told", name)
			}
		}
		if t.Failed() {
			return
		}
		for _, tt := range []struct {
			t    apiv1.Event_Type
			want string // what it says
			got  func(*apiv1.Event) string
		}{
			{apiv1.Event_PLACED, "place only-eligible bad", func(e *apiv1.Event) string { return e.Cause + " " + e.Reason + " " + e.Member }},
			{apiv1.Event_FAILED, "fail failed: no room bad", func(e *apiv1.Event) string { return e.Cause + " " + e.Failure + " " + e.Member }},
			{apiv1.Event_STOPPING, "evict", func(e *apiv1.Event) string { return e.Cause }},
			{apiv1.Event_UNSETTLED, "release", func(e *apiv1.Event) string { return e.Cause }},
			{apiv1.Event_REMOVED, fmt.Sprint("release ", seen[apiv1.Event_UNSETTLED].Index, seen[apiv1.Event_SETTLED].Epoch), func(e *apiv1.Event) string {
				return fmt.Sprint(e.Cause, " ", e.UnsettledIndex, e.Epoch)
			}},
			{apiv1.Event_MOVED, "place moved", func(e *apiv1.Event) string { return e.Cause + " " + e.Reason }},
			{apiv1.Event_MEMBER_JOINED, "bad:9000", func(e *apiv1.Event) string { return e.Joined.GetAddress() }},
			{apiv1.Event_MEMBER_LEFT, "leave bad", func(e *apiv1.Event) string { return e.Cause + " " + e.Member }},
			{apiv1.Event_MEMBER_EXPIRED, "expire b", func(e *apiv1.Event) string { return e.Cause + " " + e.Member }},
			{apiv1.Event_BLOCK_ADDED, "block a repair ops", func(e *apiv1.Event) string { return e.Cause + " " + e.Member + " " + e.Reason + " " + e.Block.GetBy() }},
			{apiv1.Event_RETRY_THROTTLED, "fail room/1 broken crash 3 in a row on broken: failed: no room failed: no room 3 1s", func(e *apiv1.Event) string {
				return fmt.Sprint(e.Cause, " ", e.Kind, "/", e.Key, " ", e.Member, " ", e.Reason, " ", e.Failure, " ", e.Crashes, " ", e.Until.AsTime().Sub(e.Time.AsTime()))
			}},
			{apiv1.Event_KIND_CHANGED, "set kind cart", func(e *apiv1.Event) string { return "set kind " + e.Kind }},
			{apiv1.Event_LOCK_GRANTED, "acquire lock l EXCLUSIVE", func(e *apiv1.Event) string { return e.Cause + " " + e.Lock + " " + e.Mode.String() }},
			{apiv1.Event_LOCK_LOST, "break lock l broken", func(e *apiv1.Event) string { return e.Cause + " " + e.Lock + " " + e.Reason }},
			{apiv1.Event_LEADER_CHANGED, "s", func(e *apiv1.Event) string { return e.Server[:1] }},
		} {
			if got := tt.got(seen[tt.t]); got != tt.want {
				t.Errorf("%v says %q, want %q: %v", tt.t, got, tt.want, seen[tt.t])
			}
		}
		if e := seen[apiv1.Event_BLOCK_ADDED]; e.Placements > 1 {
			t.Errorf("%v", e)
		}
		// What is held back stands behind its block, and that one behind the failure, all of one log index.
		list := o.told()
		i := slices.IndexFunc(list, func(e *apiv1.Event) bool { return e.Type == apiv1.Event_RETRY_THROTTLED })
		crash, block, e := list[i-2], list[i-1], list[i]
		if crash.Type != apiv1.Event_FAILED || block.Type != apiv1.Event_BLOCK_ADDED || crash.Index != e.Index || block.Index != e.Index ||
			crash.Incarnation != e.Incarnation || crash.Epoch != e.Epoch || block.Kind != e.Kind || block.Key != e.Key || block.Block.GetBy() != "berth" ||
			block.Reason != e.Reason || !proto.Equal(block.Block.GetUntil(), e.Until) {
			t.Errorf("before %v come %v and %v", e, crash, block)
		}
	})
}

// long is an identity with a name so long that few thousand of them are more than servers remember.
func long(i int) placement.Identity {
	return placement.Identity{Kind: "cart", Key: fmt.Sprintf("%d-%s", i, strings.Repeat("x", 490))}
}

// Who does not read slows nobody, and is given a snapshot when he reads again.
func TestWatch_SlowReader_IsGivenASnapshot(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		w.member("a", nil)
		w.member("b", nil)
		c := w.client("client")
		blocked, goOn := make(chan struct{}), make(chan struct{})
		done := make(chan picture)
		var why apiv1.WatchReset_Why
		var faults []string
		end := make(chan uint64, 1)
		go func() {
			p, last, until := picture{}, uint64(0), uint64(1<<60)
			defer func() { done <- p }()
			for u, err := range w.only("slow", w.c.Servers[0]).Watch(ctx, lookupclient.WatchConfig{}) {
				if err != nil {
					t.Error(err)
					return
				}
				if u.Reset != 0 {
					why = u.Reset
				}
				faults = append(faults, p.take(&u)...)
				if !u.Partial && u.Position.Index < last {
					t.Errorf("behind %d comes %v", last, u.Position)
				}
				if last == 0 {
					close(blocked)
					<-goOn
				}
				if last = max(last, u.Position.Index); last >= until {
					return
				}
				select {
				case until = <-end:
				default:
				}
			}
		}()
		<-blocked
		begin := time.Now()
		for i := range 10 {
			var ids []placement.Identity
			for j := range 1000 {
				ids = append(ids, long(i*1000+j))
			}
			results, err := c.PlaceAll(ctx, ids)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("while somebody does not read, placing takes %v", took)
		}
		end <- w.index()
		close(goOn)
		if _, _, err := c.Place(ctx, cart(1)); err != nil { // so that there is something to hear of
			t.Fatal(err)
		}
		p := <-done
		if why != apiv1.WatchReset_BEHIND {
			t.Errorf("who was too slow was given a snapshot for %v", why)
		}
		for _, fault := range faults {
			t.Error(fault)
		}
		if len(p) < 10_000 {
			t.Errorf("who was too slow knows %d placements", len(p))
		}
	})
}

// Those who never read hold no turn and no state: others are given their snapshots, and the memory that they take is little.
func TestWatch_NeverRead_TakesLittle(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		w.member("a", nil)
		c := w.client("client")
		place := func(from int) {
			for i := range 4 {
				var ids []placement.Identity
				for j := range 1000 {
					ids = append(ids, long(from+i*1000+j))
				}
				if _, err := c.PlaceAll(ctx, ids); err != nil {
					t.Fatal(err)
				}
			}
		}
		place(0)
		heap := func() uint64 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.HeapAlloc
		}
		place(4000) // what servers remember is full
		// What the other end takes in is its own: not more than HTTP/2 has as the least.
		conn, err := grpc.NewClient("passthrough:///s1:7420", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithInitialWindowSize(64<<10),
			grpc.WithInitialConnWindowSize(1<<20), grpc.WithContextDialer(w.c.Network.Host("never").Dial))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		api := apiv1.NewPlacementsClient(conn)
		const snapshots, all = 20, 60
		for i := range all {
			if _, err := api.Watch(ctx, &apiv1.WatchRequest{Snapshot: i < snapshots}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		begin := time.Now()
		for u, err := range c.Watch(ctx, lookupclient.WatchConfig{Snapshot: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if !u.Partial {
				break
			}
		}
		if took := time.Since(begin); took > 90*time.Second {
			t.Errorf("while others do not read, a snapshot takes %v", took)
		}
		place(8000)                 // they do not read that either
		time.Sleep(2 * time.Minute) // whatever was kept for them is let go of
		with := heap()
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		// Both ends are in this process, and what a client has not read takes more room there than on the wire. A queue of what
		// has happened meanwhile, or a state that is kept, would be some 5 MiB for each.
		without := heap()
		t.Logf("with them the heap is %d bytes, without them %d", with, without)
		if with > without && with-without > all<<19 {
			t.Errorf("%d who never read take %d bytes each", all, (with-without)/all)
		}
	})
}

// While the log moves, a mark comes every second; and when it does not, every five seconds.
func TestWatch_Marks_ComeWithoutEvents(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		m := w.member("a", nil)
		c := w.client("client")
		var mu sync.Mutex
		last, longest := time.Now(), time.Duration(0)
		position := lookupclient.Position{}
		go func() {
			for u, err := range w.only("watcher", w.c.Servers[0]).Watch(ctx, lookupclient.WatchConfig{Kind: "stranger"}) {
				mu.Lock()
				if err == nil && (u.Position.Index < position.Index || len(u.Events) > 0) {
					t.Errorf("behind %v comes %v", position, u)
				}
				longest, last, position = max(longest, time.Since(last)), time.Now(), u.Position
				mu.Unlock()
				if err != nil {
					return
				}
			}
		}()
		period := func(most time.Duration, do func(i int)) {
			mu.Lock()
			longest, last = 0, time.Now()
			mu.Unlock()
			for i := range 150 {
				do(i)
				time.Sleep(100 * time.Millisecond)
			}
			mu.Lock()
			defer mu.Unlock()
			if longest = max(longest, time.Since(last)); longest > most {
				t.Errorf("no mark came for %v, want %v", longest, most)
			}
		}
		period(1200*time.Millisecond, func(i int) {
			if _, _, err := c.Place(ctx, cart(i)); err != nil {
				t.Fatal(err)
			}
		})
		if index := w.index(); position.Index+100 < index {
			t.Errorf("the newest mark is %v, and the state is at %d", position, index)
		}
		if err := m.Leave(ctx); err != nil {
			t.Fatal(err)
		}
		period(6100*time.Millisecond, func(int) {})
		cancel()
	})
}

// A server that is cut off from the others does not keep those who watch for long: another one goes on.
func TestWatch_ServerIsCutOff_AnotherGoesOn(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		w.member("a", nil)
		c := w.client("client")
		x := w.watch(w.client("watcher"), lookupclient.WatchConfig{})
		time.Sleep(time.Second)
		servedBy := func() string {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.o.updates[len(x.o.updates)-1].ServedBy
		}
		for round := range 4 {
			var cut *raftnodetest.Server
			for _, s := range w.c.Servers {
				if s.Name == servedBy() {
					cut = s
				}
			}
			cut.Isolate(true)
			begin := time.Now()
			for range 60 {
				if servedBy() != cut.Name {
					break
				}
				time.Sleep(200 * time.Millisecond)
			}
			if took := time.Since(begin); servedBy() == cut.Name || took > 12*time.Second {
				t.Errorf("%s is cut off for %v, and %s tells what happens", cut.Name, took, servedBy())
			}
			cut.Isolate(false)
			time.Sleep(3 * time.Second)
			if _, _, err := c.Place(ctx, cart(round)); err != nil {
				t.Fatal(err)
			}
		}
		o := x.reach(t, w.index())
		o.check(t, "whoever watches", w.all(w.c.Servers[0]))
	})
}

// A cluster that was restored is another one: who watches it is told so, and a position of the former one is none of its own.
func TestWatch_Restored_IsAReset(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
		defer cancel()
		w.member("a", nil)
		c := w.client("client")
		if _, err := c.PlaceAll(ctx, carts(20)); err != nil {
			t.Fatal(err)
		}
		x := w.watch(w.client("watcher"), lookupclient.WatchConfig{Snapshot: true})
		time.Sleep(2 * time.Second)
		at := x.at()
		file := w.c.Save()
		w.c.Restore(file)
		w.c.Leader(nil)
		<-x.done
		if !errors.Is(x.err, lookupclient.ErrClusterMismatch) {
			t.Errorf("who watched is told %v", x.err)
		}
		fresh := w.client("fresh")
		var e *lookupclient.Error
		for _, err := range fresh.Watch(ctx, lookupclient.WatchConfig{Since: &at}) {
			if errors.As(err, &e) {
				break
			}
		}
		if e == nil || e.Reason != apiv1.ReasonIndexCompacted || e.Metadata["generation"] != fmt.Sprint(at.Generation+1) {
			t.Errorf("behind %v: %v", at, e)
		}
		begin, first := time.Now(), true
		p := picture{}
		for u, err := range fresh.Watch(ctx, lookupclient.WatchConfig{Since: &at, Snapshot: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if (u.Reset == apiv1.WatchReset_RESTORED) != first {
				t.Errorf("a snapshot comes for %v", u.Reset)
			}
			first = false
			p.take(&u)
			if !u.Partial {
				if u.Position.Generation != at.Generation+1 {
					t.Errorf("the new position is %v, and it was %v", u.Position, at)
				}
				break
			}
		}
		if len(p) != 20 || time.Since(begin) > 5*time.Second {
			t.Errorf("after %v it knows %d placements", time.Since(begin), len(p))
		}
		// An index that no server has is no mistake of the cluster's.
		far := lookupclient.Position{Index: 1 << 40, Generation: at.Generation + 1}
		for _, err := range fresh.Watch(ctx, lookupclient.WatchConfig{Since: &far}) {
			if !errors.Is(err, lookupclient.ErrInvalid) {
				t.Errorf("behind %v: %v", far, err)
			}
		}
	})
}
