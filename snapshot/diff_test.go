package snapshot

import (
	"maps"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
)

// owned is what a view says of identities that somebody owns.
func owned(v *View) map[placement.Identity]placement.Entry {
	m := map[placement.Identity]placement.Entry{}
	for p := range v.Placements() {
		if p.Owner != nil {
			m[p.Identity] = p.Entry
		}
	}
	return m
}

// What Diff says, done to the one view, gives the other; and it says nothing twice, and nothing that is not so.
func TestDiff_GivesTheOtherView(t *testing.T) {
	seen := map[ChangeType]int{}
	for seed := range uint64(underrace.Rounds(20, 6)) {
		var views []*View
		run(t, seed, nil, func(v *View) { views = append(views, v) })
		for i := 0; i < len(views); i += 1 + len(views)/8 {
			for _, j := range []int{0, i, len(views) - 1} {
				from, to := views[i], views[j]
				state, want := owned(from), owned(to)
				changed := map[placement.Identity]bool{}
				for c := range Diff(from, to) {
					id := c.From.Identity
					if changed[id] || c.To.Identity != id {
						t.Fatalf("%v is there twice, or with %v", id, c.To.Identity)
					}
					changed[id] = true
					seen[c.Type]++
					before, was := state[id]
					switch c.Type {
					case Placed:
						if was {
							t.Errorf("%v was placed already", id)
						}
						state[id] = c.To.Entry
					case Removed:
						delete(state, id)
					default:
						same := c.From.Owner.ID == c.To.Owner.ID
						if !was || before != c.From.Entry || (c.Type == Moved) == same || c.Type == Confirmed && before.Epoch != c.To.Entry.Epoch {
							t.Errorf("%v: %v from %+v to %+v", id, c.Type, c.From, c.To)
						}
						state[id] = c.To.Entry
					}
				}
				for id, e := range state {
					if !changed[id] && e != want[id] && (e.Owner != want[id].Owner || e.Epoch != want[id].Epoch || e.Phase != want[id].Phase) {
						t.Errorf("%v changed from %+v to %+v, and Diff did not say so", id, e, want[id])
					}
					state[id] = want[id] // what is no change of the owner, as draining
				}
				if !maps.Equal(state, want) {
					t.Fatalf("seed %d: from view %d to %d: %d placements, want %d", seed, i, j, len(state), len(want))
				}
			}
		}
	}
	for c := Placed; c <= Confirmed; c++ {
		if seen[c] == 0 {
			t.Errorf("no history had a change of type %v", c)
		}
	}
}
