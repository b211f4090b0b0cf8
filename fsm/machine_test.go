package fsm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func recode(t testing.TB, v *snapshot.View) *snapshot.View {
	t.Helper()
	var b bytes.Buffer
	if err := v.Encode(&b); err != nil {
		t.Fatal(err)
	}
	got, err := snapshot.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// randomLog makes a log that a cluster could have written, with leaders that change, batches of deposed ones, retries
// and members that come and go.
func randomLog(t testing.TB, seed uint64, entries int) []logged {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := New(snapshot.Empty())
	term, index := uint64(1), uint64(0)
	var log []logged
	var lives []placement.Incarnation
	last := map[placement.Identity]placement.Entry{}
	claims := newLockNames()
	add := func(data []byte) *Output {
		index += 1 + rng.Uint64N(2) // Raft has entries of its own
		log = append(log, logged{index, term, data})
		out, err := m.Apply(index, term, data)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	add(EncodeStart(Start{Server: "s1", ClusterID: "C", Seed: seed, MemberTTL: 5e9, Time: 1}))
	for len(log) < entries {
		if rng.IntN(40) == 0 {
			term++
			add(EncodeStart(Start{Server: "s2", ClusterID: "C", Seed: seed, MemberTTL: 5e9, Time: index * 10}))
		}
		batch := Batch{Term: term, Time: index * 10}
		if rng.IntN(3) == 0 {
			batch.Barrier = rng.Uint64N(index + 1)
		}
		if rng.IntN(20) == 0 {
			batch.Term--
		}
		var commands [][]byte
		var ids []placement.Identity
		var bodies []Body
		for range rng.IntN(6) {
			c, id := randomCommand(rng, lives, last)
			if rng.IntN(3) == 0 {
				c.Body, id = claims.random(rng), placement.Identity{}
				if rng.IntN(4) > 0 { // most others would be told that the request was another's
					c.Request, c.RetrySince = snapshot.RequestID{}, 0
				}
			}
			b, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			commands, ids, bodies = append(commands, b), append(ids, id), append(bodies, c.Body)
		}
		for i, r := range add(AppendEntry(nil, batch, commands)).Results {
			if r.Incarnation != 0 {
				lives = append(lives, r.Incarnation)
			}
			if r.Entry.Epoch != 0 {
				last[ids[i]] = r.Entry
			}
			claims.made(bodies[i], r)
		}
	}
	return log
}

func randomCommand(rng *rand.Rand, lives []placement.Incarnation, last map[placement.Identity]placement.Entry) (c Command, id placement.Identity) {
	id = placement.Identity{Kind: []string{"cart", "room", "lobby"}[rng.IntN(3)], Key: fmt.Sprint(rng.IntN(40))}
	if rng.IntN(2) == 0 {
		c.Request[0], c.Request[1] = byte(1+rng.IntN(200)), byte(rng.IntN(10))
	}
	if rng.IntN(10) == 0 {
		c.RetrySince = rng.Uint64N(500)
	}
	life := placement.Incarnation(7)
	if len(lives) > 0 {
		life = lives[len(lives)-1-rng.IntN(min(6, len(lives)))]
	}
	e := last[id]
	if e.Epoch == 0 || rng.IntN(8) == 0 {
		e = placement.Entry{Owner: life, Epoch: 1}
	}
	name := placement.MemberID(fmt.Sprint("m", rng.IntN(5)))
	subject := snapshot.Subject{Member: name}
	if rng.IntN(3) > 0 {
		subject = snapshot.Subject{Identity: id}
	}
	switch rng.IntN(20) {
	case 0:
		c.Body = &Join{placement.Member{
			Labels: []placement.Label{{Name: "zone", Value: []string{"a", "b"}[rng.IntN(2)]}},
			ID:     name, Address: "h:1", Kinds: []string{"cart", "room"}, Capacity: uint32(rng.IntN(2) * 20),
		}}
	case 1:
		c.Body = &Expire{life}
		if rng.IntN(3) > 0 {
			d := &Drain{Incarnation: life, Off: rng.IntN(2) == 0}
			if !d.Off {
				d.Rate = rng.Uint32N(3)
			}
			c.Body = d
		}
	case 2:
		c.Body = &Leave{life}
		if rng.IntN(4) > 0 {
			c.Body = &RegisterServer{snapshot.Server{Name: fmt.Sprint("s", rng.IntN(4)), Incarnation: "x", Version: fmt.Sprint(rng.IntN(3))}}
		}
	case 3, 4, 5, 6:
		c.Body = &Place{Identity: id, Near: placement.Near{Label: placement.Label{Name: "zone", Value: "a"}}}
	case 7, 8, 9:
		c.Body = &Confirm{id, e.Owner, e.Epoch}
	case 10:
		c.Body = &Fail{id, e.Epoch, placement.Failure{Code: placement.FailureCode(rng.IntN(5)), Text: "boom"}}
	case 11, 12:
		c.Body = &Release{id, e.Owner, e.Epoch, placement.Failure{Code: []placement.FailureCode{0, 0, placement.FailureCrash}[rng.IntN(3)]}}
	case 13:
		c.Body = &Evict{id, e.Epoch}
	case 14:
		names := append(placement.StrategyNames(), "", "of-a-later-version")
		k := &SetKind{Kind: id.Kind, Settings: placement.KindSettings{Strategy: names[rng.IntN(len(names))], Attempts: uint8(1 + rng.IntN(5))}}
		switch rng.IntN(4) {
		case 0:
			k.Settings.Settle = placement.SettleMode(rng.IntN(3))
		case 1:
			k.Settings.MemberCapacity, k.Settings.ConfirmMs = uint32(rng.IntN(8)), uint32(500*rng.IntN(2))
		case 2:
			k.Settings.Require[rng.IntN(placement.RequireMax)] = placement.Label{Name: "zone", Value: "a"}
			k.Settings.Require[0], k.Settings.Require[1] = placement.Label{}, k.Settings.Require[0]
			k.Settings.Normalize()
		case 3:
			k.Unset = KindUnset{true, true, true}
		}
		c.Body = k
	case 15, 16:
		b := &Block{Subject: subject, Reason: fmt.Sprint(rng.IntN(2)), By: "x", Until: uint64(rng.IntN(2)) * rng.Uint64N(20_000)}
		if b.Until == 0 {
			b.Lasts = uint64(rng.IntN(2)) * rng.Uint64N(3000)
		}
		c.Body = b
	case 17:
		c.Body = &Unblock{subject}
	case 18:
		c.Body = &Move{id, e.Epoch * placement.Epoch(rng.IntN(2)), name}
	case 19:
		c.Body = &SetFeatureLevel{uint32(1 + rng.IntN(2))} // no server announces the second
	}
	return c, id
}

// One log, applied twice, and from a snapshot at every tenth of its entries, gives one digest at each of them.
func TestMachine_OneLogGivesOneState(t *testing.T) {
	for seed := range uint64(underrace.Rounds(6, 2)) {
		log := randomLog(t, seed, 800)
		digests := map[uint64]snapshot.Digest{}
		var views []*snapshot.View
		m := New(snapshot.Empty())
		m.Observed = true
		for i, l := range log {
			if _, err := m.Apply(l.index, l.term, l.data); err != nil {
				t.Fatal(err)
			}
			v := m.Publish()
			if v.Digest() != v.RecomputeDigest() {
				t.Fatalf("seed %d: the digest is off at index %d", seed, l.index)
			}
			digests[l.index] = v.Digest()
			if i%10 == 0 {
				views = append(views, v)
			}
		}
		for _, from := range append(views, snapshot.Empty()) {
			m := New(recode(t, from))
			for _, l := range log {
				if l.index <= from.Index {
					continue
				}
				if _, err := m.Apply(l.index, l.term, l.data); err != nil {
					t.Fatal(err)
				}
				if got := m.Publish().Digest(); got != digests[l.index] {
					t.Fatalf("seed %d: from a snapshot at %d the digest at %d is %v, want %v", seed, from.Index, l.index, got, digests[l.index])
				}
			}
		}
	}
}

// Epochs only grow, are never used twice, and an identity's owner changes only with its epoch.
func TestMachine_EpochsOnlyGrow(t *testing.T) {
	for seed := range uint64(6) {
		m := New(snapshot.Empty())
		m.Observed = true
		made := map[placement.Epoch]bool{}
		newest := map[placement.Identity]placement.Epoch{}
		for _, l := range randomLog(t, seed, 2500) {
			out, err := m.Apply(l.index, l.term, l.data)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range out.Changes {
				if c.Type != PlacementChanged || c.Entry.Epoch == 0 || c.Entry.Epoch == c.Before.Epoch {
					continue
				}
				if made[c.Entry.Epoch] || c.Entry.Epoch <= newest[c.Identity] {
					t.Fatalf("seed %d, index %d: %v got epoch %#x after %#x", seed, l.index, c.Identity, c.Entry.Epoch, newest[c.Identity])
				}
				made[c.Entry.Epoch], newest[c.Identity] = true, c.Entry.Epoch
			}
		}
		if len(made) < 100 {
			t.Fatalf("seed %d: only %d epochs were made", seed, len(made))
		}
	}
}

// F4 and F5 over random logs: what is settled is removed by its owner's release or end alone.
func TestMachine_SettledEndsOnlyByItsOwner(t *testing.T) {
	removals := 0
	for seed := range uint64(6) {
		m := New(snapshot.Empty())
		var before *snapshot.View = snapshot.Empty()
		for _, l := range randomLog(t, seed, 1500) {
			out, err := m.Apply(l.index, l.term, l.data)
			if err != nil {
				t.Fatal(err)
			}
			v := m.Publish()
			for p := range before.Placements() {
				if p.Entry.Phase != placement.Settled {
					continue
				}
				now, _ := v.Lookup(p.Identity)
				same := now
				same.Draining = p.Entry.Draining
				if same == p.Entry {
					continue
				}
				removals++
				if now != (placement.Entry{Phase: placement.Tombstone, Removed: l.index}) {
					t.Fatalf("seed %d, index %d: settled %v became %+v at once", seed, l.index, p.Identity, now)
				}
				if v.Incarnation(p.Entry.Owner).State.Alive() && !releasedBy(t, l, p) {
					t.Fatalf("seed %d, index %d: %v was removed under its living owner", seed, l.index, p.Identity)
				}
			}
			_ = out
			before = v
		}
	}
	if removals == 0 {
		t.Fatal("nothing was removed")
	}
}

func releasedBy(t *testing.T, l logged, p snapshot.Placement) bool {
	var e entry
	if err := decodeEntry(l.data, &e); err != nil {
		t.Fatal(err)
	}
	for _, b := range e.commands {
		c, _ := decodeCommand(b)
		if c.op != opRelease {
			continue
		}
		h, _ := decodeHeld(c.body, 3, 4)
		if h.identity == p.Identity && h.incarnation == p.Entry.Owner && h.epoch == p.Entry.Epoch {
			return true
		}
	}
	return false
}

func TestMachine_GenerationEnds_NextBegins(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(10, 1)
	e.SetCluster(snapshot.Cluster{ID: "C", Seed: 1, Generation: 3, EpochBase: 5})
	m := New(e.Publish())
	join, err := Encode(Command{Body: &Join{placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}}})
	if err != nil {
		t.Fatal(err)
	}
	var last placement.Incarnation
	for _, index := range []uint64{11, 5 + placement.GenerationIndexes - 1, 5 + placement.GenerationIndexes, 5 + placement.GenerationIndexes + 1, 1 << 60} {
		out, err := m.Apply(index, 2, AppendEntry(nil, Batch{Term: 2}, [][]byte{join, join}))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Results {
			if r.Incarnation <= last {
				t.Fatalf("index %d: incarnation %#x after %#x", index, r.Incarnation, last)
			}
			last = r.Incarnation
		}
	}
	if got := m.Publish().Cluster; got.Generation != 5 || got.EpochBase != 1<<60 {
		t.Errorf("the cluster is in generation %d from %d", got.Generation, got.EpochBase)
	}
}

func TestMachine_LastGenerationEnds_Stops(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(10, 1)
	e.SetCluster(snapshot.Cluster{ID: "C", Generation: 1<<16 - 1})
	var ee *EntryError
	if _, err := New(e.Publish()).Apply(placement.GenerationIndexes, 1, nil); !errors.As(err, &ee) {
		t.Errorf("got %v, want an EntryError", err)
	}
}

func TestMachine_BadEntries_StopTheServer(t *testing.T) {
	place, _ := Encode(Command{Body: &Place{Identity: placement.Identity{Kind: "cart", Key: "1"}}})
	many := make([][]byte, placement.BatchCommandsMax+1)
	for i := range many {
		many[i] = place
	}
	start := EncodeStart(Start{ClusterID: "C"})
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"garbage", []byte{0xff, 0xff, 0xff}, errTruncated},
		{"cut short", AppendEntry(nil, Batch{Term: 1}, [][]byte{place})[:9], errTruncated},
		{"unknown field", []byte{0x78, 1}, ErrUnknownCommand},
		{"unknown command", AppendEntry(nil, Batch{Term: 1}, [][]byte{{0xfa, 0x7, 0}}), ErrUnknownCommand},
		{"no command", AppendEntry(nil, Batch{Term: 1}, [][]byte{{}}), ErrUnknownCommand},
		{"two bodies", AppendEntry(nil, Batch{Term: 1}, [][]byte{append(slices.Clone(place), place...)}), nil},
		{"too many commands", AppendEntry(nil, Batch{Term: 1}, many), nil},
		{"start with a batch", append(slices.Clone(start), AppendEntry(nil, Batch{Term: 1}, nil)...), nil},
		{"another cluster", EncodeStart(Start{ClusterID: "D"}), nil},
		{"barrier at its own index", AppendEntry(nil, Batch{Term: 1, Barrier: 2}, nil), nil},
		{"short request", AppendEntry(nil, Batch{Term: 1}, [][]byte{append([]byte{0x0a, 1, 1}, place...)}), nil},
	}
	for _, tt := range tests {
		m := New(snapshot.Empty())
		if _, err := m.Apply(1, 1, start); err != nil {
			t.Fatal(err)
		}
		_, err := m.Apply(2, 1, tt.data)
		var ee *EntryError
		if !errors.As(err, &ee) || ee.Index != 2 || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want an EntryError of %v", tt.name, err, tt.want)
		}
	}
	m := New(snapshot.Empty())
	if _, err := m.Apply(5, 1, start); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(5, 1, start); err == nil {
		t.Error("an index was applied twice")
	}
}

