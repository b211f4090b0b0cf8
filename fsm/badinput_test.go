package fsm

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Epochs, incarnations and indexes at the ends of their ranges are refused like any other that is wrong, and log positions
// there are taken.
func TestMachine_NumbersAtTheEnds_AreRefusals(t *testing.T) {
	const most = math.MaxUint64
	a := newApplier(t)
	inc := a.one(Command{Body: &Join{placement.Member{ID: "m1", Address: "h:1", Kinds: []string{"cart"}, Capacity: math.MaxUint32, Weight: placement.WeightMax}}}).Incarnation
	epoch := a.one(Command{Body: &Place{Identity: cart1}}).Entry.Epoch
	for _, tt := range []struct {
		body Body
		want placement.Verdict
	}{
		{&Confirm{cart1, inc, most}, placement.EpochMismatch}, {&Confirm{cart1, most, epoch}, placement.NotOwner}, {&Confirm{cart1, inc, 1}, placement.EpochMismatch},
		{&Fail{Identity: cart1, Epoch: most}, placement.EpochMismatch}, {&Release{cart1, most, most, placement.Failure{}}, placement.EpochMismatch}, {&Evict{cart1, most}, placement.EpochMismatch},
		{&Move{cart1, most, "m1"}, placement.EpochMismatch}, {&Leave{most}, placement.MemberGone}, {&Expire{most}, placement.MemberGone}, {&Drain{most, true, 0}, placement.MemberGone},
		{&SetFeatureLevel{math.MaxUint32}, placement.LevelNotReached},
		{&SetKind{Kind: "cart", Settings: placement.KindSettings{MemberCapacity: math.MaxUint32, ConfirmMs: placement.ConfirmMsMax}}, placement.Done},
		{&Block{Subject: snapshot.Subject{Member: "m2"}, Until: most}, placement.Done}, {&Block{Subject: snapshot.Subject{Member: "m3"}, Until: 1}, placement.Done}, {&Block{Subject: snapshot.Subject{Member: "m4"}, Lasts: most}, placement.Done},
	} {
		if r := a.one(Command{Body: tt.body}); r.Verdict != tt.want {
			t.Errorf("%T %+v: %v, want %v", tt.body, tt.body, r.Verdict, tt.want)
		}
	}
	retry := Command{Request: snapshot.RequestID{1}, RetrySince: most, Body: &Place{Identity: cart1}}
	if r := a.one(retry); r.Verdict != placement.Already {
		t.Errorf("a retry of the last index: %v", r.Verdict)
	}
	b, err := Encode(Command{Body: &Place{Identity: placement.Identity{Kind: "cart", Key: "2"}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, index := range []uint64{1 << 62, most - 1, most} {
		out, err := a.m.Apply(index, most, AppendEntry(nil, Batch{Term: most, Barrier: index - 1, Time: most}, [][]byte{b}))
		if err != nil || !out.Results[0].Verdict.OK() {
			t.Fatalf("index %d: %+v, %v", index, out, err)
		}
	}
	v := recode(t, a.m.Publish())
	if v.Index != most || v.Time != most || v.BlockCount() != 0 || v.Digest() != v.RecomputeDigest() {
		t.Errorf("index %d, time %d, %d blocks", v.Index, v.Time, v.BlockCount())
	}
	if _, err := a.m.Apply(0, most, nil); err == nil {
		t.Error("an index before the first was applied")
	}
}

func TestMachine_HostileKeys_AreKeptOrRefused(t *testing.T) {
	a := newApplier(t)
	a.one(Command{Body: &Join{placement.Member{ID: "m1", Address: "h:1", Kinds: []string{"cart", strings.Repeat("k", placement.KindBytesMax)}}}})
	longest := placement.Identity{Kind: strings.Repeat("k", placement.KindBytesMax), Key: strings.Repeat("ü", placement.KeyBytesMax/2)}
	for _, id := range []placement.Identity{
		longest, {Kind: "cart", Key: "a/b//c/"}, {Kind: "cart", Key: "日本語 🙂"}, {Kind: "cart", Key: "\u202egnp.exe"}, {Kind: "cart", Key: "<script>'\"&%00"}, {Kind: "cart", Key: "/"},
	} {
		r := a.one(Command{Body: &Place{Identity: id}})
		if e, _ := recode(t, a.m.Publish()).Lookup(id); r.Verdict != placement.Done || e != r.Entry {
			t.Errorf("%q: %v, %+v from a file", id, r.Verdict, e)
		}
		a.one(Command{Body: &Block{Subject: snapshot.Subject{Identity: id}}})
		if b, ok := recode(t, a.m.Publish()).Block(snapshot.Subject{Identity: id}); !ok || b.Identity != id {
			t.Errorf("%q: its block comes back as %+v", id, b)
		}
	}
	for _, key := range []string{"", "\x00", "a\x00b", "\xff", "a\nb", "\u0085", longest.Key + "x"} {
		id := placement.Identity{Kind: "cart", Key: key}
		for _, body := range []Body{&Place{Identity: id}, &Block{Subject: snapshot.Subject{Identity: id}}, &Move{Identity: id, To: "m1"}} {
			if _, err := Encode(Command{Body: body}); err == nil {
				t.Errorf("%T of %q was encoded", body, key)
			}
		}
	}
}

// A million members join and leave: memory holds what is alive, and each costs the same.
func TestMachine_AMillionMembersComeAndGo_MemoryIsBounded(t *testing.T) {
	a := newApplier(t)
	lives, perEntry := underrace.Rounds(1_000_000, 100_000), 64
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	var joins [100][]byte
	for i := range joins {
		var err error
		if joins[i], err = Encode(Command{Body: &Join{placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "h:1", Kinds: []string{"cart"}}}}); err != nil {
			t.Fatal(err)
		}
	}
	var begun uint64
	for n := 0; n < lives; n += perEntry {
		a.index++
		// The incarnation that a Join makes is known before it is applied: it is the epoch of its place.
		var commands [][]byte
		for i := range perEntry {
			leave, err := Encode(Command{Body: &Leave{placement.Incarnation(placement.MakeEpoch(0, a.index, 2*i))}})
			if err != nil {
				t.Fatal(err)
			}
			commands = append(commands, joins[i%len(joins)], leave)
		}
		out, err := a.m.Apply(a.index, 1, AppendEntry(nil, Batch{Term: 1, Barrier: a.index - 1}, commands))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range out.Results {
			if r.Verdict != placement.Done {
				t.Fatalf("entry %d, command %d: %v", a.index, i, r.Verdict)
			}
		}
		a.m.Publish()
		if n == 10*perEntry {
			begun = heap()
		}
	}
	if end := heap(); end > begun+8<<20 {
		t.Errorf("the heap grew from %d to %d bytes over %d members", begun, end, lives)
	}
	v := a.m.Publish()
	if n := v.Roster.Len(); n != 0 || a.m.members != 0 {
		t.Errorf("%d members are in the roster, %d counted", n, a.m.members)
	}
}
