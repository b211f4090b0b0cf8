package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
)

func member(id string, inc placement.Incarnation) *placement.Member {
	m := &placement.Member{
		ID: placement.MemberID(id), Incarnation: inc, Address: "10.0.0.1:9000", Kinds: []string{"cart", "room"},
		Labels: []placement.Label{{Name: "zone", Value: "a"}}, State: placement.MemberLive,
	}
	m.Normalize()
	return m
}

func newTestEditor() *Editor {
	e := NewEditor(Empty())
	e.SetPosition(1, 1)
	e.SetCluster(Cluster{ID: "c", Seed: 99, FeatureLevel: 1})
	for _, k := range []string{"cart", "room"} {
		if err := e.AddKind(k); err != nil {
			panic(err)
		}
	}
	return e
}

// model is the state said in the plainest way.
type model struct {
	barrier, index uint64
	entries        map[placement.Identity]placement.Entry
	ended          map[placement.Incarnation]uint64 // zero while alive
	kinds          map[string]placement.KindSettings
	locks          *lockModel
	blocks         map[Subject]Block
	moves          map[placement.Identity]placement.MemberID
	crashes        map[placement.Identity]Crash
	names          map[placement.MemberID]placement.Incarnation // who stands for each name
	states         map[placement.Incarnation]placement.MemberState
	called         map[placement.Incarnation]placement.MemberID
}

func (m *model) seen(id placement.Identity) placement.Entry {
	e := m.entries[id]
	return e.Seen(m.ended[e.Owner], m.barrier)
}

func (m *model) check(t *testing.T, v *View, keys []placement.Identity) {
	t.Helper()
	settled, pending := 0, 0
	for _, id := range keys {
		want := m.seen(id)
		got, owner := v.Lookup(id)
		if got != want {
			t.Fatalf("at index %d, barrier %d: Lookup(%v) = %+v, want %+v", v.Index, v.Barrier, id, got, want)
		}
		if (owner != nil) != (want.Owner != 0) || owner != nil && owner.Incarnation != want.Owner {
			t.Fatalf("Lookup(%v) names %+v as the owner of %+v", id, owner, want)
		}
		switch want.Phase {
		case placement.Settled:
			settled++
		case placement.Pending:
			pending++
		}
	}
	if s, p := v.Count(); s != settled || p != pending {
		t.Fatalf("at index %d: Count() = %d, %d, want %d, %d", v.Index, s, p, settled, pending)
	}
	for name, want := range m.kinds {
		if got := v.KindSettings(name); got != want {
			t.Fatalf("at index %d: the settings of %s are %+v, want %+v", v.Index, name, got, want)
		}
	}
	m.checkBlocks(t, v)
	m.checkStates(t, v)
	m.checkCrashes(t, v)
	m.checkLoads(t, v, keys)
	if got, want := v.Digest(), v.RecomputeDigest(); got != want {
		t.Fatalf("at index %d: the digest is %v, computed anew it is %v", v.Index, got, want)
	}
	m.locks.check(t, v)
	listed := map[placement.Identity]placement.Entry{}
	for p := range v.Placements() {
		if _, ok := listed[p.Identity]; ok {
			t.Fatalf("%v is listed twice", p.Identity)
		}
		listed[p.Identity] = p.Entry
	}
	for _, id := range keys {
		if listed[id] != m.seen(id) {
			t.Fatalf("%v is listed as %+v, want %+v", id, listed[id], m.seen(id))
		}
	}
	checkScan(t, v)
	for index := uint64(2); index <= v.Index; index += 1 + index%9 { // of which the time is ten times as much
		from, to := v.When(index)
		if from > index*10 || to < index*10 || to-from > markEvery {
			t.Fatalf("at index %d: index %d was between %d and %d", v.Index, index, from, to)
		}
	}
}