// A command that breaks a rule of its content reached the log by a mistake of the proposer. All replicas refuse it alike,
// and go on.
func TestMachine_InvalidCommands_AreRefused(t *testing.T) {
	m := New(snapshot.Empty())
	if _, err := m.Apply(1, 1, EncodeStart(Start{ClusterID: "C"})); err != nil {
		t.Fatal(err)
	}
	raw := func(b Body) []byte { // what Encode would refuse
		return protowire.AppendBytes(protowire.AppendTag(nil, b.op(), protowire.BytesType), b.append(nil))
	}
	bad := placement.Identity{Kind: "ca/rt", Key: "\x00"}
	for _, b := range []Body{
		&Place{Identity: bad}, &Confirm{bad, 1, 1}, &Fail{Identity: bad, Epoch: 1}, &Release{bad, 1, 1, placement.Failure{}}, &Evict{bad, 1},
		&Block{}, &Block{Subject: snapshot.Subject{Member: "m"}, Reason: "\x00"}, &Unblock{}, &SetFeatureLevel{}, &Move{Identity: bad, To: "m"},
		&Move{Identity: placement.Identity{Kind: "cart", Key: "1"}, To: "a b"}, &Fail{placement.Identity{Kind: "cart", Key: "1"}, 1, placement.Failure{Code: 9}},
		&Fail{placement.Identity{Kind: "cart", Key: "1"}, 1, placement.Failure{Text: strings.Repeat("x", 256)}},
		&Join{placement.Member{ID: "m"}}, &RegisterServer{snapshot.Server{Name: "a b"}}, &SetKind{Kind: "cart"},
		&SetKind{Kind: "cart", Settings: placement.KindSettings{Attempts: 17}}, &Place{placement.Identity{Kind: "cart", Key: "1"}, placement.Near{Member: "a b"}},
	} {
		if b.Validate() == nil {
			t.Fatalf("%T is valid", b)
		}
		out, err := m.Apply(m.Publish().Index+1, 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{raw(b)}))
		if err != nil || out.Results[0].Verdict != placement.Invalid {
			t.Errorf("%T: %+v, %v, want Invalid", b, out, err)
		}
	}
}

