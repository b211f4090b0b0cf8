package placement

// Spread is how the identities of one kind lie on the members that may own them, and how even that is to be.
type Spread struct {
	// Strategy picks where each identity goes, among those that have less than their share.
	Strategy Strategy
	// KindCapacity is the number of identities of the kind that one member may own at most; zero is no limit.
	KindCapacity uint32
	// Members may be given the kind, ascending by name. Even changes their numbers.
	Members []SpreadMember
	// Within is how far from its share a member may be without anything being moved, in percent of the share. One identity is
	// allowed in any case: shares are whole numbers.
	Within uint32
}

// SpreadMember is one member, what it owns and what it should.
type SpreadMember struct {
	*Member
	// Owned is the number of identities of the kind that it owns, and Load that of all kinds.
	Owned, Load uint32
	// Share is what it should own of the kind, by weight and capacity. Even sets it.
	Share uint32
}

// OwnedIdentity is one identity that may be moved.
type OwnedIdentity struct {
	Identity Identity
	Owner    Incarnation
	Epoch    Epoch
}

// SpreadMove is one identity that is to go to another member.
type SpreadMove struct {
	OwnedIdentity
	To *Member
	// Reason says why it is that one.
	Reason Reason
}

// SetShares gives every member its share of what all of them own: by weight, and not more than it has room for. What is left
// over when everybody's share is rounded down goes to the largest fractions, of equal ones to the first.
func (s *Spread) SetShares() {
	var left, weights uint64
	open := make([]bool, len(s.Members))
	for i := range s.Members {
		m := &s.Members[i]
		left += uint64(m.Owned)
		weights += uint64(m.Weight)
		open[i] = true
	}
	// Who has not room for its part gets as much as it has room for, and the others share the rest: that makes their parts
	// larger, so who was filled stays so.
	for filled := weights > 0; filled; {
		filled = false
		rest, heavy := left, weights
		for i := range s.Members {
			m := &s.Members[i]
			if room := s.room(m); open[i] && left*uint64(m.Weight)/weights >= room {
				m.Share, open[i], filled = uint32(room), false, true
				rest -= room
				heavy -= uint64(m.Weight)
			}
		}
		left, weights = rest, heavy
	}
	given := uint64(0)
	for i := range s.Members {
		if m := &s.Members[i]; open[i] && weights > 0 {
			m.Share = uint32(left * uint64(m.Weight) / weights)
			given += uint64(m.Share)
		}
	}
	for ; given < left && weights > 0; given++ {
		best, most := -1, uint64(0)
		for i := range s.Members {
			if fraction := left * uint64(s.Members[i].Weight) % weights; open[i] && (best < 0 || fraction > most) {
				best, most = i, fraction
			}
		}
		s.Members[best].Share++
		open[best] = false
	}
}

// room is the number of identities of the kind that a member may own, with what it owns of other kinds.
func (s *Spread) room(m *SpreadMember) uint64 {
	room := uint64(1)<<32 - 1
	if s.KindCapacity != 0 {
		room = uint64(s.KindCapacity)
	}
	if m.Capacity != 0 {
		room = min(room, uint64(m.Capacity)-min(uint64(m.Capacity), uint64(m.Load-m.Owned)))
	}
	return room
}

// slack is how far from its share a member may be.
func (s *Spread) slack(m *SpreadMember) uint64 { return max(1, uint64(m.Share)*uint64(s.Within)/100) }

func (s *Spread) over(m *SpreadMember) bool { return uint64(m.Owned) > uint64(m.Share)+s.slack(m) }

func (s *Spread) under(m *SpreadMember) bool { return uint64(m.Owned)+s.slack(m) < uint64(m.Share) }

// Uneven says how many members own too much or too little. Shares must be set.
func (s *Spread) Uneven() int {
	n := 0
	for i := range s.Members {
		if s.over(&s.Members[i]) || s.under(&s.Members[i]) {
			n++
		}
	}
	return n
}

// Even finds the moves after which every member is close enough to its share, at most so many; none when all are. Shares must
// be set. The identities may be moved, and must be in a fixed order: the answer goes by it. What is not among them stays where
// it is, and counts all the same.
//
// Every move takes from a member with more than its share and gives to one with less, and one of the two is too far from it: so
// nobody gets further away, and it ends. Identities come first that the strategy would give to such a member anyway, so
// a strategy by which each identity has its place is followed as far as that leaves the members even.
func (s *Spread) Even(identities []OwnedIdentity, most int) []SpreadMove {
	e := &evening{Spread: s, at: make(map[Incarnation]int, len(s.Members)), moved: make([]bool, len(identities))}
	for i := range s.Members {
		m := &s.Members[i]
		e.at[m.Incarnation] = i
		e.all = append(e.all, m.Member)
	}
	e.uneven = s.Uneven()
	for _, anyway := range []bool{true, false} {
		for i := range identities {
			if len(e.moves) >= most || e.uneven == 0 {
				return e.moves
			}
			if !e.moved[i] {
				e.moved[i] = e.move(&identities[i], anyway)
			}
		}
	}
	return e.moves
}

// evening is one run of Even.
type evening struct {
	*Spread
	at     map[Incarnation]int // place in Members
	all    []*Member
	some   []*Member // reused
	moved  []bool    // by place in the identities
	moves  []SpreadMove
	uneven int
}

// move moves one identity, when that helps. With anyway it goes only where the strategy would have it among all members.
func (e *evening) move(o *OwnedIdentity, anyway bool) bool {
	i, ok := e.at[o.Owner]
	if !ok || e.Members[i].Owned <= e.Members[i].Share {
		return false
	}
	from := &e.Members[i]
	takes := func(m *SpreadMember) bool {
		return m.Owned < m.Share && (e.over(from) || e.under(m))
	}
	candidates := e.all
	if !anyway {
		e.some = e.some[:0]
		for i := range e.Members {
			if takes(&e.Members[i]) {
				e.some = append(e.some, e.Members[i].Member)
			}
		}
		candidates = e.some
	}
	q := Query{
		Identity: o.Identity, Epoch: o.Epoch, KindCapacity: e.KindCapacity,
		Load:     func(m *Member) uint32 { return e.Members[e.at[m.Incarnation]].Load },
		KindLoad: func(m *Member) uint32 { return e.Members[e.at[m.Incarnation]].Owned },
	}
	c := e.Strategy.Choose(&q, candidates)
	j, ok := e.at[c.Owner]
	if !ok || !takes(&e.Members[j]) {
		return false
	}
	to := &e.Members[j]
	from.Owned--
	from.Load--
	to.Owned++
	to.Load++
	e.uneven = e.Uneven()
	e.moves = append(e.moves, SpreadMove{*o, to.Member, c.Reason})
	return true
}
