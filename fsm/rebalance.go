package fsm

import (
	"fmt"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// RebalanceWithinMax is the largest Rebalancing.Within: a member may then own twice its share, or nothing.
	RebalanceWithinMax = 100
	// RebalanceMovesMax is the largest Rebalancing.Most: moves are kept in memory.
	RebalanceMovesMax = 1 << 24
)

// Rebalancing says what is to be evened out, and how far.
type Rebalancing struct {
	// Kind is the only kind that is looked at. Empty for all, but for those of the strategy prefer-local: their identities lie
	// where they are asked for, and are evened out only when their kind is named.
	Kind string
	// Within is how far from its share a member may be without anything being moved, in percent, 0 to RebalanceWithinMax; see
	// placement.Spread.
	Within uint32
	// Most is the number of moves at most, those that are on their way already among them, 1 to RebalanceMovesMax.
	Most int
}

// Rebalanced is what a Rebalancing leads to.
type Rebalanced struct {
	// Kinds are those that were looked at, ascending.
	Kinds []KindSpread
	// Begun are moves of these kinds that are on their way already, whoever wanted them, in the order of their identities' texts.
	Begun []snapshot.Move
	// Moves are those that are to be made, in an order in which nobody is given more than it has room for.
	Moves []RebalancedMove
}

// KindSpread is how the identities of one kind lie.
type KindSpread struct {
	Kind, Strategy string
	// Members are those that may be given the kind, ascending by name.
	Members []MemberSpread
	// Uneven is how many of them are too far from their share even after the moves: there were to be more of them, or what would
	// have to move cannot.
	Uneven int
}

// MemberSpread is what a member owns of a kind, what it should, and what it will after the moves. Where an identity is on its way
// to a member it counts there.
type MemberSpread struct {
	Member               *placement.Member
	Before, Share, After uint32
}

// RebalancedMove is one identity that is to be moved, while it has that epoch.
type RebalancedMove struct {
	Identity placement.Identity
	Epoch    placement.Epoch
	// From owns it, and To is to own it. They must not be changed.
	From, To *placement.Member
	// Reason says why it is To.
	Reason placement.Reason
}

// Rebalance says which settled placements would have to move so that what each member owns of each kind comes close to its
// share, by weight and by capacity. Only members that may be given the kind take part: what others own goes by other ways,
// with the end of a drain or a block. What is pending, or asked to stop already, as what is blocked is, is not moved.
//
// It is carried out by a Move for each, and nothing is taken from an owner that may still act. Whoever asks again when all are
// done is given none. It costs a pass over the view. Errors are ErrNoState, ErrFeatureLevel and a *RebalanceError.
func Rebalance(v *snapshot.View, r Rebalancing) (*Rebalanced, error) {
	switch {
	case v.Cluster.ID == "" || v.Index == 0:
		return nil, ErrNoState
	case v.Cluster.FeatureLevel > FeatureLevel:
		return nil, fmt.Errorf("%w: it needs feature level %d, this version has %d", ErrFeatureLevel, v.Cluster.FeatureLevel, FeatureLevel)
	case r.Within > RebalanceWithinMax:
		return nil, &RebalanceError{fmt.Sprintf("within %d percent: at most %d is allowed", r.Within, RebalanceWithinMax)}
	case r.Most < 1 || r.Most > RebalanceMovesMax:
		return nil, &RebalanceError{fmt.Sprintf("%d moves: 1 to %d are allowed", r.Most, RebalanceMovesMax)}
	case r.Kind != "" && !v.HasKind(r.Kind):
		return nil, &RebalanceError{fmt.Sprintf("there is no kind %.80q", r.Kind)}
	}
	b := &rebalancing{Rebalancing: r, view: v, of: map[string]*kindBalance{}, loads: map[placement.Incarnation]uint32{}}
	return b.run(), nil
}

// RebalanceError says which rule a Rebalancing breaks.
type RebalanceError struct{ Rule string }

// Error is the rule.
func (e *RebalanceError) Error() string { return "rebalance: " + e.Rule }

// rebalancing is one run of Rebalance.
type rebalancing struct {
	Rebalancing
	view  *snapshot.View
	kinds []*kindBalance // ascending by name
	of    map[string]*kindBalance
	loads map[placement.Incarnation]uint32 // what each member owns, of all kinds
}

// kindBalance is one kind on its way.
type kindBalance struct {
	name     string
	settings placement.KindSettings
	spread   placement.Spread
	at       map[placement.Incarnation]int // place in spread.Members
	before   []uint32
	may      []placement.OwnedIdentity // be moved
}

