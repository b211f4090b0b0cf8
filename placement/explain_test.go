package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// What is explained is what is decided: each rank is the choice among those behind, whatever the strategy, and the numbers
// that are shown rise, or fall, with the ranks.
func TestExplain_IsWhatIsChosen(t *testing.T) {
	settings := KindSettings{Require: [RequireMax]Label{{Name: "ssd"}}}
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 4))
		var members []*Member
		loads := map[*Member]uint32{}
		for i := range rng.IntN(30) {
			m := &Member{
				ID: MemberID(fmt.Sprintf("m%02d", i)), Incarnation: Incarnation(i + 1), Address: fmt.Sprintf("10.0.0.%d:9", rng.IntN(250)), Kinds: []string{"cart"},
				Weight: 1 + rng.Uint32N(300), State: MemberLive, Labels: []Label{{Name: "ssd"}, {Name: "zone", Value: []string{"a", "b"}[rng.IntN(2)]}},
			}
			loads[m] = rng.Uint32N(50)
			switch rng.IntN(12) {
			case 0:
				m.State = MemberDraining
			case 1:
				m.Kinds = []string{"room"}
			case 2:
				m.Labels = m.Labels[1:]
			case 3:
				m.Capacity = 25
			}
			m.Normalize()
			members = append(members, m)
		}
		q := Query{
			Identity: Identity{Kind: "cart", Key: fmt.Sprint(rng.IntN(1000))}, Epoch: Epoch(rng.Uint64()), Near: Near{Label: Label{Name: "zone", Value: "a"}},
			Load: func(m *Member) uint32 { return loads[m] },
		}
		for _, s := range strategies {
			list := Explain(s, &q, &settings, members)
			if len(list) != len(members) {
				t.Fatalf("seed %d, %s: %d of %d members are explained", seed, s.Name(), len(list), len(members))
			}
			left := slices.Clone(members)
			left = slices.DeleteFunc(left, func(m *Member) bool { return expelled(m, loads[m]) != 0 })
			ranked := 0
			for i, c := range list {
				if want := expelled(c.Member, loads[c.Member]); c.Excluded != want || c.Load != loads[c.Member] {
					t.Fatalf("seed %d, %s: %s is %+v, want excluded %d", seed, s.Name(), c.Member.ID, c, want)
				}
				if c.Excluded != 0 || c.Rank == 0 {
					continue
				}
				ranked++
				if got := s.Choose(&q, left).Owner; c.Rank != i+1 || got != c.Member.Incarnation {
					t.Fatalf("seed %d, %s: rank %d is %s, chosen is %d", seed, s.Name(), i+1, c.Member.ID, got)
				}
				left = slices.DeleteFunc(left, func(m *Member) bool { return m == c.Member })
				if i > 0 && !inOrder(s, &list[i-1], &c) {
					t.Fatalf("seed %d, %s: %+v is before %+v", seed, s.Name(), list[i-1], c)
				}
			}
			if want := min(RankedMax, ranked+len(left)); ranked != want {
				t.Fatalf("seed %d, %s: %d are ranked, want %d", seed, s.Name(), ranked, want)
			}
		}
	}
}

func expelled(m *Member, load uint32) Exclusion {
	switch {
	case m.State != MemberLive:
		return ExcludedByState
	case m.Kinds[0] != "cart":
		return ExcludedByKind
	case m.Labels[0].Name != "ssd":
		return ExcludedByLabel
	case m.Capacity != 0 && load >= m.Capacity:
		return ExcludedByCapacity
	}
	return 0
}

func inOrder(s Strategy, a, b *Candidate) bool {
	switch s.(type) {
	case ProtoActorGo1:
		return a.Score >= b.Score
	case PreferLocal:
		return a.Distance < b.Distance || a.Distance == b.Distance && a.Score <= b.Score
	}
	return a.Score <= b.Score
}
