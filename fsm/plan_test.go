package fsm

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Members join, drain, come back, are blocked, join again, end, and kinds ask for other labels; the candidates of every kind
// that is asked for now and then are those that the view would say.
func TestPlan_FollowsTheRoster(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := New(snapshot.Empty())
	index := uint64(0)
	apply := func(body Body) Result {
		t.Helper()
		index++
		data := EncodeStart(Start{ClusterID: "C", Seed: 1})
		if body != nil {
			c, err := Encode(Command{Body: body})
			if err != nil {
				t.Fatal(err)
			}
			data = AppendEntry(nil, Batch{Term: 1}, [][]byte{c})
		}
		out, err := m.Apply(index, 1, data)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Concat(out.Results, []Result{{}})[0]
	}
	apply(nil)
	kinds := []string{"cart", "room", "device"}
	zone := func(i int) placement.Label { return placement.Label{Name: "zone", Value: fmt.Sprint(i)} }
	followed, longest := 0, 0
	for round := range 5000 {
		name := placement.MemberID(fmt.Sprint("m", rng.IntN(30)))
		var inc placement.Incarnation
		if member := m.edit.View().Roster.Find(name); member != nil {
			inc = member.Incarnation
		}
		switch act := rng.IntN(8); {
		case inc == 0 && act > 1 && act < 5: // there is nobody
		case act < 2:
			apply(&Join{placement.Member{ID: name, Address: "h:1", Kinds: kinds[rng.IntN(2) : 2+rng.IntN(2)], Labels: []placement.Label{zone(rng.IntN(2))}}})
		case act == 2:
			apply(&Leave{inc})
		case act < 5:
			apply(&Drain{Incarnation: inc, Off: rng.IntN(2) == 0})
		case act == 5:
			apply(&Block{Subject: snapshot.Subject{Member: name}, By: "operator"})
		case act == 6:
			apply(&Unblock{snapshot.Subject{Member: name}})
		default:
			set := &SetKind{Kind: kinds[rng.IntN(3)]}
			if set.Unset.Require = rng.IntN(2) == 0; !set.Unset.Require {
				set.Settings.Require[0] = zone(rng.IntN(2))
			}
			if rng.IntN(10) == 0 {
				apply(set)
			}
		}
		for i, kind := range kinds {
			if rng.IntN(1+i*i*50) > 0 {
				continue
			}
			if p := m.plans.of[kind]; p != nil {
				longest = max(longest, len(m.plans.changed)-p.followed)
				followed++
			}
			v := m.edit.View()
			if got, want := m.plan(kind).candidates, v.Eligible(nil, kind); !slices.Equal(got, want) {
				t.Fatalf("round %d: %d candidates for %s, want %d", round, len(got), kind, len(want))
			}
		}
	}
	if followed < 1000 || longest < 20 {
		t.Errorf("%d plans were followed, over %d changes at most: the test shows nothing", followed, longest)
	}
}