func TestMachine_KindsRunOut_JoinIsRefusedWhole(t *testing.T) {
	m := New(snapshot.Empty())
	index := uint64(1)
	if _, err := m.Apply(index, 1, EncodeStart(Start{ClusterID: "C"})); err != nil {
		t.Fatal(err)
	}
	join := func(from, n int) Result {
		index++
		var kinds []string
		for i := range n {
			kinds = append(kinds, fmt.Sprintf("k%d", from+i))
		}
		b, err := Encode(Command{Body: &Join{placement.Member{ID: "m", Address: "h:1", Kinds: kinds}}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Apply(index, 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{b}))
		if err != nil {
			t.Fatal(err)
		}
		return out.Results[0]
	}
	for from := 0; from+1000 <= snapshot.KindsMax; from += 1000 {
		if r := join(from, 1000); r.Verdict != placement.Done {
			t.Fatalf("join with kinds from %d: %v", from, r.Verdict)
		}
	}
	if r := join(snapshot.KindsMax-3, 5); r.Verdict != placement.LimitReached {
		t.Errorf("two kinds too many: %v", r.Verdict)
	}
	if r := join(7, 5); r.Verdict != placement.Done {
		t.Errorf("kinds that are known: %v", r.Verdict)
	}
	if n := m.Publish().KindCount(); n != snapshot.KindsMax {
		t.Errorf("%d kinds are known, want %d", n, snapshot.KindsMax)
	}
}

// applier applies commands in entries of their own, or many in one.
type applier struct {
	t     *testing.T
	m     *Machine
	index uint64
}

func newApplier(t *testing.T) *applier {
	t.Helper()
	a := &applier{t: t, m: New(snapshot.Empty()), index: 1}
	if _, err := a.m.Apply(1, 1, EncodeStart(Start{ClusterID: "C"})); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *applier) all(commands []Command) []Result {
	a.t.Helper()
	var results []Result
	for part := range slices.Chunk(commands, placement.BatchCommandsMax) {
		var encoded [][]byte
		for _, c := range part {
			b, err := Encode(c)
			if err != nil {
				a.t.Fatal(err)
			}
			encoded = append(encoded, b)
		}
		a.index++
		out, err := a.m.Apply(a.index, 1, AppendEntry(nil, Batch{Term: 1}, encoded))
		if err != nil {
			a.t.Fatal(err)
		}
		results = append(results, out.Results...)
	}
	return results
}

func (a *applier) one(c Command) Result { a.t.Helper(); return a.all([]Command{c})[0] }

// A retry of a request whose answer may have been dropped is told so, and is not carried out; no other is.
func TestMachine_RequestForgotten_RetryIsNotCarriedOut(t *testing.T) {
	a := newApplier(t)
	place := func(request, key int, since uint64) Command {
		c := Command{Body: &Place{Identity: placement.Identity{Kind: "cart", Key: fmt.Sprint(key)}}, RetrySince: since}
		binary.BigEndian.PutUint64(c.Request[:], uint64(request+1))
		return c
	}
	a.one(Command{Body: &Join{placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}}})
	var many []Command
	for i := range snapshot.ResultsMax + 1000 {
		many = append(many, place(i, i, 0))
	}
	first := a.index + 1 // the index of the oldest request
	for i, r := range a.all(many) {
		if r.Verdict != placement.Done {
			t.Fatalf("request %d: %v", i, r.Verdict)
		}
	}
	last := len(many) - 1
	for _, again := range []bool{false, true} {
		if again {
			a.m = New(recode(t, a.m.Publish())) // what is forgotten is in a snapshot too
		}
		forgotten := a.m.Publish().ForgottenIndex()
		if forgotten < first || forgotten >= a.index {
			t.Fatalf("forgotten up to %d, of %d to %d", forgotten, first, a.index)
		}
		before, _ := a.m.Publish().Count()
		_, pending := a.m.Publish().Count()
		for _, tt := range []struct {
			name    string
			command Command
			want    placement.Verdict
		}{
			{"the oldest, from the beginning", place(0, 0, 1), placement.Forgotten},
			{"the oldest, from where it was", place(0, 0, first), placement.Forgotten},
			{"one that was never carried out, from there", place(-2, last+1, forgotten), placement.Forgotten},
			{"one that is remembered", place(last, last, 1), placement.Done},
		} {
			if r := a.one(tt.command); r.Verdict != tt.want || r.Remembered != (tt.want == placement.Done) {
				t.Errorf("%s: %v, remembered %t; want %v", tt.name, r.Verdict, r.Remembered, tt.want)
			}
		}
		if s, p := a.m.Publish().Count(); s != before || p != pending {
			t.Errorf("%d and %d placements, were %d and %d: a retry was carried out", s, p, before, pending)
		}
		n := 0
		if again {
			n = 10
		}
		for _, c := range []Command{place(-10-n, last+10+n, 0), place(-11-n, last+11+n, forgotten+1)} {
			if r := a.one(c); r.Verdict != placement.Done || r.Remembered {
				t.Errorf("one that cannot have been carried out before: %v, remembered %t", r.Verdict, r.Remembered)
			}
		}
	}
}

