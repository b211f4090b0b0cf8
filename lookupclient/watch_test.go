package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
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
		Servers: []string{s.Host + ":7420"}, Timeout: 10 * time.Second,
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
		_, err = kinds.SetKind(short, &apiv1.SetKindRequest{Name: "room", Attempts: uint32(1 + round%3), Settle: []string{"on-confirm", "on-place"}[round/6]})
		sometimes(err)
		cancel()
		switch round {
		case 2, 8:
			lead := w.c.Leader(nil)
			lead.Kill()
			w.c.Leader(lead)
			lead.Start()
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
}

// Whatever happens to the servers that tell it, everybody who watches is told all that is wanted, once, in order, whole, and can
// go on anywhere; all servers tell the same.
func TestWatch_Turmoil_EveryPromiseHolds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		two := func(c *lookupclient.MemberConfig) {
			c.Kinds["room"] = lookupclient.Kind{Run: w.run(string(c.Name))}
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
			apiv1.Event_KIND_CHANGED, apiv1.Event_BLOCK_ADDED, apiv1.Event_BLOCK_REMOVED, apiv1.Event_LEADER_CHANGED,
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

var _ = synctest.Wait
var _ = status.Code
var _ = codes.OK
