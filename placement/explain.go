package placement

import "slices"

// RankedMax is how many candidates an explanation ranks at most.
const RankedMax = 16

// Exclusion says why a member may not be given an identity. The zero value says that it may.
type Exclusion uint8

// The exclusions, in the order in which they are looked at.
const (
	// ExcludedByState: it is not live; Member.State says what it is.
	ExcludedByState Exclusion = iota + 1
	// ExcludedByKind: it does not host the kind.
	ExcludedByKind
	// ExcludedByLabel: it does not carry a label that the kind requires.
	ExcludedByLabel
	// ExcludedByCapacity: it has no room, for anything or for the kind.
	ExcludedByCapacity
)

// Candidate is what a strategy makes of one member.
type Candidate struct {
	Member *Member
	// Excluded says why it may not be given the identity; the fields below mean nothing then.
	Excluded Exclusion
	// Rank is 1 for the member that would be chosen, 2 for the one that would be if that were not there, and so on. It is
	// zero for those behind the first RankedMax.
	Rank int
	// Load is the number of placements that it owns.
	Load uint32
	// Score is the number that the strategy compares, smaller first but for protoactor-go/1. It is the waiting time of
	// rendezvous in units of 2^-52, or for least-loaded what the load would be for each unit of weight, in units of 2^-20.
	Score uint64
	// Distance is 0 for the member that the request is from, 1 for those near by, 2 for all others. Prefer-local looks at
	// it first.
	Distance uint8
}

// scored are strategies that can say which number they compare.
type scored interface{ score(*Query, *Member) uint64 }

// Explain says what a strategy makes of all members, for a query with Attempt zero: whom it would choose, whom after that,
// and who may not be given the identity and why. It asks the strategy itself, again and again without those that it has
// named, so it says what the strategy does. Candidates are those that are ranked, in their order, then those behind, then
// those that are excluded, each ascending by name and incarnation as members are given.
func Explain(s Strategy, q *Query, settings *KindSettings, members []*Member) []Candidate {
	var left []*Member
	var list, excluded []Candidate
	for _, m := range members {
		c := Candidate{Member: m, Load: q.Load(m), Distance: q.Near.distance(m), Excluded: q.Excluded(settings, m)}
		if x, ok := s.(scored); ok && c.Excluded == 0 {
			c.Score = x.score(q, m)
		}
		if c.Excluded != 0 {
			excluded = append(excluded, c)
			continue
		}
		left, list = append(left, m), append(list, c)
	}
	for rank := 1; rank <= RankedMax && len(left) > 0; rank++ {
		chosen := s.Choose(q, left).Owner
		i := slices.IndexFunc(left, func(m *Member) bool { return m.Incarnation == chosen })
		if i < 0 {
			break
		}
		at := slices.IndexFunc(list, func(c Candidate) bool { return c.Member == left[i] })
		list[at].Rank = rank
		left = slices.Delete(left, i, i+1)
	}
	slices.SortStableFunc(list, func(a, b Candidate) int {
		switch {
		case a.Rank == b.Rank:
			return 0
		case a.Rank == 0:
			return 1
		case b.Rank == 0:
			return -1
		}
		return a.Rank - b.Rank
	})
	return append(list, excluded...)
}

// Excluded says why a member may not be given the identity of the query; zero when it may.
func (q *Query) Excluded(settings *KindSettings, m *Member) Exclusion {
	switch _, missing := settings.Missing(m); {
	case m.State != MemberLive:
		return ExcludedByState
	case !m.Hosts(q.Identity.Kind):
		return ExcludedByKind
	case missing:
		return ExcludedByLabel
	case q.Full(m):
		return ExcludedByCapacity
	}
	return 0
}

// wait is the waiting time of a score, in units of 2^-52 for each unit of weight.
func (s score) wait() uint64 { return negLog2(s.u) << 20 / uint64(s.member.Weight) }

func (Rendezvous) score(q *Query, m *Member) uint64 {
	return scoreOf(rendezvousKey(q.Identity), m).wait()
}

func (PreferLocal) score(q *Query, m *Member) uint64 { return Rendezvous{}.score(q, m) }

func (RandomByIndex) score(q *Query, m *Member) uint64 {
	return scoreOf(q.drawKey(), m).wait()
}

func (LeastLoaded) score(q *Query, m *Member) uint64 {
	return (uint64(q.Load(m)) + 1) << 20 / uint64(m.Weight)
}

func (ProtoActorGo1) score(q *Query, m *Member) uint64 {
	return uint64(fnv1a(fnv1a(fnvOffset, q.Identity.Key), m.Address))
}
