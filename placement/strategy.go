package placement

// Query is one question to a Strategy.
type Query struct {
	// Identity is to be placed.
	Identity Identity
	// Attempt is the number of candidates that failed before: 0 asks for the best one, 1 for the second best.
	Attempt uint8
	// Load is the number of placements that a member owns.
	Load func(*Member) uint32
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

// StrategyNamed returns the built-in strategy of that name, nil when there is none.
func StrategyNamed(name string) Strategy {
	if name == StrategyDefault {
		return Rendezvous{}
	}
	return nil
}

// full says that the member has no room for another placement.
func (q *Query) full(m *Member) bool { return m.Capacity != 0 && q.Load(m) >= m.Capacity }