// The table of members is full when so many are alive, and has room again when one has ended, also behind a snapshot.
func TestMachine_MembersRunOut_JoinIsRefused(t *testing.T) {
	a := newApplier(t)
	join := func(n int) Command {
		return Command{Body: &Join{placement.Member{ID: placement.MemberID(fmt.Sprint("m", n)), Address: "h:1", Kinds: []string{"cart"}}}}
	}
	var leaves placement.Incarnation
	for n := range 3 {
		leaves = a.one(join(n)).Incarnation
	}
	for round := range 2 {
		// The table itself is small: as many as the limit take a minute.
		if a.m.members != 3 {
			t.Fatalf("%d members are counted, want 3", a.m.members)
		}
		others := MembersMax - a.m.members
		a.m.members += others
		late := join(10 + round)
		if r := a.one(late); r.Verdict != placement.LimitReached || a.m.Publish().Roster.Find(late.Body.(*Join).Member.ID) != nil {
			t.Errorf("one more: %v", r.Verdict)
		}
		if r := a.one(Command{Body: &Leave{Incarnation: leaves}}); r.Verdict != placement.Done {
			t.Fatalf("leave: %v", r.Verdict)
		}
		r := a.one(late)
		if leaves = r.Incarnation; r.Verdict != placement.Done {
			t.Errorf("after one has left: %v", r.Verdict)
		}
		if r := a.one(join(20)); r.Verdict != placement.LimitReached {
			t.Errorf("and one more: %v", r.Verdict)
		}
		a.m = New(recode(t, a.m.Publish()))
	}
}