// run plays random commands on an editor and on the model. When reopen is not nil, the editor is made anew from a view,
// or from the bytes of one, at its random moments: what can be seen must not depend on it, nor on when garbage is
// collected.
func run(t *testing.T, seed uint64, reopen *rand.Rand, each func(*View)) {
	rng := rand.New(rand.NewPCG(seed, 7))
	e := newTestEditor()
	m := &model{
		entries: map[placement.Identity]placement.Entry{}, ended: map[placement.Incarnation]uint64{0: 0}, kinds: map[string]placement.KindSettings{},
		locks: newLockModel(), blocks: map[Subject]Block{}, moves: map[placement.Identity]placement.MemberID{}, crashes: map[placement.Identity]Crash{}, names: map[placement.MemberID]placement.Incarnation{},
		states: map[placement.Incarnation]placement.MemberState{}, called: map[placement.Incarnation]placement.MemberID{},
	}
	var keys []placement.Identity
	for i := range 300 {
		keys = append(keys, placement.Identity{Kind: []string{"cart", "room"}[i%2], Key: fmt.Sprintf("key-%d", i)})
		if i%3 == 0 {
			keys[i].Key = fmt.Sprintf("f81d4fae-7dec-11d0-a765-%012x", i)
		}
	}
	var alive []placement.Incarnation
	next := placement.Incarnation(1)
	for index := uint64(2); index < 600; index++ {
		e.SetPosition(index, index/100)
		e.AdvanceTime(index * 10)
		m.index = index
		if rng.IntN(4) == 0 {
			m.barrier = max(m.barrier, min(index-1, m.barrier+rng.Uint64N(40)))
			e.SetBarrier(m.barrier)
		}
		if len(alive) < 3 || rng.IntN(20) == 0 {
			x := member(fmt.Sprintf("m%d", rng.IntN(6)), next)
			m.unblock(e, Subject{Member: x.ID}) // nobody joins who is blocked
			e.Join(x)
			m.joined(x.ID, next)
			alive = append(alive, next)
			next++
		}
		if len(alive) > 3 && rng.IntN(15) == 0 {
			i := rng.IntN(len(alive))
			e.End(alive[i], placement.MemberExpired)
			m.ended[alive[i]] = index
			m.gone(alive[i])
			alive = append(alive[:i], alive[i+1:]...)
		}
		if rng.IntN(20) == 0 {
			name := []string{"cart", "room", "lobby"}[rng.IntN(3)]
			s := placement.KindSettings{
				Strategy: []string{"rendezvous", "least-loaded"}[rng.IntN(2)], Attempts: uint8(2 + rng.IntN(2)), Settle: placement.SettleMode(1 + rng.IntN(2)),
				MemberCapacity: uint32(rng.IntN(2)), ConfirmMs: uint32(1000 * rng.IntN(2)),
			}
			s.Require[rng.IntN(4)] = []placement.Label{{}, {Name: "zone", Value: "a"}}[rng.IntN(2)]
			if err := e.SetKind(name, s); err != nil {
				t.Fatal(err)
			}
			s.Normalize()
			m.kinds[name] = s
		}
		m.stepBlocks(t, rng, e, keys)
		m.stepCrashes(rng, e, keys)
		for i := range rng.IntN(12) {
			m.locks.step(rng, e, index<<12+uint64(i))
			step(rng, e, m, keys[rng.IntN(len(keys))], alive[rng.IntN(len(alive))])
		}
		if reopen == nil {
			e.Collect(2)
		} else {
			e.Collect(reopen.IntN(3))
		}
		v := e.Publish()
		if index%10 == 0 {
			m.check(t, v, keys)
		}
		if each != nil {
			each(v)
		}
		if reopen != nil && reopen.IntN(25) == 0 {
			e = NewEditor(v)
		} else if reopen != nil && reopen.IntN(25) == 0 {
			e = NewEditor(recode(t, v))
		}
	}
}

func step(rng *rand.Rand, e *Editor, m *model, id placement.Identity, owner placement.Incarnation) {
	seen := e.Seek(id)
	var next placement.Entry
	epoch := placement.MakeEpoch(0, m.index, rng.IntN(100))
	switch seen.Phase {
	case placement.Tombstone:
		return
	case placement.Absent:
		next = placement.Entry{Phase: placement.Pending, Owner: owner, Epoch: epoch, Reason: 1}
		if rng.IntN(2) == 0 {
			next.Phase = placement.Settled
		}
	case placement.Pending:
		next = seen
		next.Phase = placement.Settled
		if rng.IntN(3) == 0 {
			next = placement.Entry{}
		}
	case placement.Settled:
		next = placement.Entry{Phase: placement.Tombstone, Removed: m.index}
		if rng.IntN(3) == 0 {
			next = seen
			next.Draining = true
		}
	}
	e.Put(next)
	m.entries[id] = next
	if rng.IntN(3) == 0 {
		r := Result{Body: 1, Index: m.index, Verdict: placement.Done, Entry: next}
		for i := range r.Request {
			r.Request[i] = byte(rng.Uint32())
		}
		e.Remember(r)
	}
}

