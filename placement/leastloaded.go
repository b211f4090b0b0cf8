package placement

// LeastLoaded picks the member that owns least for its weight. What counts is what it would own with the placement at
// hand, so of two members without any the heavier one is first. Fractions are compared exactly, as products in 64 bits.
// Members of equal load are ranked as Rendezvous ranks them, so that they do not all get the same identities at once.
//
// A candidate that failed is followed by the next one of that ranking, whatever its load.
type LeastLoaded struct{}

// Name is "least-loaded".
func (LeastLoaded) Name() string { return "least-loaded" }

// Choose returns the member with the least load for its weight.
func (LeastLoaded) Choose(q *Query, candidates []*Member) Choice {
	if c, ok := q.following(candidates); ok {
		return c
	}
	key := rendezvousKey(q.Identity)
	var best *Member
	var bestLoad uint64
	eligible := 0
	for _, m := range candidates {
		if q.Full(m) {
			continue
		}
		eligible++
		load := uint64(q.Load(m)) + 1 // at most 2^32, and a weight at most 2^20
		if best != nil {
			a, b := load*uint64(best.Weight), bestLoad*uint64(m.Weight)
			if a > b || a == b && !scoreOf(key, m).less(scoreOf(key, best)) {
				continue
			}
		}
		best, bestLoad = m, load
	}
	return q.chose(best, eligible, ReasonLeastLoaded)
}