// A strategy that comes with a later feature level is refused alike on servers that have it and on those that have not.
func TestKnows_GoesByTheFeatureLevelOfTheCluster(t *testing.T) {
	for _, tt := range []struct {
		level    uint32
		strategy string
		want     bool
	}{
		{0, "rendezvous", false}, {1, "rendezvous", true}, {1, "protoactor-go/1", true}, {1, "protoactor-go/2", false}, {2, "least-loaded", true}, {1, "", false},
	} {
		if got := knows(tt.level, tt.strategy); got != tt.want {
			t.Errorf("at level %d, %q is known: %t", tt.level, tt.strategy, got)
		}
	}
	for _, name := range placement.StrategyNames() {
		if !knows(FeatureLevel, name) {
			t.Errorf("%s is not known at level %d", name, FeatureLevel)
		}
	}
}

func TestMachine_KindsRunOut_SetKindIsRefused(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(1, 1)
	e.SetCluster(snapshot.Cluster{ID: "C", FeatureLevel: 1})
	for i := range snapshot.KindsMax {
		if err := e.AddKind(fmt.Sprint("k", i)); err != nil {
			t.Fatal(err)
		}
	}
	m := New(e.Publish())
	for i, tt := range []struct {
		kind string
		want placement.Verdict
	}{{"one-more", placement.LimitReached}, {"k7", placement.Done}} {
		b, err := Encode(Command{Body: &SetKind{Kind: tt.kind, Settings: placement.KindSettings{Attempts: 4}}})
		if err != nil {
			t.Fatal(err)
		}
		out, err := m.Apply(uint64(2+i), 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{b}))
		if err != nil || out.Results[0].Verdict != tt.want {
			t.Errorf("%s: %+v, %v, want %v", tt.kind, out, err, tt.want)
		}
	}
}

