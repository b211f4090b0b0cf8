package events

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// machine is a state machine whose changes go into a ring.
type machine struct {
	t     testing.TB
	m     *fsm.Machine
	ring  *Ring
	index uint64
	batch fsm.Batch
}

func newMachine(t testing.TB) *machine {
	m := &machine{t: t, m: fsm.New(snapshot.Empty()), ring: &Ring{}, batch: fsm.Batch{Term: 1}}
	m.m.Observed = true
	m.apply(fsm.EncodeStart(fsm.Start{Server: "s1", ClusterID: "C", Seed: 1, MemberTTL: 5e9, Time: 1000}))
	return m
}

func (m *machine) apply(data []byte) *fsm.Output {
	m.t.Helper()
	m.index++
	out, err := m.m.Apply(m.index, 1, data)
	if err != nil {
		m.t.Fatal(err)
	}
	m.ring.Add([]*fsm.Output{out}, m.m.Publish())
	return out
}

// do carries commands out in one entry, at the time of its index in seconds.
func (m *machine) do(bodies ...fsm.Body) []fsm.Result {
	m.t.Helper()
	var commands [][]byte
	for i, b := range bodies {
		c, err := fsm.Encode(fsm.Command{Body: b, Request: snapshot.RequestID{byte(m.index + 1), byte((m.index + 1) >> 8), byte(i + 1)}})
		if err != nil {
			m.t.Fatal(err)
		}
		commands = append(commands, c)
	}
	m.batch.Time = (m.index + 1) * 1000
	return m.apply(fsm.AppendEntry(nil, m.batch, commands)).Results
}

func (m *machine) join(name string) placement.Incarnation {
	m.t.Helper()
	return m.do(&fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: "h:1", Kinds: []string{"cart"}}})[0].Incarnation
}

// complete completes every removal.
func (m *machine) complete() {
	m.batch.Barrier = m.index
	m.do()
}

// lines are events in words.
func lines(events []Event) (list []string) {
	for _, e := range events {
		list = append(list, fmt.Sprintf("%d.%d %v %s by %v", e.Index, e.Position, e.Type, e.Member, e.Cause))
	}
	return list
}

