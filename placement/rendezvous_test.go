package placement

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func noLoad(*Member) uint32 { return 0 }

// loopback are members as processes on one machine are: nothing differs but the last digits.
func loopback(n int) (out []*Member) {
	for i := range n {
		m := testMember(fmt.Sprintf("127.0.0.1-%d", 9000+i), Incarnation(i+1), "k")
		m.Address = fmt.Sprintf("127.0.0.1:%d", 9000+i)
		out = append(out, m)
	}
	return out
}

func chooseID(key string, attempt uint8, from []*Member) MemberID {
	c := Rendezvous{}.Choose(&Query{Identity: Identity{"k", key}, Attempt: attempt, Load: noLoad}, from)
	for _, m := range from {
		if m.Incarnation == c.Owner {
			return m.ID
		}
	}
	return ""
}

func TestRendezvous_SharesFollowWeights(t *testing.T) {
	const keys = 60000
	for _, n := range []int{2, 3, 5, 16} {
		for _, weights := range [][]uint32{{100}, {1, 2, 3}} {
			from := loopback(n)
			total := uint32(0)
			for i, m := range from {
				m.Weight = weights[i%len(weights)]
				total += m.Weight
			}
			got := map[MemberID]int{}
			for i := range keys {
				got[chooseID(fmt.Sprint(i), 0, from)]++
			}
			for _, m := range from {
				want := float64(keys) * float64(m.Weight) / float64(total)
				// Three in a hundred, or four standard deviations where a share is so small that chance is more.
				slack := max(0.03*want, 4*math.Sqrt(want))
				if d := math.Abs(float64(got[m.ID]) - want); d > slack {
					t.Errorf("%d members, weights %v: %s of weight %d owns %d of %d keys, want %.0f ± %.0f", n, weights, m.ID, m.Weight, got[m.ID], keys, want, slack)
				}
			}
		}
	}
}

func TestRendezvous_ChangeMovesOnlyThatMembersKeys(t *testing.T) {
	const keys = 20000
	before := loopback(7)
	for i, m := range before {
		m.Weight = uint32(50 + 30*i)
	}
	const changed = 3
	name := before[changed].ID
	lighter := append([]*Member(nil), before...)
	half := *before[changed]
	half.Weight /= 2
	lighter[changed] = &half
	without := append(append([]*Member(nil), before[:changed]...), before[changed+1:]...)

	movedAway := 0
	for i := range keys {
		key := fmt.Sprint("key-", i)
		was := chooseID(key, 0, before)
		if now := chooseID(key, 0, without); was != name && now != was {
			t.Fatalf("%s moved from %s to %s when %s left", key, was, now, name)
		}
		now := chooseID(key, 0, lighter)
		if now != was && was != name {
			t.Fatalf("%s moved from %s to %s when %s got lighter", key, was, now, name)
		}
		if now != was {
			movedAway++
		}
	}
	if movedAway == 0 {
		t.Error("halving a weight moved nothing")
	}
}

func TestRendezvous_AttemptsWalkTheRanking(t *testing.T) {
	from := loopback(5)
	for i := range 500 {
		key := fmt.Sprint(i)
		seen := map[MemberID]bool{}
		left := from
		for attempt := range uint8(5) {
			id := chooseID(key, attempt, from)
			if seen[id] {
				t.Fatalf("%s: attempt %d gives %s again", key, attempt, id)
			}
			seen[id] = true
			// The next best of all is the best of those not tried yet.
			if best := chooseID(key, 0, left); best != id {
				t.Fatalf("%s: attempt %d gives %s, the best of the rest is %s", key, attempt, id, best)
			}
			var rest []*Member
			for _, m := range left {
				if m.ID != id {
					rest = append(rest, m)
				}
			}
			left = rest
		}
		if id := chooseID(key, 5, from); id != "" {
			t.Fatalf("%s: a sixth of five members is %s", key, id)
		}
	}
}

func TestRendezvous_FullMembersAreLeftOut(t *testing.T) {
	from := loopback(3)
	for _, m := range from {
		m.Capacity = 10
	}
	load := func(m *Member) uint32 {
		if m == from[1] {
			return 9
		}
		return 10
	}
	c := Rendezvous{}.Choose(&Query{Identity: Identity{"k", "x"}, Load: load}, from)
	if c.Owner != from[1].Incarnation || c.Reason != ReasonOnly {
		t.Errorf("chose %+v, want the only member with room", c)
	}
	c = Rendezvous{}.Choose(&Query{Identity: Identity{"k", "x"}, Load: func(*Member) uint32 { return 10 }}, from)
	if c != (Choice{}) {
		t.Errorf("chose %+v, want nobody", c)
	}
}

func TestNegLog2_AgreesWithTheLogarithm(t *testing.T) {
	for i := range 1 << 16 {
		u := ^(uint64(i)*uint64(i)*uint64(i)*65521 + uint64(i)) // falls, in uneven steps, over the whole range
		want := (64 - math.Log2(float64(u)+1)) * (1 << 32)
		if d := math.Abs(float64(negLog2(u)) - want); d > 1<<11 {
			t.Fatalf("negLog2(%#x) = %d, want %.0f", u, negLog2(u), want)
		}
	}
	for _, u := range []uint64{0, 1, 2, 3, 1 << 31, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64 - 1} {
		if negLog2(u) < negLog2(u+1) {
			t.Errorf("negLog2(%#x) = %d is under negLog2(%#x) = %d", u, negLog2(u), u+1, negLog2(u+1))
		}
	}
	if got := negLog2(math.MaxUint64); got > 1 {
		t.Errorf("negLog2 of the largest number is %d, want 0 or 1", got)
	}
	if got := negLog2(0); got > 64<<32 {
		t.Errorf("negLog2(0) = %d, want at most 64<<32", got)
	}
}

// The golden file keeps an upgrade, or another processor, from moving placements.
func TestRendezvous_Golden(t *testing.T) {
	var b strings.Builder
	for _, n := range []int{1, 3, 16} {
		from := loopback(n)
		for i, m := range from {
			m.Weight = []uint32{100, 50, 300}[i%3]
		}
		for _, key := range []string{"a", "42", "src/fmt/print.go", "日本語", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"} {
			fmt.Fprintf(&b, "%2d members  %-40s %s, then %s\n", n, key, chooseID(key, 0, from), chooseID(key, 1, from))
		}
	}
	const file = "testdata/rendezvous.golden"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("choices changed; got\n%s\nwant\n%s", b.String(), want)
	}
}
