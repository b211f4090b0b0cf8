package placement

// ProtoActorGo1 picks the member that protoactor-go picks (package cluster, Rendezvous): the score of a member is the
// 32-bit FNV-1a hash of the identity's key followed by the member's address, and the largest one wins. The kind is not
// hashed, weights do not count, of equal scores the smallest name wins, and a score of zero wins only when there is one
// member. It is for clusters that move over from there. Its shares are uneven on addresses that differ in their last
// digits alone, by the nature of the hash.
type ProtoActorGo1 struct{}

// Name is "protoactor-go/1".
func (ProtoActorGo1) Name() string { return "protoactor-go/1" }

// Choose returns the member with the largest score; with q.Attempt n the one that has n members before it.
func (ProtoActorGo1) Choose(q *Query, candidates []*Member) Choice {
	key := fnv1a(fnvOffset, q.Identity.Key)
	var before, best *Member
	var beforeScore, bestScore uint32
	for attempt := uint8(0); ; attempt++ {
		best, bestScore = nil, 0
		var last *Member
		eligible := 0
		for _, m := range candidates {
			if q.Full(m) {
				continue
			}
			eligible++
			last = m
			s := fnv1a(key, m.Address)
			if s > bestScore && (before == nil || s < beforeScore || s == beforeScore && m.ID > before.ID) {
				best, bestScore = m, s
			}
		}
		if eligible == 1 && attempt == 0 {
			best = last
		}
		if best == nil || attempt == q.Attempt {
			return q.chose(best, eligible, ReasonProtoActorGo)
		}
		before, beforeScore = best, bestScore
	}
}

const (
	fnvOffset = 2166136261
	fnvPrime  = 16777619
)

// fnv1a goes on with an FNV-1a hash over the bytes of s.
func fnv1a(h uint32, s string) uint32 {
	for i := 0; i < len(s); i++ {
		h = (h ^ uint32(s[i])) * fnvPrime
	}
	return h
}
