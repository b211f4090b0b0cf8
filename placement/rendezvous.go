package placement

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"
)

// Rendezvous is weighted highest-random-weight hashing (Thaler and Ravishankar 1998) in integer arithmetic.
//
// Each pair of identity and member gets a pseudo-random number u, even over 64 bits, and with it the waiting time
// -log2(u)/weight; the member that waits least wins. The waits are exponentially distributed with rates in
// proportion to the weights (the "exponential race"), so each member wins its share, and since a member's wait
// depends on nothing but the identity and the member itself, a member that leaves, joins or changes its weight moves
// only its own keys.
type Rendezvous struct{}

// Name is "rendezvous".
func (Rendezvous) Name() string { return StrategyDefault }

// Choose returns the member with the least wait; after a candidate that failed, the next one of the ranking.
func (Rendezvous) Choose(q *Query, candidates []*Member) Choice {
	if c, ok := q.following(candidates); ok {
		return c
	}
	key := rendezvousKey(q.Identity)
	var before, best score
	for attempt := uint8(0); ; attempt++ {
		best = score{}
		eligible := 0
		for _, m := range candidates {
			if q.Full(m) {
				continue
			}
			eligible++
			s := scoreOf(key, m)
			if (attempt == 0 || before.less(s)) && (best.member == nil || s.less(best)) {
				best = s
			}
		}
		if best.member == nil {
			return Choice{}
		}
		if attempt == q.Attempt {
			return q.chose(best.member, eligible, ReasonRendezvous)
		}
		before = best
	}
}

// score is one member's number for one identity.
type score struct {
	u      uint64
	member *Member
}

func scoreOf(key uint64, m *Member) score {
	hash := m.hash
	if hash == 0 {
		hash = memberKey(m.ID)
	}
	return score{u: mix(key, hash), member: m}
}

// less orders by -log2(u)/weight, compared as products under 2^59, then by the larger u, then by the smaller name.
// The logarithm never grows with u, so among equal weights the order is that of u alone.
func (s score) less(t score) bool {
	if s.member.Weight != t.member.Weight {
		a, b := negLog2(s.u)*uint64(t.member.Weight), negLog2(t.u)*uint64(s.member.Weight)
		if a != b {
			return a < b
		}
	}
	if s.u != t.u {
		return s.u > t.u
	}
	return s.member.ID < t.member.ID
}

// rendezvousKey hashes both parts of an identity, each after its length, so that no two identities read the same.
func rendezvousKey(id Identity) uint64 {
	var buf [KindBytesMax + KeyBytesMax + 2*binary.MaxVarintLen16]byte
	b := binary.AppendUvarint(buf[:0], uint64(len(id.Kind)))
	b = append(b, id.Kind...)
	b = binary.AppendUvarint(b, uint64(len(id.Key)))
	return xxh3.Hash(append(b, id.Key...))
}

// memberKey hashes a member's name, which it keeps over its restarts: its keys come back to it.
func memberKey(id MemberID) uint64 { return xxh3.HashString(string(id)) }

// mix gives the pair its number. The finaliser is splitmix64's (Steele, Lea and Flood 2014); it stands after the
// member's bytes, since hashes that end in the member's bytes give near-equal names near-equal scores.
func mix(key, member uint64) uint64 {
	z := key + member*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