func recode(t *testing.T, v *View) *View {
	t.Helper()
	var b bytes.Buffer
	if err := v.Encode(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Decode(&b)
	if err != nil {
		t.Fatalf("decode of what was encoded at index %d: %v", v.Index, err)
	}
	return got
}

// joined notes a new incarnation, and what becomes of the one that stood for its name.
func (m *model) joined(id placement.MemberID, inc placement.Incarnation) {
	if old, ok := m.names[id]; ok {
		switch m.states[old] {
		case placement.MemberBlocked:
			m.states[old] = placement.MemberBarred
		default:
			m.states[old] = placement.MemberSuperseded
		}
	}
	m.ended[inc], m.names[id], m.states[inc], m.called[inc] = 0, inc, placement.MemberLive, id
}

// bar gives the incarnations of a name the states that follow from its block, in the editor and in the model. Who was blocked
// stays so when it ends.
func (m *model) bar(e *Editor, id placement.MemberID) {
	for inc, name := range m.called {
		state := m.states[inc]
		if name != id || state.Barred() {
			continue
		}
		next := *e.View().Incarnation(inc)
		if state == placement.MemberSuperseded {
			next.State = placement.MemberBarred
		} else {
			next.State, next.Drained = placement.MemberBlocked, inc%2 == 0
		}
		e.SetMember(&next)
		m.states[inc] = next.State
	}
}

// checkStates compares the members that are alive, and who stands for their names.
func (m *model) checkStates(t *testing.T, v *View) {
	t.Helper()
	n := 0
	for x := range v.Members() {
		if !x.State.Alive() {
			continue
		}
		if n++; m.states[x.Incarnation] != x.State || m.called[x.Incarnation] != x.ID {
			t.Fatalf("at index %d: %s is %v in its life %d, want %v", v.Index, x.ID, x.State, x.Incarnation, m.states[x.Incarnation])
		}
	}
	if n != len(m.states) || v.Roster.Len() != len(m.names) {
		t.Fatalf("at index %d: %d are alive, and %d stand for their names; want %d and %d", v.Index, n, v.Roster.Len(), len(m.states), len(m.names))
	}
	for name, inc := range m.names {
		if x := v.Roster.Find(name); x == nil || x.Incarnation != inc || x.State != m.states[inc] {
			t.Fatalf("at index %d: %+v stands for %s, want %d, which is %v", v.Index, x, name, inc, m.states[inc])
		}
	}
}

// stepBlocks blocks, unblocks and moves, and ends what is over, on the editor and on the model.
func (m *model) stepBlocks(t *testing.T, rng *rand.Rand, e *Editor, keys []placement.Identity) {
	t.Helper()
	for b, ok := e.BlockOver(); ok; b, ok = e.BlockOver() {
		if m.blocks[b.Subject] != b || b.Until == 0 || b.Until > e.View().Time {
			t.Fatalf("at %d ms the block %+v is said to be over, the model has %+v", e.View().Time, b, m.blocks[b.Subject])
		}
		m.unblock(e, b.Subject)
	}
	for s, b := range m.blocks {
		if b.Until != 0 && b.Until <= e.View().Time {
			t.Fatalf("at %d ms the block of %v is not over, and should be: %+v", e.View().Time, s, b)
		}
	}
	s := Subject{Identity: keys[rng.IntN(20)]}
	if rng.IntN(3) == 0 {
		s = Subject{Member: placement.MemberID(fmt.Sprintf("m%d", rng.IntN(6)))}
	}
	switch moved := s.Member == ""; rng.IntN(4) {
	case 0:
		b := Block{Subject: s, Reason: fmt.Sprint(rng.IntN(3)), By: "x", Since: m.index, Until: uint64(rng.IntN(2)) * (e.View().Time + 10 + rng.Uint64N(300))}
		if err := e.PutBlock(b); err != nil {
			t.Fatal(err)
		}
		m.blocks[s] = b
		if s.Member != "" {
			m.bar(e, s.Member)
		}
	case 1:
		m.unblock(e, s)
	case 2:
		if x := e.View().Roster.All(); moved && len(x) > 0 {
			to := x[rng.IntN(len(x))].ID
			if err := e.PutMove(Move{s.Identity, to}); err != nil {
				t.Fatal(err)
			}
			m.moves[s.Identity] = to
		}
	case 3:
		e.DropMove(s.Identity)
		delete(m.moves, s.Identity)
	}
}

func (m *model) unblock(e *Editor, s Subject) {
	e.DropBlock(s)
	delete(m.blocks, s)
}

// gone notes that an incarnation ended, in whatever state: moves to a name end with the one that stands for it.
func (m *model) gone(inc placement.Incarnation) {
	delete(m.states, inc)
	delete(m.called, inc)
	for name, standing := range m.names {
		if standing != inc {
			continue
		}
		delete(m.names, name)
		for id, to := range m.moves {
			if to == name {
				delete(m.moves, id)
			}
		}
	}
}

func (m *model) checkBlocks(t *testing.T, v *View) {
	t.Helper()
	n := 0
	for b := range v.Blocks() {
		if n++; m.blocks[b.Subject] != b {
			t.Fatalf("at index %d: the block %+v, want %+v", v.Index, b, m.blocks[b.Subject])
		}
		if got, ok := v.Block(b.Subject); !ok || got != b {
			t.Fatalf("at index %d: Block(%v) = %+v, %t", v.Index, b.Subject, got, ok)
		}
	}
	if n != len(m.blocks) || v.BlockCount() != n {
		t.Fatalf("at index %d: %d blocks are listed, %d counted, want %d", v.Index, n, v.BlockCount(), len(m.blocks))
	}
	n = 0
	for x := range v.Moves() {
		if n++; m.moves[x.Identity] != x.To {
			t.Fatalf("at index %d: the move %+v, want one to %q", v.Index, x, m.moves[x.Identity])
		}
	}
	if n != len(m.moves) || v.MoveCount() != n {
		t.Fatalf("at index %d: %d moves are listed, %d counted, want %d", v.Index, n, v.MoveCount(), len(m.moves))
	}
}

// checkLoads compares the counts by member and kind.
func (m *model) checkLoads(t *testing.T, v *View, keys []placement.Identity) {
	t.Helper()
	type of struct {
		inc  placement.Incarnation
		kind string
	}
	want := map[of]uint32{}
	for _, id := range keys {
		if e := m.seen(id); e.Owner != 0 {
			want[of{e.Owner, id.Kind}]++
		}
	}
	for inc := range m.ended {
		for _, kind := range []string{"cart", "room", "lobby", "none"} {
			if got := v.MemberKindLoad(inc, kind); got != want[of{inc, kind}] {
				t.Fatalf("at index %d: %d owns %d of %s, want %d", v.Index, inc, got, kind, want[of{inc, kind}])
			}
		}
	}
}

func TestEditor_AgreesWithTheModel(t *testing.T) {
	for seed := range uint64(8) {
		run(t, seed, nil, nil)
	}
}

// A replica that restarts, or is sent a snapshot, has the same digest as one that did not, at every index.
func TestEditor_ReopenedEditors_HaveTheSameDigests(t *testing.T) {
	for seed := range uint64(underrace.Rounds(8, 2)) {
		var steady, reopened []Digest
		run(t, seed, nil, func(v *View) { steady = append(steady, v.Digest()) })
		run(t, seed, rand.New(rand.NewPCG(seed, 8)), func(v *View) { reopened = append(reopened, v.Digest()) })
		for i := range steady {
			if steady[i] != reopened[i] {
				t.Fatalf("seed %d, view %d: digest %v on the steady replica, %v on the reopened one", seed, i, steady[i], reopened[i])
			}
		}
	}
}

func TestView_PublishedViewsDoNotChange(t *testing.T) {
	type kept struct {
		v      *View
		digest Digest
		list   map[placement.Identity]placement.Entry
		loads  string
	}
	loads := func(v *View) string {
		var b strings.Builder
		for m, load := range v.Members() {
			fmt.Fprintln(&b, m.Incarnation, m.State, load, v.MemberKindLoad(m.Incarnation, "cart"), v.MemberKindLoad(m.Incarnation, "room"))
		}
		return b.String()
	}
	var past []kept
	run(t, 3, nil, func(v *View) {
		if v.Index%20 != 0 {
			return
		}
		k := kept{v, v.Digest(), map[placement.Identity]placement.Entry{}, loads(v)}
		for p := range v.Placements() {
			k.list[p.Identity] = p.Entry
		}
		past = append(past, k)
	})
	for _, k := range past {
		if k.v.Digest() != k.digest || k.v.RecomputeDigest() != k.digest {
			t.Fatalf("the view of index %d changed its digest", k.v.Index)
		}
		if got := loads(k.v); got != k.loads {
			t.Fatalf("the view of index %d changed what members own: it was\n%sand is\n%s", k.v.Index, k.loads, got)
		}
		n := 0
		for p := range k.v.Placements() {
			n++
			if k.list[p.Identity] != p.Entry {
				t.Fatalf("the view of index %d changed: %v is %+v, was %+v", k.v.Index, p.Identity, p.Entry, k.list[p.Identity])
			}
		}
		if n != len(k.list) {
			t.Fatalf("the view of index %d has %d placements, had %d", k.v.Index, n, len(k.list))
		}
	}
}

func TestEditor_MemberDeath_CostsTheSameWhateverItOwned(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m", 1))
	for i := range 20000 {
		e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprint(i)})
		e.Put(placement.Entry{Phase: placement.Settled, Owner: 1, Epoch: placement.Epoch(i + 1), Reason: 1})
	}
	e.Publish()
	e.SetPosition(50, 1)
	pages := e.v.table.rootGen
	e.End(1, placement.MemberExpired)
	if got, _ := e.v.Lookup(placement.Identity{Kind: "cart", Key: "7"}); got != (placement.Entry{Phase: placement.Tombstone, Removed: 50}) {
		t.Errorf("after the owner's death the entry is seen as %+v", got)
	}
	if got := e.Publish().OldestRemoval(); got != 50 {
		t.Errorf("OldestRemoval() = %d, want 50", got)
	}
	e.SetBarrier(50)
	if e.v.table.rootGen != pages {
		t.Error("the death of a member wrote to the index")
	}
	if got, _ := e.v.Lookup(placement.Identity{Kind: "cart", Key: "7"}); got != (placement.Entry{}) {
		t.Errorf("behind the barrier the entry is seen as %+v", got)
	}
	if got := e.Publish().OldestRemoval(); got != 0 {
		t.Errorf("OldestRemoval() = %d behind the barrier", got)
	}
	for range 10000 {
		e.Collect(8)
	}
	if e.v.table.records != 0 || e.garbage != 0 || len(e.free) != 1 || e.v.incarnations.len() != 0 {
		t.Errorf("after collecting, %d records, %d garbage, %d free slots, %d incarnations are left", e.v.table.records, e.garbage, len(e.free), e.v.incarnations.len())
	}
	if e.v.Digest() != e.v.RecomputeDigest() {
		t.Error("the digest is off")
	}
}

