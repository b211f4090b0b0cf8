package fsm

import (
	"fmt"
	"slices"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// A crash for which the block list has no room holds nothing back, and is told as nothing but the failure that it is. The next
// one, when there is room, holds back for as long as their number says.
func TestMachine_CrashWithAFullBlockList_NextOneHoldsBack(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	for i := range snapshot.BlocksMax {
		if err := e.PutBlock(snapshot.Block{Subject: snapshot.Subject{Identity: placement.Identity{Kind: "room", Key: fmt.Sprint(i)}}}); err != nil {
			t.Fatal(err)
		}
	}
	m := New(e.Publish())
	m.Observed = true
	index := uint64(1)
	if _, err := m.Apply(index, 1, EncodeStart(Start{ClusterID: "C"})); err != nil {
		t.Fatal(err)
	}
	do := func(body Body) *Output {
		t.Helper()
		b, err := Encode(Command{Body: body})
		if err != nil {
			t.Fatal(err)
		}
		index++
		out, err := m.Apply(index, 1, AppendEntry(nil, Batch{Term: 1, Time: 1000}, [][]byte{b}))
		if err != nil || !out.Results[0].Verdict.OK() {
			t.Fatalf("%T: %v, %v", body, out, err)
		}
		return out
	}
	do(&Join{placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}})
	cart := placement.Identity{Kind: "cart", Key: "1"}
	boom := placement.Failure{Code: placement.FailureActivation, Text: "boom"}
	crash := func() (placed placement.Entry, changes []Change) {
		placed = do(&Place{Identity: cart}).Results[0].Entry
		return placed, do(&Fail{cart, placed.Epoch, boom}).Changes
	}
	types := func(changes []Change) (list []ChangeType) {
		for _, c := range changes {
			list = append(list, c.Type)
		}
		return list
	}
	for n := range 4 {
		if _, changes := crash(); !slices.Equal(types(changes), []ChangeType{PlacementChanged}) {
			t.Errorf("with crash %d came %v", n+1, types(changes))
		}
	}
	do(&Unblock{snapshot.Subject{Identity: placement.Identity{Kind: "room", Key: "7"}}})
	placed, changes := crash()
	if !slices.Equal(types(changes), []ChangeType{PlacementChanged, BlockAdded, RetryThrottled}) {
		t.Fatalf("with crash 5 came %v", types(changes))
	}
	b, c := changes[1], changes[2]
	if b.Block.Crashes != 5 || b.Block.By != BlockedByCrashes || b.Block.Identity != cart || b.Block.Placements != 0 || b.Cause != CauseFail {
		t.Errorf("the block is told as %+v by %v", b.Block, b.Cause)
	}
	if c.Identity != cart || c.Before != placed || c.Former == nil || c.Former.ID != "m" || *c.Failed != boom || c.Cause != CauseFail ||
		c.Block.Crashes != 5 || c.Block.Until != 1000+placement.CrashBackoffMs(5) {
		t.Errorf("the pause is told as %+v with %+v", c, c.Block)
	}
	if listed, ok := m.Publish().Block(snapshot.Subject{Identity: cart}); !ok || listed != c.Block.Block {
		t.Errorf("the block list has %+v, and told is %+v", listed, c.Block.Block)
	}
}
