package snapshot

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// manyMembers is a view with so many members that are alive.
func manyMembers(n int) *View {
	e := NewEditor(Empty())
	e.SetPosition(1, 1)
	e.SetCluster(Cluster{ID: "c", Seed: 99, FeatureLevel: 1})
	for _, k := range []string{"cart", "room"} {
		if err := e.AddKind(k); err != nil {
			panic(err)
		}
	}
	for i := range n {
		e.SetPosition(uint64(i+2), 1)
		e.Join(member(fmt.Sprintf("m%07d", (i*7919)%n), placement.Incarnation(i+1)))
	}
	return e.Publish()
}

// The roster is the same whether members came one by one or with a snapshot.
func TestDecode_ManyMembers_AreInTheirOrder(t *testing.T) {
	v := manyMembers(2000)
	got := recode(t, v).Roster
	if got.Len() != 2000 {
		t.Fatalf("%d members", got.Len())
	}
	for i, m := range v.Roster.All() {
		if g := got.All()[i]; g.ID != m.ID || g.Incarnation != m.Incarnation {
			t.Fatalf("member %d is %s, was %s", i, g.ID, m.ID)
		}
		if got.Find(m.ID) == nil {
			t.Fatalf("%s is not found", m.ID)
		}
	}
}

// BenchmarkDecode_Members is the cost of a member in a snapshot; it must not grow with their number.
func BenchmarkDecode_Members(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var file bytes.Buffer
			if err := manyMembers(n).Encode(&file); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := Decode(bytes.NewReader(file.Bytes())); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/member")
		})
	}
}