// A million members joined and left: memory holds what is alive.
func TestEditor_ManyMembersComeAndGo_SlotsAreUsedAgain(t *testing.T) {
	e := newTestEditor()
	const lives = 100_000
	for i := range lives {
		inc := placement.Incarnation(i + 1)
		e.SetPosition(uint64(i+2), 1)
		e.SetBarrier(uint64(i + 1))
		e.Join(member(fmt.Sprintf("m%d", i%10), inc))
		e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprint(i % 50)})
		e.Put(placement.Entry{Phase: placement.Pending, Owner: inc, Epoch: placement.Epoch(inc), Reason: 1})
		e.End(inc, placement.MemberLeft)
		e.Collect(4)
	}
	if e.v.slots.count > 100 || e.v.incarnations.len() > 100 {
		t.Errorf("%d slots and %d incarnations are in memory after %d lives", e.v.slots.count, e.v.incarnations.len(), lives)
	}
	if e.v.Digest() != e.v.RecomputeDigest() {
		t.Error("the digest is off")
	}
}

func TestEditor_SetKind(t *testing.T) {
	e := newTestEditor()
	before := e.Publish()
	if got, want := before.KindSettings("cart"), (placement.KindSettings{Strategy: "rendezvous", Attempts: 3, Settle: placement.SettleOnConfirm}); got != want {
		t.Errorf("a kind that nobody set has %+v, want %+v", got, want)
	}
	set := placement.KindSettings{Strategy: "least-loaded", Attempts: 3, Settle: placement.SettleOnConfirm}
	if err := e.SetKind("cart", set); err != nil {
		t.Fatal(err)
	}
	after := e.Publish()
	if got := after.KindSettings("cart"); got != set || before.KindSettings("cart") == set {
		t.Errorf("the settings are %+v, and %+v in the view before", got, before.KindSettings("cart"))
	}
	if before.Digest() == after.Digest() {
		t.Error("the settings are no part of the digest")
	}
	// Whoever has the defaults again is as if nobody had set it.
	if err := e.SetKind("cart", placement.KindSettings{}); err != nil {
		t.Fatal(err)
	}
	if e.Publish().Digest() != before.Digest() {
		t.Error("settings that are the defaults leave a trace")
	}
	for _, bad := range []placement.KindSettings{{Strategy: "none"}, {Attempts: 17}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was taken", bad)
				}
			}()
			_ = e.SetKind("cart", bad)
		}()
	}
}

