package placement

// PreferLocal picks the member that the request names as the nearest one, else the first in the ranking of Rendezvous
// among those that carry the label of the request, else the first of all. A member that is full, or does not host the
// kind, is near to nobody.
//
// A candidate that failed is followed by the next one of the ranking, near or not: the request is over by then.
type PreferLocal struct{}

// Name is "prefer-local".
func (PreferLocal) Name() string { return "prefer-local" }

// Choose returns the nearest member.
func (PreferLocal) Choose(q *Query, candidates []*Member) Choice {
	if c, ok := q.following(candidates); ok {
		return c
	}
	key := rendezvousKey(q.Identity)
	var best score
	var bestDistance uint8
	eligible := 0
	for _, m := range candidates {
		if q.Full(m) {
			continue
		}
		eligible++
		d, s := q.Near.distance(m), scoreOf(key, m)
		if best.member == nil || d < bestDistance || d == bestDistance && s.less(best) {
			best, bestDistance = s, d
		}
	}
	reason := ReasonRendezvous
	if bestDistance < 2 {
		reason = ReasonLocal
	}
	return q.chose(best.member, eligible, reason)
}