func (b *rebalancing) run() *Rebalanced {
	for _, m := range b.view.Roster.All() {
		load := b.view.MemberLoad(m.Incarnation)
		b.loads[m.Incarnation] = load.Settled + load.Pending
	}
	for kind := range b.view.Kinds() {
		s := b.view.KindSettings(kind)
		if b.Kind == kind || b.Kind == "" && s.Strategy != (placement.PreferLocal{}).Name() {
			b.kinds = append(b.kinds, b.kind(kind, s))
		}
	}
	for _, k := range b.kinds {
		b.of[k.name] = k
	}
	out := &Rebalanced{Begun: b.begun()}
	gathers := false
	for _, k := range b.kinds {
		k.spread.SetShares()
		gathers = gathers || k.spread.Uneven() > 0
	}
	if gathers {
		b.gather()
	}
	for _, k := range b.kinds {
		out.Moves = append(out.Moves, b.even(k, b.Most-len(out.Begun)-len(out.Moves))...)
		out.Kinds = append(out.Kinds, k.summary())
	}
	return out
}

// kind is what members own of a kind that may be given it.
func (b *rebalancing) kind(name string, s placement.KindSettings) *kindBalance {
	k := &kindBalance{name: name, settings: s, at: map[placement.Incarnation]int{}}
	k.spread = placement.Spread{Strategy: placement.StrategyNamed(s.Strategy), KindCapacity: s.MemberCapacity, Within: b.Within}
	for i, m := range b.view.Eligible(nil, name) {
		k.at[m.Incarnation] = i
		k.spread.Members = append(k.spread.Members, placement.SpreadMember{Member: m, Owned: b.view.MemberKindLoad(m.Incarnation, name), Load: b.loads[m.Incarnation]})
	}
	return k
}

// begun finds the moves that are on their way, and counts their identities where they go.
func (b *rebalancing) begun() (list []snapshot.Move) {
	for m := range b.view.Moves() {
		k := b.of[m.Identity.Kind]
		if k == nil {
			continue
		}
		if len(list) < b.Most {
			list = append(list, m)
		}
		to := b.view.Roster.Find(m.To)
		if to == nil {
			continue
		}
		if i, ok := k.at[to.Incarnation]; ok {
			k.spread.Members[i].Owned++
		}
		b.loads[to.Incarnation]++
		e, _ := b.view.Lookup(m.Identity)
		if e.Owner == 0 {
			continue
		}
		if i, ok := k.at[e.Owner]; ok {
			k.spread.Members[i].Owned--
		}
		b.loads[e.Owner]--
	}
	for _, k := range b.kinds {
		for i := range k.spread.Members {
			m := &k.spread.Members[i]
			m.Load = b.loads[m.Incarnation]
			k.before = append(k.before, m.Owned)
		}
	}
	return list
}

// gather finds the identities that may be moved: of kinds that are not even, on members that have more than their share.
func (b *rebalancing) gather() {
	gives := map[placement.Incarnation]bool{}
	uneven := map[string]*kindBalance{}
	for _, k := range b.kinds {
		if k.spread.Uneven() == 0 {
			continue
		}
		uneven[k.name] = k
		for i := range k.spread.Members {
			if m := &k.spread.Members[i]; m.Owned > m.Share {
				gives[m.Incarnation] = true
			}
		}
	}
	for p := range b.view.Placements() {
		k := uneven[p.Identity.Kind]
		if k == nil || p.Entry.Phase != placement.Settled || p.Entry.Draining || !gives[p.Entry.Owner] {
			continue
		}
		k.may = append(k.may, placement.OwnedIdentity{Identity: p.Identity, Owner: p.Entry.Owner, Epoch: p.Entry.Epoch})
	}
	for _, k := range b.kinds {
		slices.SortFunc(k.may, func(a, b placement.OwnedIdentity) int { return a.Identity.Compare(b.Identity) })
	}
}

// even evens one kind out, with what the kinds before it have moved.
func (b *rebalancing) even(k *kindBalance, most int) (moves []RebalancedMove) {
	for i := range k.spread.Members {
		m := &k.spread.Members[i]
		m.Load = b.loads[m.Incarnation]
	}
	if k.spread.Strategy == nil {
		return nil // of a later version
	}
	k.spread.SetShares()
	for _, m := range k.spread.Even(k.may, max(0, most)) {
		moves = append(moves, RebalancedMove{m.Identity, m.Epoch, b.view.Incarnation(m.Owner), m.To, m.Reason})
		b.loads[m.Owner]--
		b.loads[m.To.Incarnation]++
	}
	return moves
}

func (k *kindBalance) summary() KindSpread {
	s := KindSpread{Kind: k.name, Strategy: k.settings.Strategy, Uneven: k.spread.Uneven()}
	for i := range k.spread.Members {
		m := &k.spread.Members[i]
		s.Members = append(s.Members, MemberSpread{Member: m.Member, Before: k.before[i], Share: m.Share, After: m.Owned})
	}
	return s
}