func (m *machine) wants(id placement.Identity, want ...string) History {
	m.t.Helper()
	h := m.ring.History(id, 100, m.index)
	if got := lines(h.Events); !slices.Equal(got, want) {
		m.t.Errorf("the history of %v is\n%s\nwant\n%s", id, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return h
}

var cart = placement.Identity{Kind: "cart", Key: "1"}

// An identity's life is told in the order of the log, with the causes; the end of its owner is told as a removal.
func TestRing_History_TellsALife(t *testing.T) {
	m := newMachine(t)
	a := m.join("a")
	e := m.do(&fsm.Place{Identity: placement.Identity{Kind: "cart", Key: "2"}}, &fsm.Place{Identity: cart})[1].Entry
	m.do(&fsm.Confirm{Identity: cart, Incarnation: a, Epoch: e.Epoch})
	m.do(&fsm.Evict{Identity: cart})
	m.do(&fsm.Release{Identity: cart, Incarnation: a, Epoch: e.Epoch})
	m.complete()
	lives := map[string]placement.Incarnation{"a": a, "b": m.join("b")}
	r := m.do(&fsm.Place{Identity: cart})[0]
	first := string(r.Owner.ID)
	failure := placement.Failure{Code: placement.FailureActivation, Text: "no room"}
	r = m.do(&fsm.Fail{Identity: cart, Epoch: r.Entry.Epoch, Failure: failure})[0]
	other := string(r.Owner.ID)
	m.do(&fsm.Confirm{Identity: cart, Incarnation: lives[other], Epoch: r.Entry.Epoch})
	m.do(&fsm.Expire{Incarnation: lives[other]})
	m.complete()
	e = m.do(&fsm.Place{Identity: cart})[0].Entry
	m.do(&fsm.Fail{Identity: cart, Epoch: e.Epoch}) // nobody else is left
	m.do(&fsm.Place{Identity: cart})
	m.do(&fsm.Evict{Identity: cart}) // it is pending, so it goes at once
	m.do(&fsm.Place{Identity: cart})
	m.do(&fsm.Leave{Incarnation: lives[first]})
	h := m.wants(cart,
		"3.1 placed a by place", "4.0 settled a by confirm", "5.0 stopping a by evict", "6.0 removed a by release",
		"9.0 placed "+first+" by place", "10.0 failed "+first+" by fail", "10.0 placed "+other+" by fail",
		"11.0 settled "+other+" by confirm", "12.0 removed "+other+" by expire",
		"14.0 placed "+first+" by place", "15.0 failed "+first+" by fail", "16.0 placed "+first+" by place", "17.0 removed "+first+" by evict",
		"18.0 placed "+first+" by place", "19.0 removed "+first+" by leave",
	)
	if h.After != 0 || h.More {
		t.Errorf("it is complete after %d, more: %v", h.After, h.More)
	}
	if h.Events[5].Failure != failure {
		t.Errorf("failed: %+v", h.Events[5])
	}
	placed, settled, removed := h.Events[6], h.Events[7], h.Events[8]
	if placed.Incarnation != lives[other] || placed.Reason != placement.ReasonNextCandidate || placed.Time != 10_000 || placed.Request != (snapshot.RequestID{10, 0, 1}) || placed.Epoch == 0 {
		t.Errorf("placed: %+v", placed)
	}
	if settled.Epoch != placed.Epoch || removed.Epoch != placed.Epoch || removed.Incarnation != lives[other] || removed.Identity != cart {
		t.Errorf("settled %+v, removed %+v, want the epoch of %+v", settled, removed, placed)
	}
	m.wants(placement.Identity{Kind: "cart", Key: "3"})
	if h := m.ring.History(cart, 100, 11); h.Events[len(h.Events)-1].Index != 11 {
		t.Errorf("up to 11 it ends with %v", lines(h.Events))
	}
	if h := m.ring.History(cart, 3, m.index); !h.More || !slices.Equal(lines(h.Events), []string{"17.0 removed " + first + " by evict", "18.0 placed " + first + " by place", "19.0 removed " + first + " by leave"}) {
		t.Errorf("the newest three are %v, more: %v", lines(h.Events), h.More)
	}
}

// The ring agrees with a list of everything, and says truly from where on it does.
func TestRing_AgreesWithAList(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 5))
		m := newMachine(t)
		var lives []placement.Incarnation
		owned := map[placement.Incarnation]map[placement.Identity]placement.Epoch{}
		all := map[placement.Identity][]string{}
		tell := func(id placement.Identity, format string, args ...any) {
			all[id] = append(all[id], fmt.Sprintf("%d.", m.index)+fmt.Sprintf(format, args...))
		}
		name := func(inc placement.Incarnation) placement.MemberID { return m.m.Publish().Incarnation(inc).ID }
		for range 1000 {
			id := placement.Identity{Kind: "cart", Key: fmt.Sprint(rng.IntN(12))}
			e, _ := m.m.Publish().Lookup(id)
			switch rng.IntN(12) {
			case 0:
				lives = append(lives, m.join(fmt.Sprint("m", rng.IntN(3))))
			case 1:
				if len(lives) > 0 {
					inc := lives[rng.IntN(len(lives))]
					if mem := m.m.Publish().Incarnation(inc); mem == nil || !mem.State.Alive() {
						break
					}
					who := name(inc)
					m.do(&fsm.Expire{Incarnation: inc})
					for id := range owned[inc] {
						tell(id, "0 removed %s by expire", who)
					}
					delete(owned, inc)
				}
			case 2, 3:
				m.complete()
			case 4, 5, 6:
				if r := m.do(&fsm.Place{Identity: id})[0]; r.Verdict == placement.Done {
					tell(id, "0 placed %s by place", name(r.Entry.Owner))
					own(owned, r.Entry, id)
				}
			case 7, 8:
				if e.Phase == placement.Pending {
					m.do(&fsm.Confirm{Identity: id, Incarnation: e.Owner, Epoch: e.Epoch})
					tell(id, "0 settled %s by confirm", name(e.Owner))
				}
			case 9:
				if e.Phase == placement.Pending {
					r := m.do(&fsm.Fail{Identity: id, Epoch: e.Epoch})[0]
					tell(id, "0 failed %s by fail", name(e.Owner))
					delete(owned[e.Owner], id)
					if r.Entry.Owner != 0 {
						tell(id, "0 placed %s by fail", name(r.Entry.Owner))
						own(owned, r.Entry, id)
					}
				}
			case 10, 11:
				if e.Owner != 0 {
					m.do(&fsm.Release{Identity: id, Incarnation: e.Owner, Epoch: e.Epoch})
					tell(id, "0 removed %s by release", name(e.Owner))
					delete(owned[e.Owner], id)
				}
			}
		}
		n := 0
		for id, want := range all {
			n += len(want)
			if got := lines(m.ring.History(id, 1000, m.index).Events); !slices.Equal(got, want) {
				t.Fatalf("seed %d: the history of %v is\n%s\nwant\n%s", seed, id, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
		if n < 200 {
			t.Fatalf("seed %d: only %d events", seed, n)
		}
	}
}

// What was pending on a member that ends, and is placed again in the same log entry, is in no view: the event of its placement has
// its end.
func TestRing_PlacedAgainAsItsOwnerEnds_EndIsTold(t *testing.T) {
	m := newMachine(t)
	a := m.join("a")
	other := placement.Identity{Kind: "cart", Key: "2"}
	first := m.do(&fsm.Place{Identity: cart}, &fsm.Place{Identity: other})[0].Entry
	b := m.join("b")
	next := m.do(&fsm.Expire{Incarnation: a}, &fsm.Place{Identity: cart})[1].Entry
	if first.Owner != a || next.Owner != b {
		t.Fatalf("placed on %d, and then on %d; a is %d and b %d", first.Owner, next.Owner, a, b)
	}
	var cuts []Event
	for _, e := range readAll(t, m.ring, 0, 10) {
		if e.Cut != nil {
			cuts = append(cuts, *e.Cut)
			if e.Type != Placed || e.Epoch != next.Epoch {
				t.Errorf("%v under %d has the end of another placement", e.Type, e.Epoch)
			}
		}
	}
	if len(cuts) != 1 {
		t.Fatalf("the ends %+v are told with placements, want that of cart/1", cuts)
	}
	e := cuts[0]
	if e.Type != Removed || e.Was != placement.Pending || e.Identity != cart || e.Member != "a" || e.Incarnation != a || e.Epoch != first.Epoch || e.Cause != fsm.CauseExpire || e.Index != m.index {
		t.Errorf("told is %+v", e)
	}
	m.do(&fsm.Place{Identity: other}) // its owner ended in an entry before: the view there has it
	for _, e := range readAll(t, m.ring, m.index-1, 10) {
		if e.Cut != nil {
			t.Errorf("%+v is told twice", e.Cut)
		}
	}
	m.wants(cart, "3.0 placed a by place", "5.0 removed a by expire", "5.1 placed b by place")
}

// A server that begins from a snapshot does not know what a member owned that had ended before that. When it is removed for everybody
// the ring says so: it was lost.
func TestRing_BegunAfterAMemberEnded_CompletionIsLost(t *testing.T) {
	m := newMachine(t)
	a := m.join("a")
	epoch := m.do(&fsm.Place{Identity: cart})[0].Entry.Epoch
	m.do(&fsm.Confirm{Identity: cart, Incarnation: a, Epoch: epoch})
	m.do(&fsm.Expire{Incarnation: a})
	ended := m.index
	m.do(&fsm.Join{Member: placement.Member{ID: "b", Address: "h:1", Kinds: []string{"cart"}}})
	var file bytes.Buffer
	if err := m.m.Publish().Encode(&file); err != nil {
		t.Fatal(err)
	}
	v, err := snapshot.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	m.m = fsm.New(v)
	m.m.Observed = true
	m.ring.Begin(v)
	m.do() // nothing
	m.complete()
	list := readAll(t, m.ring, v.Index, 10)
	if len(list) != 1 || list[0].Type != RemovalsCompleted || list[0].Detail.From >= ended {
		t.Fatalf("the events are %+v, of which one completes what ended at %d", list, ended)
	}
	if _, ok := m.ring.After(list[0].Detail.From); ok {
		t.Error("what was completed is said to be known")
	}
}

// A placement becomes another one when its candidate fails, and not when it ends and there is another one afterwards.
func TestRing_Became(t *testing.T) {
	m := newMachine(t)
	for _, name := range []string{"a", "b", "c"} {
		m.join(name)
	}
	other := placement.Identity{Kind: "cart", Key: "2"}
	var epochs []placement.Epoch
	place := func() placement.Epoch {
		r := m.do(&fsm.Place{Identity: other}, &fsm.Place{Identity: cart})
		epochs = append(epochs, r[1].Entry.Epoch)
		return r[1].Entry.Epoch
	}
	fail := func(e placement.Epoch) placement.Epoch {
		r := m.do(&fsm.Evict{Identity: other}, &fsm.Fail{Identity: cart, Epoch: e}, &fsm.Place{Identity: other})
		epochs = append(epochs, r[1].Entry.Epoch)
		return r[1].Entry.Epoch
	}
	last := fail(fail(place())) // the first three
	m.do(&fsm.Evict{Identity: cart, Epoch: last})
	last = fail(place()) // two more
	e := m.do(&fsm.Place{Identity: cart})[0].Entry
	m.do(&fsm.Confirm{Identity: cart, Incarnation: e.Owner, Epoch: last})
	for i, from := range epochs {
		for j, to := range epochs {
			if got, want := m.ring.Became(cart, from, to, m.index), i <= j && (i < 3) == (j < 3); got != want {
				t.Errorf("placement %d became %d: %t, want %t", i, j, got, want)
			}
		}
	}
	if m.ring.Became(cart, epochs[0], epochs[1], m.index-7) {
		t.Error("it became that at an index at which it had not")
	}
	m.ring.Begin(viewAt(m.index))
	if m.ring.Became(cart, epochs[0], epochs[1], m.index) {
		t.Error("what is forgotten is known")
	}
}

func own(owned map[placement.Incarnation]map[placement.Identity]placement.Epoch, e placement.Entry, id placement.Identity) {
	if owned[e.Owner] == nil {
		owned[e.Owner] = map[placement.Identity]placement.Epoch{}
	}
	owned[e.Owner][id] = e.Epoch
}

// fill adds an event of a placement of so many bytes at an index.
func fill(r *Ring, index uint64, key string) {
	id := placement.Identity{Kind: "cart", Key: key}
	m := &placement.Member{ID: "m", Incarnation: 1}
	r.Add([]*fsm.Output{{Index: index, Changes: []fsm.Change{{
		Type: fsm.PlacementChanged, Cause: fsm.CausePlace, Identity: id, Entry: placement.Entry{Phase: placement.Pending, Owner: 1, Epoch: placement.Epoch(index)}, Member: m,
	}}}}, nil)
}

// The oldest make room, and the ring says from where on it is whole.
func TestRing_IsBounded(t *testing.T) {
	r := &Ring{}
	for i := range uint64(EventsMax) {
		fill(r, i+1, "a")
	}
	if h := r.History(placement.Identity{Kind: "cart", Key: "a"}, EventsMax, 1<<60); h.After != 0 || len(h.Events) != EventsMax {
		t.Fatalf("%d events after %d, want all", len(h.Events), h.After)
	}
	for i := range uint64(1000) {
		fill(r, EventsMax+i+1, "b")
	}
	h := r.History(placement.Identity{Kind: "cart", Key: "a"}, EventsMax, 1<<60)
	if h.After != 1000 || len(h.Events) != EventsMax-1000 || h.Events[0].Index != 1001 {
		t.Errorf("%d events after %d, the first at %d; want those after 1,000", len(h.Events), h.After, h.Events[0].Index)
	}
	// Texts are bounded too.
	r = &Ring{}
	long := strings.Repeat("x", placement.KeyBytesMax-8)
	for i := range uint64(EventsMax) {
		fill(r, i+1, fmt.Sprintf("%08x%s", i, long))
	}
	kept := r.next - r.first
	if want := uint64(TextBytesMax / (placement.KeyBytesMax + len("cart"))); kept < want || kept > want+2 || r.textBytes > TextBytesMax+placement.KeyBytesMax+placement.KindBytesMax {
		t.Errorf("%d events with %d bytes of text are kept, want about %d", kept, r.textBytes, want)
	}
	if h := r.History(cart, 10, 1<<60); h.After != EventsMax-kept {
		t.Errorf("it is whole after %d, with %d of %d events", h.After, kept, EventsMax)
	}
	// A state whose past is not known.
	r.Begin(viewAt(1 << 30))
	if h := r.History(placement.Identity{Kind: "cart", Key: fmt.Sprintf("%08x%s", EventsMax-1, long)}, 10, 1<<60); h.After != 1<<30 || len(h.Events) != 0 {
		t.Errorf("after a snapshot: %d events after %d", len(h.Events), h.After)
	}
	fill(r, 1<<30+1, "1")
	if h := r.History(cart, 10, 1<<60); len(h.Events) != 1 || h.After != 1<<30 {
		t.Errorf("behind a snapshot: %d events after %d", len(h.Events), h.After)
	}
	if size := unsafe.Sizeof(kept0); size > 176 {
		t.Errorf("an event takes %d bytes; EventsMax thinks of 176", size)
	}
}

var kept0 kept

func TestType_String(t *testing.T) {
	var got []string
	for x := Type(0); x < 22; x++ {
		got = append(got, x.String())
	}
	want := []string{
		"unknown", "placed", "settled", "failed", "stopping", "removed", "member ended", "member joined", "member changed",
		"removals completed", "session opened", "session ended", "lock queued", "lock granted", "lock released", "lock lost",
		"kind changed", "block added", "block removed", "retry throttled", "leader changed", "unknown",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	r := &Ring{}
	m := &placement.Member{ID: "m", Incarnation: 1}
	out := &fsm.Output{Index: 1}
	for i := range 500 {
		out.Changes = append(out.Changes, fsm.Change{
			Type: fsm.PlacementChanged, Cause: fsm.CausePlace, Identity: placement.Identity{Kind: "cart", Key: fmt.Sprint("key-", i)},
			Entry: placement.Entry{Phase: placement.Pending, Owner: 1, Epoch: placement.Epoch(i + 1)}, Member: m,
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Add([]*fsm.Output{out}, nil)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*500), "ns/event")
}
