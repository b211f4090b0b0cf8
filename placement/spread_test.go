package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// randomSpread is a kind that lies anyhow on some members, and what of it may be moved.
func randomSpread(rng *rand.Rand, strategy Strategy) (*Spread, []OwnedIdentity) {
	s := &Spread{Strategy: strategy, Within: rng.Uint32N(40)}
	if rng.IntN(4) == 0 {
		s.KindCapacity = 1 + rng.Uint32N(40)
	}
	for i := range 1 + rng.IntN(8) {
		m := &Member{ID: MemberID(fmt.Sprint("m", i)), Incarnation: Incarnation(i + 1), Address: fmt.Sprintf("10.0.0.%d:9000", i), Weight: 1 + rng.Uint32N(300), State: MemberLive}
		other := rng.Uint32N(5)
		if rng.IntN(4) == 0 {
			m.Capacity = 1 + rng.Uint32N(60)
		}
		s.Members = append(s.Members, SpreadMember{Member: m, Load: other})
	}
	var may []OwnedIdentity
	for i := range rng.IntN(300) {
		o := &s.Members[rng.IntN(len(s.Members))]
		o.Owned++
		o.Load++
		if rng.IntN(10) > 0 {
			may = append(may, OwnedIdentity{Identity{Kind: "cart", Key: fmt.Sprint(i)}, o.Incarnation, MakeEpoch(1, uint64(i+1), 0)})
		}
	}
	return s, may
}

// away is how far the members are from their shares, all together.
func (s *Spread) away() (n uint64) {
	for _, m := range s.Members {
		n += uint64(max(m.Owned, m.Share) - min(m.Owned, m.Share))
	}
	return n
}

// Shares go by weight, nobody's is more than it has room for, and nothing is lost while there is room.
func TestSpread_Shares_GoByWeightAndRoom(t *testing.T) {
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 20))
		s, _ := randomSpread(rng, Rendezvous{})
		s.SetShares()
		total, shared, room := uint64(0), uint64(0), uint64(0)
		for i := range s.Members {
			m := &s.Members[i]
			total, shared, room = total+uint64(m.Owned), shared+uint64(m.Share), room+s.room(m)
			if uint64(m.Share) > s.room(m) {
				t.Fatalf("seed %d: %s has room for %d, and a share of %d", seed, m.ID, s.room(m), m.Share)
			}
			for j := range s.Members {
				// Of two that are not full, the shares are as the weights, but for the rounding.
				o := &s.Members[j]
				if uint64(m.Share) < s.room(m) && uint64(o.Share) < s.room(o) {
					a, b := uint64(m.Share)*uint64(o.Weight), uint64(o.Share)*uint64(m.Weight)
					if max(a, b)-min(a, b) > uint64(m.Weight)+uint64(o.Weight) {
						t.Fatalf("seed %d: shares %d and %d of weights %d and %d", seed, m.Share, o.Share, m.Weight, o.Weight)
					}
				}
			}
		}
		if shared != min(total, room) {
			t.Fatalf("seed %d: %d are owned, there is room for %d, and the shares are %d", seed, total, room, shared)
		}
	}
}

// It ends; every move brings the members closer to their shares; nobody gets more than it has room for; what is close enough
// stays; the same is answered again; and when nothing stands in the way, everybody is close enough afterwards.
func TestSpread_Even_OnlyGetsBetter(t *testing.T) {
	moved, even := 0, 0
	for seed := range uint64(2000) {
		rng := rand.New(rand.NewPCG(seed, 21))
		s, may := randomSpread(rng, strategies[seed%uint64(len(strategies))])
		s.SetShares()
		before, uneven := s.away(), s.Uneven()
		owned := map[Incarnation]uint32{}
		for _, m := range s.Members {
			owned[m.Incarnation] = m.Owned
		}
		again := *s
		again.Members = slices.Clone(s.Members)
		most := []int{1 << 20, rng.IntN(10)}[rng.IntN(2)]
		moves := s.Even(may, most)
		if len(moves) > most || uneven == 0 && len(moves) > 0 {
			t.Fatalf("seed %d: %d moves, at most %d, %d members uneven", seed, len(moves), most, uneven)
		}
		if got, want := s.away(), before-2*uint64(len(moves)); got != want {
			t.Fatalf("seed %d: %d moves brought %d away to %d, want %d", seed, len(moves), before, got, want)
		}
		seen := map[Identity]bool{}
		for _, m := range moves {
			if seen[m.Identity] || m.Owner == m.To.Incarnation || !slices.Contains(may, m.OwnedIdentity) {
				t.Fatalf("seed %d: %+v", seed, m)
			}
			seen[m.Identity] = true
			if !again.needs(m.Owner, m.To.Incarnation, owned) {
				t.Fatalf("seed %d: %+v, and both were close enough", seed, m)
			}
			owned[m.Owner]--
			owned[m.To.Incarnation]++
		}
		full := false
		for i := range s.Members {
			m := &s.Members[i]
			if owned[m.Incarnation] != m.Owned {
				t.Fatalf("seed %d: %s owns %d, and is said to own %d", seed, m.ID, owned[m.Incarnation], m.Owned)
			}
			full = full || uint64(m.Owned) > s.room(m)
		}
		if slices.Compare(textOf(again.Even(may, most)), textOf(moves)) != 0 {
			t.Fatalf("seed %d: another answer the second time", seed)
		}
		if rest := s.Even(nil, most); len(rest) != 0 {
			t.Fatalf("seed %d: %v of nothing", seed, rest)
		}
		moved += len(moves)
		// What cannot be moved, and members that own more than there is room for anywhere, may be in the way.
		if len(moves) < most && !full && s.Uneven() == 0 {
			even++
		}
		if len(moves) < most && s.Uneven() > 0 && !full && len(may) > 0 && movable(s, may, seen) {
			t.Fatalf("seed %d: %d members are uneven, and there was more to move", seed, s.Uneven())
		}
	}
	t.Logf("%d moves; everybody was even in %d of 2,000", moved, even)
	if moved < 1000 || even < 500 {
		t.Error("that shows nothing")
	}
}

