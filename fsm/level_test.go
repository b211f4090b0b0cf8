package fsm

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// later stands for a version that comes after this one.
const later = FeatureLevel + 1

func (a *applier) announce(name string, level uint32) {
	a.t.Helper()
	a.one(Command{Body: &RegisterServer{snapshot.Server{Name: name, Incarnation: "x", FeatureLevel: level}}})
}

// A cluster begins with the first level, whichever version applies its first Start.
func TestSetFeatureLevel_FirstStart_IsTheSameOnEveryVersion(t *testing.T) {
	var digests []snapshot.Digest
	for _, level := range []uint32{FeatureLevel, later} {
		m := New(snapshot.Empty())
		m.Level = level
		if _, err := m.Apply(1, 1, EncodeStart(Start{ClusterID: "C"})); err != nil {
			t.Fatal(err)
		}
		v := m.Publish()
		if v.Cluster.FeatureLevel != 1 {
			t.Errorf("a version of level %d begins with level %d", level, v.Cluster.FeatureLevel)
		}
		digests = append(digests, v.Digest())
	}
	if digests[0] != digests[1] {
		t.Errorf("digests %v: two versions part", digests)
	}
}

func TestSetFeatureLevel_Announced_IsRaisedAndStays(t *testing.T) {
	a := newApplier(t)
	a.m.Level = later
	set := func(level uint32) placement.Verdict { return a.one(Command{Body: &SetFeatureLevel{level}}).Verdict }
	for i, step := range []struct {
		what func()
		want placement.Verdict
	}{
		{func() {}, placement.LevelNotReached},
		{func() { a.announce("s1", later); a.announce("s2", later-1) }, placement.LevelNotReached},
		{func() { a.announce("s2", later) }, placement.Done},
		{func() { a.announce("s3", 1) }, placement.Already}, // too late: that server stops
	} {
		step.what()
		if got := set(later); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
	v := recode(t, a.m.Publish())
	if v.Cluster.FeatureLevel != later || v.Digest() != v.RecomputeDigest() {
		t.Errorf("the level is %d", v.Cluster.FeatureLevel)
	}
	if err := CheckLevel(v, FeatureLevel); !errors.Is(err, ErrFeatureLevel) {
		t.Errorf("this version takes the state: %v", err)
	}
	if err := CheckLevel(v, later); err != nil {
		t.Errorf("the later version does not take it: %v", err)
	}
}

// A server that does not understand the level that its cluster has reached must not go on.
func TestSetFeatureLevel_NotUnderstood_StopsTheServer(t *testing.T) {
	a := newApplier(t)
	a.announce("s1", later)
	b, err := Encode(Command{Body: &SetFeatureLevel{later}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.m.Apply(a.index+1, 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{b}))
	var ee *EntryError
	if !errors.Is(err, ErrFeatureLevel) || !errors.As(err, &ee) {
		t.Errorf("%v, want an EntryError of ErrFeatureLevel", err)
	}
}

// A command of a later level is refused by the state until that level is reached, by the versions that know it.
func TestMachine_CommandOfALaterLevel_IsRefusedUntilItIsReached(t *testing.T) {
	levels[opMove] = later
	t.Cleanup(func() { delete(levels, opMove) })
	a := newApplier(t)
	a.m.Level = later
	move := Command{Body: &Move{Identity: cart1, To: "m1"}}
	if r := a.one(move); r.Verdict != placement.LevelNotReached {
		t.Errorf("at level 1: %v", r.Verdict)
	}
	a.announce("s1", later)
	a.one(Command{Body: &SetFeatureLevel{later}})
	if r := a.one(move); r.Verdict != placement.NotPlaced {
		t.Errorf("at level %d: %v", later, r.Verdict)
	}
}

// Blocks that end together end a few with each entry, in one order on all replicas.
func TestMachine_ManyBlocksEnd_WorkIsBounded(t *testing.T) {
	a := newApplier(t)
	const blocks = 3*blocksEndedMax + 5
	var all []Command
	for i := range blocks {
		all = append(all, Command{Body: &Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}}, Until: uint64(1000 + i%7)}})
	}
	a.all(all)
	other := New(recode(t, a.m.Publish()))
	left := blocks
	for left > 0 {
		a.index++
		pulse := AppendEntry(nil, Batch{Term: 1, Time: 2000}, nil)
		for _, m := range []*Machine{a.m, other} {
			if _, err := m.Apply(a.index, 1, pulse); err != nil {
				t.Fatal(err)
			}
		}
		left -= min(left, blocksEndedMax)
		v := a.m.Publish()
		if v.BlockCount() != left || v.Digest() != other.Publish().Digest() || v.Digest() != v.RecomputeDigest() {
			t.Fatalf("at %d: %d blocks, want %d; digests %v, %v", a.index, v.BlockCount(), left, v.Digest(), other.Publish().Digest())
		}
	}
}

func TestMachine_BlocksAndMovesRunOut_AreRefused(t *testing.T) {
	a := newApplier(t)
	a.one(Command{Body: &Join{placement.Member{ID: "m1", Address: "h:1", Kinds: []string{"cart"}}}})
	a.one(Command{Body: &Join{placement.Member{ID: "m2", Address: "h:1", Kinds: []string{"cart"}}}})
	id := func(i int) placement.Identity { return placement.Identity{Kind: "cart", Key: fmt.Sprint(i)} }
	var places, moves, blocks []Command
	for i := range snapshot.MovesMax + 1 {
		places = append(places, Command{Body: &Place{Identity: id(i)}})
	}
	for i, r := range a.all(places) {
		to := placement.MemberID("m1")
		if r.Owner.ID == to {
			to = "m2"
		}
		moves = append(moves, Command{Body: &Move{Identity: id(i), To: to}})
	}
	for i := range snapshot.BlocksMax + 1 {
		blocks = append(blocks, Command{Body: &Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "room", Key: fmt.Sprint(i)}}}})
	}
	for what, list := range map[string][]Command{"move": moves, "block": blocks} {
		for i, r := range a.all(list) {
			want := placement.Done
			if i == len(list)-1 {
				want = placement.LimitReached
			}
			if r.Verdict != want {
				t.Errorf("%s %d: %v, want %v", what, i, r.Verdict, want)
			}
		}
	}
	// What is refused changes nothing: the placement is as it was.
	last := id(snapshot.MovesMax)
	if e, _ := a.m.Publish().Lookup(last); e.Phase != placement.Pending {
		t.Errorf("the placement whose move was refused is %+v", e)
	}
	// A place in the table is free again when the identity is placed.
	a.one(Command{Body: &Place{Identity: id(0)}})
	if r := a.one(moves[len(moves)-1]); r.Verdict != placement.Done {
		t.Errorf("with a place free: %v", r.Verdict)
	}
}
