package placement

import "slices"

// Query is one question to a Strategy.
type Query struct {
	// Identity is to be placed.
	Identity Identity
	// Attempt is the number of candidates that failed before: 0 asks for the best one, 1 for the second best.
	Attempt uint8
	// Failed is the candidate that failed last; zero when Attempt is.
	Failed Incarnation
	// Epoch is the one that the placement will have. Random choices are drawn from it.
	Epoch Epoch
	// Near says where the request comes from.
	Near Near
	// Load is the number of placements that a member owns.
	Load func(*Member) uint32
	// KindCapacity is the number of placements of the identity's kind that one member may own at most; zero is no limit.
	KindCapacity uint32
	// KindLoad is the number of placements of the identity's kind that a member owns. It is called only when there is a
	// limit.
	KindLoad func(*Member) uint32
}

// Near says where a request comes from: which members are near to it. The zero value says nothing.
type Near struct {
	// Member is the nearest one, empty for none.
	Member MemberID
	// Label is one that all members near by carry; an empty name stands for none.
	Label Label
}

// Validate reports the rule that the member's name or the label breaks, as a *MemberError; nil when it breaks none.
func (n *Near) Validate() error {
	if n.Member != "" {
		if err := n.Member.Validate(); err != nil {
			return err
		}
	}
	if n.Label == (Label{}) {
		return nil
	}
	if rule := labelsRule([]Label{n.Label}); rule != "" {
		return &MemberError{string(n.Member), "label near by", rule}
	}
	return nil
}

// distance is 0 for the nearest member, 1 for those that carry the label, 2 for all others.
func (n *Near) distance(m *Member) uint8 {
	switch {
	case n.Member != "" && m.ID == n.Member:
		return 0
	case n.Label.Name != "" && slices.Contains(m.Labels, n.Label):
		return 1
	}
	return 2
}

// A Strategy picks the owner of an identity among the members that may host its kind, which it is given ascending
// by name. It is a pure function: equal input gives equal output on every replica and on every platform. It
// returns a zero Choice when no candidate is left. It must not keep or change candidates.
type Strategy interface {
	// Name is the word by which a kind names the strategy, with its version where there are several.
	Name() string
	// Choose picks the owner.
	Choose(q *Query, candidates []*Member) Choice
}

// StrategyDefault is the name of the strategy of kinds that name none.
const StrategyDefault = "rendezvous"

// strategies are the built-in ones, ascending by name.
var strategies = [...]Strategy{LeastLoaded{}, PreferLocal{}, ProtoActorGo1{}, RandomByIndex{}, Rendezvous{}}

// StrategyNamed returns the built-in strategy of that name, nil when there is none.
func StrategyNamed(name string) Strategy {
	for _, s := range strategies {
		if s.Name() == name {
			return s
		}
	}
	return nil
}

// StrategyNames are the names of the built-in strategies, ascending.
func StrategyNames() []string {
	var names []string
	for _, s := range strategies {
		names = append(names, s.Name())
	}
	return names
}

// Full says that the member has no room for another placement, or for none of the kind.
func (q *Query) Full(m *Member) bool {
	return m.Capacity != 0 && q.Load(m) >= m.Capacity || q.KindCapacity != 0 && q.KindLoad(m) >= q.KindCapacity
}

// chose is the choice of m, nil for nobody, among so many that were eligible.
func (q *Query) chose(m *Member, eligible int, reason Reason) Choice {
	switch {
	case m == nil:
		return Choice{}
	case q.Attempt > 0:
		reason = ReasonNextCandidate
	case eligible == 1:
		reason = ReasonOnly
	}
	return Choice{Owner: m.Incarnation, Reason: reason}
}

// following is the choice after a failed attempt, for strategies whose ranking is another one by then. The order in which
// Rendezvous ranks the members is walked as a circle from the candidate that failed, so nobody is asked twice, whoever was
// asked first. It is not ok on the first attempt, nor when the candidate that failed is none any more: then the strategy
// chooses anew.
func (q *Query) following(candidates []*Member) (c Choice, ok bool) {
	if q.Attempt == 0 {
		return Choice{}, false
	}
	i := slices.IndexFunc(candidates, func(m *Member) bool { return m.Incarnation == q.Failed })
	if i < 0 {
		return Choice{}, false
	}
	key := rendezvousKey(q.Identity)
	failed := scoreOf(key, candidates[i])
	var first, next score
	others := 0
	for _, m := range candidates {
		if m == failed.member || q.Full(m) {
			continue
		}
		others++
		s := scoreOf(key, m)
		if first.member == nil || s.less(first) {
			first = s
		}
		if failed.less(s) && (next.member == nil || s.less(next)) {
			next = s
		}
	}
	if int(q.Attempt) > others {
		return Choice{}, true // the circle is closed
	}
	if next.member == nil {
		next = first
	}
	return q.chose(next.member, others, ReasonNextCandidate), true
}