// needs says that one of two members is too far from its share: the one that gives or the one that takes.
func (s *Spread) needs(gives, takes Incarnation, owned map[Incarnation]uint32) bool {
	for _, m := range s.Members {
		m.Owned = owned[m.Incarnation]
		if m.Incarnation == gives && s.over(&m) || m.Incarnation == takes && s.under(&m) {
			return true
		}
	}
	return false
}

func textOf(moves []SpreadMove) (list []string) {
	for _, m := range moves {
		list = append(list, fmt.Sprint(m.Identity, m.Owner, m.To.ID, m.Reason))
	}
	return list
}

// movable says that an identity is left on a member that owns too much, or on one with more than its share while another one
// owns too little.
func movable(s *Spread, may []OwnedIdentity, moved map[Identity]bool) bool {
	left := map[Incarnation]bool{}
	for _, o := range may {
		if !moved[o.Identity] {
			left[o.Owner] = true
		}
	}
	for i := range s.Members {
		for j := range s.Members {
			from, to := &s.Members[i], &s.Members[j]
			if left[from.Incarnation] && from.Owned > from.Share && to.Owned < to.Share && (s.over(from) || s.under(to)) {
				return true
			}
		}
	}
	return false
}

// When a member has joined, rendezvous gives it the identities that it would have had from the beginning, as far as that makes
// the members even.
func TestSpread_Even_FollowsTheStrategy(t *testing.T) {
	s := &Spread{Strategy: Rendezvous{}, Within: 10}
	var may []OwnedIdentity
	for i := range 4 {
		s.Members = append(s.Members, SpreadMember{Member: &Member{ID: MemberID(fmt.Sprint("m", i)), Incarnation: Incarnation(i + 1), Weight: 100, State: MemberLive}})
	}
	all := make([]*Member, 4)
	for i := range all {
		all[i] = s.Members[i].Member
	}
	for i := range 3000 {
		id := Identity{Kind: "cart", Key: fmt.Sprint(i)}
		owner := Rendezvous{}.Choose(&Query{Identity: id}, all[:3]).Owner
		s.Members[owner-1].Owned++
		s.Members[owner-1].Load++
		may = append(may, OwnedIdentity{id, owner, 1})
	}
	s.SetShares()
	moves, anyway := s.Even(may, 1<<20), 0
	for _, m := range moves {
		if (Rendezvous{}).Choose(&Query{Identity: m.Identity}, all).Owner == m.To.Incarnation {
			anyway++
		}
	}
	t.Logf("%d moves, %d of them where the strategy has it", len(moves), anyway)
	if len(moves) < 600 || len(moves) > 760 || anyway < len(moves)*95/100 || s.Uneven() != 0 {
		t.Errorf("%d moves, %d of them where the strategy has it, %d uneven", len(moves), anyway, s.Uneven())
	}
}

// Without members, or without anything, there is nothing to do.
func TestSpread_Nothing_IsEven(t *testing.T) {
	s := &Spread{Strategy: LeastLoaded{}}
	s.SetShares()
	if moves := s.Even([]OwnedIdentity{{Identity{Kind: "a", Key: "b"}, 7, 1}}, 10); len(moves) != 0 {
		t.Errorf("%v", moves)
	}
	s.Members = []SpreadMember{{Member: &Member{ID: "m", Incarnation: 1, Weight: 1}}}
	s.SetShares()
	if moves := s.Even(nil, 10); len(moves) != 0 || s.Members[0].Share != 0 {
		t.Errorf("%v, %+v", moves, s.Members[0])
	}
}