// Nothing of a choice may be kept: strategies get texts that point into the entry.
func TestMachine_ChoicesKeepNothing(t *testing.T) {
	m := New(snapshot.Empty())
	for _, l := range randomLog(t, 5, 300) {
		if _, err := m.Apply(l.index, l.term, l.data); err != nil {
			t.Fatal(err)
		}
		if q := m.query; q.Identity != (placement.Identity{}) || q.Near != (placement.Near{}) {
			t.Fatalf("index %d: %+v is kept", l.index, q)
		}
	}
}

func FuzzApply(f *testing.F) {
	for _, l := range randomLog(f, 1, 60) {
		f.Add(l.data)
	}
	base := New(snapshot.Empty())
	for _, l := range randomLog(f, 2, 100) {
		if _, err := base.Apply(l.index, 1, l.data); err != nil {
			f.Fatal(err)
		}
	}
	view := base.Publish()
	f.Fuzz(func(t *testing.T, data []byte) {
		a, b := New(view), New(view)
		a.Observed = true
		_, errA := a.Apply(view.Index+1, 1, data)
		_, errB := b.Apply(view.Index+1, 1, data)
		if (errA == nil) != (errB == nil) {
			t.Fatalf("one replica says %v, the other %v", errA, errB)
		}
		if errA != nil {
			return
		}
		va, vb := a.Publish(), b.Publish()
		if va.Digest() != vb.Digest() || va.Digest() != va.RecomputeDigest() {
			t.Fatalf("digests %v, %v, anew %v", va.Digest(), vb.Digest(), va.RecomputeDigest())
		}
	})
}
