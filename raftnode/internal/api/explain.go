package api

import (
	"cmp"
	"slices"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/snapshot"
)

// candidatesMax is how many members an explanation names.
const candidatesMax = 64

// explain says why an identity is placed as it is, and since when.
func (s *Server) explain(v *snapshot.View, id placement.Identity) *apiv1.Explanation {
	e, owner := v.Lookup(id)
	q, settings := queryOf(v, id, e.Epoch)
	x := &apiv1.Explanation{Now: timeMessage(v.Time), Barrier: v.Barrier, RemovedIndex: e.Removed, Strategy: settings.Strategy}
	if g := s.backend.Group(); g != nil && e.Phase == placement.Tombstone {
		x.Hold = holdMessage(g, v)
	}
	if owner != nil {
		x.OwnerState = owner.State.String()
		s.sinceWhen(v, id, &e, x)
	}
	if b, ok := v.Block(snapshot.Subject{Identity: id}); ok {
		x.Blocked = cmp.Or(b.Reason, "-")
	}
	if m, ok := v.Move(id); ok {
		x.MovingTo = string(m.To)
	}
	if c, ok := v.Crash(id); ok {
		x.Crashes, x.LastCrash = c.Count, timeMessage(c.Last)
	}
	// The kind's strategy looks at all members, as for a placement under the epoch.
	candidates := placement.Explain(placement.StrategyNamed(settings.Strategy), q, settings, membersOf(v))
	x.Members = uint32(len(candidates))
	for _, c := range candidates[:min(len(candidates), candidatesMax)] {
		x.Candidates = append(x.Candidates, &apiv1.Explanation_Candidate{
			Member: string(c.Member.ID), Incarnation: uint64(c.Member.Incarnation), Excluded: excludedText(q, settings, c.Member, c.Excluded), Rank: uint32(c.Rank),
			Load: c.Load, Weight: c.Member.Weight, Score: c.Score, Distance: uint32(c.Distance),
		})
	}
	return x
}

// sinceWhen tells when the owner was chosen, and when it confirmed.
func (s *Server) sinceWhen(v *snapshot.View, id placement.Identity, e *placement.Entry, x *apiv1.Explanation) {
	index, ok := v.Cluster.IndexOf(e.Epoch)
	if !ok {
		return
	}
	from, to := v.When(index)
	x.PlacedIndex, x.PlacedFrom, x.PlacedTo = index, timeMessage(from), timeMessage(to)
	g := s.backend.Group()
	if g == nil {
		return
	}
	for _, event := range g.Events().History(id, historyDefault, v.Index).Events {
		switch {
		case event.Epoch != e.Epoch:
		case event.Type == events.Placed:
			x.PlacedFrom, x.PlacedTo = timeMessage(event.Time), timeMessage(event.Time)
		case event.Type == events.Settled:
			x.SettledIndex, x.Settled = event.Index, timeMessage(event.Time)
		}
	}
}

// membersOf are all members, ascending by name and incarnation.
func membersOf(v *snapshot.View) (members []*placement.Member) {
	for m := range v.Members() {
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b *placement.Member) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return members
}