func TestEditor_Limits(t *testing.T) {
	e := NewEditor(Empty())
	for i := range KindsMax {
		if err := e.AddKind(fmt.Sprintf("k%d", i)); err != nil {
			t.Fatalf("kind %d: %v", i, err)
		}
	}
	if err := e.AddKind("k7"); err != nil {
		t.Errorf("a kind that is known: %v", err)
	}
	if err := e.AddKind("one-more"); !errors.Is(err, ErrLimit) {
		t.Errorf("kind %d: %v, want ErrLimit", KindsMax, err)
	}
	if err := e.SetKind("one-more", placement.KindSettings{Attempts: 1}); !errors.Is(err, ErrLimit) || e.View().KindSettings("one-more").Attempts == 1 {
		t.Errorf("the settings of kind %d: %v, want ErrLimit", KindsMax, err)
	}
	if err := e.SetKind("k64999", placement.KindSettings{Attempts: 1}); err != nil {
		t.Errorf("the settings of a kind that is known: %v", err)
	}
	for i := range ServersMax {
		if err := e.PutServer(Server{Name: fmt.Sprint("s", i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.PutServer(Server{Name: "s7", Removed: true}); err != nil {
		t.Errorf("a server that is known: %v", err)
	}
	if err := e.PutServer(Server{Name: "one-more"}); !errors.Is(err, ErrLimit) {
		t.Errorf("server %d: %v, want ErrLimit", ServersMax, err)
	}
	v := recode(t, e.Publish())
	if len(v.kindNames) != KindsMax || !v.HasKind("k64999") || v.KindSettings("k64999").Attempts != 1 {
		t.Errorf("%d kinds come back from a file", len(v.kindNames))
	}
}

func TestEditor_Results_AreForgottenOldestFirst(t *testing.T) {
	e := newTestEditor()
	id := func(i int) (r RequestID) {
		copy(r[:], fmt.Sprintf("%016d", i))
		return r
	}
	const n = ResultsMax + 3*resultChunk
	for i := range n {
		e.Remember(Result{Request: id(i), Index: uint64(i), Verdict: placement.Done})
	}
	if e.Recall(id(0)) != nil || e.Recall(id(n-1)) == nil || e.Recall(id(n-1)).Index != n-1 {
		t.Error("the oldest result is remembered, or the newest is not")
	}
	v := recode(t, e.Publish())
	if v.results.count > ResultsMax || v.ForgottenIndex() == 0 || v.ForgottenIndex() != e.View().ForgottenIndex() {
		t.Errorf("%d results, forgotten up to %d", v.results.count, v.ForgottenIndex())
	}
	e2 := NewEditor(v)
	for i := range n {
		if a, b := e.Recall(id(i)), e2.Recall(id(i)); (a == nil) != (b == nil) || a != nil && *a != *b {
			t.Fatalf("request %d: %+v before, %+v after a restart", i, a, b)
		}
		if remembered := uint64(i) > v.ForgottenIndex(); remembered != (e.Recall(id(i)) != nil) {
			t.Fatalf("request %d is remembered: %t, forgotten up to %d", i, !remembered, v.ForgottenIndex())
		}
	}
}

func TestView_Lookup_AllocatesNothing(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m", 1))
	ids := []placement.Identity{{Kind: "cart", Key: "42"}, {Kind: "room", Key: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}}
	for i, id := range ids {
		e.Seek(id)
		e.Put(placement.Entry{Phase: placement.Settled, Owner: 1, Epoch: placement.Epoch(i + 1)})
	}
	v := e.Publish()
	for _, id := range append(ids, placement.Identity{Kind: "cart", Key: "43"}, placement.Identity{Kind: "none", Key: "1"}) {
		if n := testing.AllocsPerRun(100, func() { v.Lookup(id) }); n != 0 {
			t.Errorf("Lookup(%v) allocates %v times", id, n)
		}
	}
}
