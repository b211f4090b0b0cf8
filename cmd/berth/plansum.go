package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/dustin/go-humanize"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// sum counts what a prediction says, by kind, by member and by pairs of members.
func (p *planning) sum(predicted *fsm.Prediction) *apiv1.Plan {
	v := predicted.Before
	plan := &apiv1.Plan{Cluster: v.Cluster.ID, Index: v.Index, ReplaceAll: p.what.ReplaceAll}
	kinds, members := map[string]*apiv1.Plan_Kind{}, p.members(predicted)
	for _, name := range predicted.Kinds {
		if p.kind == "" || name == p.kind {
			kinds[name] = &apiv1.Plan_Kind{Name: name, Strategy: predicted.After.KindSettings(name).Strategy, Certain: predicted.Certainty(name).String()}
		}
	}
	for _, id := range predicted.Ended {
		if k := kinds[id.Kind]; k != nil {
			k.Ended++
		}
	}
	flows := map[[2]string]*apiv1.Plan_Flow{}
	for m := range predicted.Moves() {
		k := kinds[m.Identity.Kind]
		if k == nil {
			continue
		}
		from, to := string(m.From.ID), ""
		members[from].Lost++
		if m.To == nil {
			k.Nobody++
		} else {
			to = string(m.To.ID)
			members[to].Got++
			k.Moved++
		}
		pair := [2]string{from, to}
		if flows[pair] == nil {
			flows[pair] = &apiv1.Plan_Flow{From: from, To: to}
		}
		flows[pair].Count++
	}
	plan.Kinds = slices.SortedFunc(maps.Values(kinds), func(a, b *apiv1.Plan_Kind) int { return cmp.Compare(a.Name, b.Name) })
	plan.Members = slices.SortedFunc(maps.Values(members), func(a, b *apiv1.Plan_Member) int { return cmp.Compare(a.Name, b.Name) })
	plan.Flows = slices.SortedFunc(maps.Values(flows), func(a, b *apiv1.Plan_Flow) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	for _, m := range plan.Members {
		plan.Owned += m.Before
		plan.Stay += m.Before - m.Lost
	}
	return plan
}

// members are all that there are before or after, with what they own then.
func (p *planning) members(predicted *fsm.Prediction) map[string]*apiv1.Plan_Member {
	list := map[string]*apiv1.Plan_Member{}
	of := func(id placement.MemberID) *apiv1.Plan_Member {
		if list[string(id)] == nil {
			list[string(id)] = &apiv1.Plan_Member{Name: string(id)}
		}
		return list[string(id)]
	}
	for _, m := range predicted.After.Roster.All() {
		of(m.ID).Weight = m.Weight
		switch old := predicted.Before.Roster.Find(m.ID); {
		case old == nil:
			of(m.ID).Change = "joins"
		case old.Incarnation != m.Incarnation:
			of(m.ID).Change = "joins again"
		}
	}
	for _, m := range predicted.Before.Roster.All() {
		if predicted.After.Roster.Find(m.ID) == nil {
			of(m.ID).Change = "leaves"
		}
	}
	p.owned(predicted.Before, func(id placement.MemberID) { of(id).Before++ })
	p.owned(predicted.After, func(id placement.MemberID) { of(id).After++ })
	return list
}

// owned calls count with the owner of each identity of a view that has one.
func (p *planning) owned(v *snapshot.View, count func(placement.MemberID)) {
	for x := range v.Placements() {
		if x.Owner != nil && (p.kind == "" || x.Identity.Kind == p.kind) {
			count(x.Owner.ID)
		}
	}
}

func planTable(r *output.Rows, p *apiv1.Plan) {
	comma := func(n uint64) string { return humanize.Comma(int64(n)) }
	r.Line("as of index %d: %s identities have an owner, %s of them stay where they are", p.Index, comma(p.Owned), comma(p.Stay))
	r.Line("")
	r.Row("MEMBER", "BEFORE", "AFTER", "LOST", "GOT", "WEIGHT", "CHANGE")
	for _, m := range p.Members {
		weight := ""
		if m.Weight != 0 {
			weight = fmt.Sprint(m.Weight)
		}
		r.Row(m.Name, comma(m.Before), comma(m.After), comma(m.Lost), comma(m.Got), weight, m.Change)
	}
	if len(p.Kinds) > 0 {
		r.Line("")
		r.Row("KIND", "STRATEGY", "ENDED", "MOVED", "NOBODY", "CERTAIN")
	}
	for _, k := range p.Kinds {
		r.Row(k.Name, k.Strategy, comma(k.Ended), comma(k.Moved), comma(k.Nobody), k.Certain)
	}
	if len(p.Flows) > 0 {
		r.Line("")
		r.Row("FROM", "TO", "IDENTITIES")
	}
	for _, f := range p.Flows {
		r.Row(f.From, f.To, comma(f.Count))
	}
}
