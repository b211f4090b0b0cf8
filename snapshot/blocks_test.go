package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

func blocked(key string) Subject {
	return Subject{Identity: placement.Identity{Kind: "cart", Key: key}}
}

func TestEditor_Blocks_EndInTheOrderOfTheirTimes(t *testing.T) {
	e := newTestEditor()
	for i, until := range []uint64{300, 0, 100, 200, 100} {
		if err := e.PutBlock(Block{Subject: blocked(fmt.Sprint(i)), Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	// The end of a block that is replaced, or taken away, is that of nothing.
	for _, b := range []Block{{Subject: blocked("0"), Until: 150}, {Subject: blocked("3")}} {
		if err := e.PutBlock(b); err != nil {
			t.Fatal(err)
		}
	}
	e.DropBlock(blocked("4"))
	e.DropBlock(blocked("4"))
	e.DropBlock(Subject{Member: "never"})
	over := func(e *Editor) (keys []string) {
		for b, ok := e.BlockOver(); ok; b, ok = e.BlockOver() {
			keys = append(keys, b.Identity.Key)
			e.DropBlock(b.Subject)
		}
		return keys
	}
	again := NewEditor(recode(t, e.Publish()))
	for _, step := range []struct {
		time uint64
		want []string
	}{{99, nil}, {100, []string{"2"}}, {149, nil}, {1000, []string{"0"}}} {
		for name, e := range map[string]*Editor{"steady": e, "restarted": again} {
			e.AdvanceTime(step.time)
			if got := over(e); !slices.Equal(got, step.want) {
				t.Errorf("%s, at %d ms: %q are over, want %q", name, step.time, got, step.want)
			}
			if e.v.Digest() != e.v.RecomputeDigest() {
				t.Errorf("%s, at %d ms: the digest is off", name, step.time)
			}
		}
	}
	if e.v.Digest() != again.v.Digest() || e.v.BlockCount() != 2 {
		t.Errorf("%d blocks are left; digests %v and %v", e.v.BlockCount(), e.v.Digest(), again.v.Digest())
	}
	for _, key := range []string{"1", "3"} {
		e.DropBlock(blocked(key))
	}
	if e.Publish().Digest() == newTestEditor().Publish().Digest() {
		t.Error("the time is no part of the digest")
	}
	fresh := newTestEditor()
	fresh.AdvanceTime(99) // as above: when the log had its index is part of the state
	fresh.AdvanceTime(1000)
	if e.Publish().Digest() != fresh.Publish().Digest() {
		t.Error("blocks that are over leave a trace")
	}
}

func TestEditor_BlocksAndMoves_AreBounded(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m", 1))
	for i := range BlocksMax {
		if err := e.PutBlock(Block{Subject: blocked(fmt.Sprint(i)), Until: uint64(BlocksMax - i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range MovesMax {
		if err := e.PutMove(Move{blocked(fmt.Sprint(i)).Identity, "m"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.PutBlock(Block{Subject: Subject{Member: "one-more"}}); !errors.Is(err, ErrLimit) {
		t.Errorf("block %d: %v, want ErrLimit", BlocksMax, err)
	}
	if err := e.PutMove(Move{blocked("one-more").Identity, "m"}); !errors.Is(err, ErrLimit) {
		t.Errorf("move %d: %v, want ErrLimit", MovesMax, err)
	}
	if err := e.PutBlock(Block{Subject: blocked("7"), Reason: "another"}); err != nil {
		t.Errorf("a block that is there: %v", err)
	}
	if err := e.PutMove(Move{blocked("7").Identity, "m"}); err != nil {
		t.Errorf("a move that is there: %v", err)
	}
	v := e.Publish()
	got := recode(t, v)
	if got.BlockCount() != BlocksMax || got.MoveCount() != MovesMax || got.RecomputeDigest() != v.Digest() {
		t.Errorf("%d blocks and %d moves come back from a file", got.BlockCount(), got.MoveCount())
	}
	// The end of the member is the end of all moves to it.
	e.SetPosition(9, 1)
	e.End(1, placement.MemberLeft)
	if e.v.MoveCount() != 0 || len(e.movesTo) != 0 || e.v.Digest() != e.v.RecomputeDigest() {
		t.Errorf("%d moves are left", e.v.MoveCount())
	}
}

func TestEditor_OlderIncarnationEnds_MovesStay(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m", 1))
	e.Join(member("m", 2))
	if err := e.PutMove(Move{blocked("1").Identity, "m"}); err != nil {
		t.Fatal(err)
	}
	e.End(1, placement.MemberExpired)
	if _, ok := e.v.Move(blocked("1").Identity); !ok {
		t.Error("the end of the incarnation before took the move away")
	}
	e.End(2, placement.MemberExpired)
	if _, ok := e.v.Move(blocked("1").Identity); ok {
		t.Error("the move to nobody is still there")
	}
}

func TestView_Eligible_LooksAtTheLabels(t *testing.T) {
	e := newTestEditor()
	for i, zone := range []string{"a", "b", "a"} {
		m := member(fmt.Sprint("m", i), placement.Incarnation(i+1))
		m.Labels = []placement.Label{{Name: "zone", Value: zone}}
		e.Join(m)
	}
	if err := e.SetKind("cart", placement.KindSettings{Require: [placement.RequireMax]placement.Label{{Name: "zone", Value: "a"}}}); err != nil {
		t.Fatal(err)
	}
	names := func(kind string) (out []string) {
		for _, m := range e.v.Eligible(make([]*placement.Member, 1), kind)[1:] {
			out = append(out, string(m.ID))
		}
		return out
	}
	for kind, want := range map[string][]string{"cart": {"m0", "m2"}, "room": {"m0", "m1", "m2"}, "lobby": nil} {
		if got := names(kind); !slices.Equal(got, want) {
			t.Errorf("%s may go to %q, want %q", kind, got, want)
		}
	}
}

// What no machine could have written is refused, behind the checksums too.
func TestDecode_BlocksAndMovesThatMakeNoSense_AreRefused(t *testing.T) {
	block := func(b ...*snapshotpb.Block) *snapshotpb.Blocks { return &snapshotpb.Blocks{Blocks: b} }
	move := func(m ...*snapshotpb.Move) *snapshotpb.Moves { return &snapshotpb.Moves{Moves: m} }
	slot := func(state placement.MemberState, drained bool) *snapshotpb.Slots {
		m := member("m1", 5)
		m.State, m.Drained = state, drained
		return &snapshotpb.Slots{Slots: []*snapshotpb.Slot{{Member: memberMessage(m)}}}
	}
	rate := func(state placement.MemberState, drained bool) *snapshotpb.Slots {
		s := slot(state, drained)
		s.Slots[0].Member.DrainRate = 5
		return s
	}
	live := slot(placement.MemberLive, false)
	for _, tt := range []struct {
		name   string
		slots  *snapshotpb.Slots
		blocks *snapshotpb.Blocks
		moves  *snapshotpb.Moves
	}{
		{"of nothing", live, block(&snapshotpb.Block{}), nil},
		{"of two things", live, block(&snapshotpb.Block{Member: "m2", Kind: "cart", Key: "1"}), nil},
		{"of a name that is none", live, block(&snapshotpb.Block{Member: "a b"}), nil},
		{"of an identity that is none", live, block(&snapshotpb.Block{Kind: "cart", Key: "\x00"}), nil},
		{"a long reason", live, block(&snapshotpb.Block{Member: "m2", Reason: strings.Repeat("r", 256)}), nil},
		{"a long name of who", live, block(&snapshotpb.Block{Member: "m2", By: strings.Repeat("r", 129)}), nil},
		{"twice", live, block(&snapshotpb.Block{Member: "m2"}, &snapshotpb.Block{Member: "m2"}), nil},
		{"of a member that is live", live, block(&snapshotpb.Block{Member: "m1"}), nil},
		{"of a member that drains", slot(placement.MemberDraining, false), block(&snapshotpb.Block{Member: "m1"}), nil},
		{"drained and barred", slot(placement.MemberBarred, true), nil, nil},
		{"a rate of a barred member", rate(placement.MemberBarred, false), nil, nil},
		{"drained without a block", slot(placement.MemberDraining, true), nil, nil},
		{"a rate of a member that does not drain", rate(placement.MemberLive, false), nil, nil},
		{"a rate of a blocked member that does not drain", rate(placement.MemberBlocked, false), block(&snapshotpb.Block{Member: "m1"}), nil},
		{"a move of nothing", live, nil, move(&snapshotpb.Move{To: "m1"})},
		{"a move to nobody", live, nil, move(&snapshotpb.Move{Kind: "cart", Key: "1", To: "m2"})},
		{"a move twice", live, nil, move(&snapshotpb.Move{Kind: "cart", Key: "1", To: "m1"}, &snapshotpb.Move{Kind: "cart", Key: "1", To: "m1"})},
		{"a move to one that is barred", slot(placement.MemberBarred, false), nil, move(&snapshotpb.Move{Kind: "cart", Key: "1", To: "m1"})},
		{"a move to one that is superseded", slot(placement.MemberSuperseded, false), nil, move(&snapshotpb.Move{Kind: "cart", Key: "1", To: "m1"})},
	} {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		errs := []error{w.message(frameHeader, &snapshotpb.Header{Cluster: &snapshotpb.Cluster{}}), w.message(frameSlots, tt.slots)}
		if tt.blocks != nil {
			errs = append(errs, w.message(frameBlocks, tt.blocks))
		}
		if tt.moves != nil {
			errs = append(errs, w.message(frameMoves, tt.moves))
		}
		if err := errors.Join(append(errs, w.end())...); err != nil {
			t.Fatal(err)
		}
		var c *CorruptError
		if _, err := Decode(&b); !errors.As(err, &c) || strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: %v, want a CorruptError that is not about the digest", tt.name, err)
		}
	}
}

// Whatever a block, a move, a member or a kind says is part of the digest.
func TestDigest_CoversEveryField(t *testing.T) {
	block := func(b Block) func(*Editor) { return func(e *Editor) { _ = e.PutBlock(b) } }
	move := func(key, to string) func(*Editor) {
		return func(e *Editor) { _ = e.PutMove(Move{blocked(key).Identity, placement.MemberID(to)}) }
	}
	kind := func(s placement.KindSettings) func(*Editor) { return func(e *Editor) { _ = e.SetKind("cart", s) } }
	rate := func(s placement.MemberState, drained bool, rate uint32) func(*Editor) {
		return func(e *Editor) {
			m := *e.View().Roster.Find("m")
			m.State, m.Drained, m.DrainRate = s, drained, rate
			e.SetMember(&m)
		}
	}
	state := func(s placement.MemberState, drained bool) func(*Editor) { return rate(s, drained, 0) }
	label := func(n, v string) (l [placement.RequireMax]placement.Label) {
		l[0] = placement.Label{Name: n, Value: v}
		return l
	}
	member1, cart1 := Subject{Member: "m"}, blocked("1")
	changes := []func(*Editor){
		func(*Editor) {}, block(Block{Subject: member1}), block(Block{Subject: Subject{Member: "n"}}), block(Block{Subject: cart1}), block(Block{Subject: blocked("2")}),
		block(Block{Subject: Subject{Identity: placement.Identity{Kind: "room", Key: "1"}}}), block(Block{Subject: cart1, Reason: "r"}), block(Block{Subject: cart1, By: "r"}),
		block(Block{Subject: cart1, Since: 1}), block(Block{Subject: cart1, Until: 1}), move("1", "m"), move("2", "m"), move("1", "n"),
		state(placement.MemberBlocked, false), state(placement.MemberBlocked, true), state(placement.MemberDraining, false),
		rate(placement.MemberDraining, false, 1), rate(placement.MemberDraining, false, 2), rate(placement.MemberBlocked, true, 1),
		kind(placement.KindSettings{Settle: placement.SettleOnPlace}), kind(placement.KindSettings{MemberCapacity: 1}), kind(placement.KindSettings{ConfirmMs: 100}),
		kind(placement.KindSettings{MemberCapacity: 100}), kind(placement.KindSettings{Require: label("a", "b")}), kind(placement.KindSettings{Require: label("b", "a")}),
		kind(placement.KindSettings{Require: label("ab", "")}),
	}
	seen := map[Digest]int{}
	for i, change := range changes {
		e := newTestEditor()
		e.Join(member("m", 1))
		e.Join(member("n", 2))
		change(e)
		v := e.Publish()
		if other, ok := seen[v.Digest()]; ok {
			t.Errorf("changes %d and %d have one digest", i, other)
		}
		seen[v.Digest()] = i
		if v.RecomputeDigest() != v.Digest() {
			t.Errorf("change %d: the digest is off", i)
		}
	}
}

// Who was blocked stays so when the block is over: with another life beside it, and in a file.
func TestEditor_Join_FormerLifeThatWasBlocked_IsBarred(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m", 1))
	x := *e.View().Roster.Find("m")
	x.State, x.Drained, x.DrainRate = placement.MemberBlocked, true, 5
	e.SetMember(&x)
	alone := recode(t, e.Publish())
	if got := alone.Roster.Find("m"); got == nil || got.State != placement.MemberBlocked || !got.Drained || alone.RecomputeDigest() != e.v.Digest() {
		t.Errorf("blocked, and no block: a file has %+v", got)
	}
	e.Join(member("m", 2))
	v := recode(t, e.Publish())
	for _, v := range []*View{e.Publish(), v} {
		former := v.Incarnation(1)
		if former.State != placement.MemberBarred || former.Drained || former.DrainRate != 0 || v.Roster.Find("m").Incarnation != 2 || v.Roster.Len() != 1 {
			t.Errorf("the former life is %+v, and %+v stands for its name", former, v.Roster.Find("m"))
		}
	}
	e.SetPosition(9, 1)
	e.End(2, placement.MemberLeft)
	if v := recode(t, e.Publish()); v.Roster.Len() != 0 || v.Digest() != e.v.RecomputeDigest() {
		t.Errorf("%d stand for a name when only a barred one is left", v.Roster.Len())
	}
}
