package placement

// RandomByIndex draws the member by the place in the log at which the identity is placed: each placement of an identity
// draws anew, and every replica draws the same. The draw is that of Rendezvous with the epoch hashed in, so shares follow
// the weights.
//
// A candidate that failed is followed by the next one of the ranking of Rendezvous.
type RandomByIndex struct{}

// Name is "random-by-index".
func (RandomByIndex) Name() string { return "random-by-index" }

// Choose returns the member that was drawn.
func (RandomByIndex) Choose(q *Query, candidates []*Member) Choice {
	if c, ok := q.following(candidates); ok {
		return c
	}
	key := q.drawKey()
	var best score
	eligible := 0
	for _, m := range candidates {
		if q.Full(m) {
			continue
		}
		eligible++
		if s := scoreOf(key, m); best.member == nil || s.less(best) {
			best = s
		}
	}
	return q.chose(best.member, eligible, ReasonRandom)
}

// drawKey is the key of an identity at one place in the log.
func (q *Query) drawKey() uint64 { return mix(rendezvousKey(q.Identity), uint64(q.Epoch)) }
