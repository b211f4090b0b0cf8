package api

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// queryOf is the query by which an identity is placed under an epoch, and the settings of its kind.
func queryOf(v *snapshot.View, id placement.Identity, epoch placement.Epoch) (*placement.Query, *placement.KindSettings) {
	settings := v.KindSettings(id.Kind)
	return &placement.Query{
		Identity: id, Epoch: epoch, KindCapacity: settings.MemberCapacity,
		Load: func(m *placement.Member) uint32 {
			l := v.MemberLoad(m.Incarnation)
			return l.Settled + l.Pending
		},
		KindLoad: func(m *placement.Member) uint32 { return v.MemberKindLoad(m.Incarnation, id.Kind) },
	}, &settings
}

// unfit says why a member may not be given an identity of a kind; empty when it may.
func unfit(v *snapshot.View, m *placement.Member, kind string) string {
	q, settings := queryOf(v, placement.Identity{Kind: kind}, 0)
	return excludedText(q, settings, m, q.Excluded(settings, m))
}

// excludedText is an exclusion in words.
func excludedText(q *placement.Query, settings *placement.KindSettings, m *placement.Member, x placement.Exclusion) string {
	switch x {
	case placement.ExcludedByState:
		return m.State.String()
	case placement.ExcludedByKind:
		return "does not host " + q.Identity.Kind
	case placement.ExcludedByLabel:
		l, _ := settings.Missing(m)
		return "has no label " + l.Name + "=" + l.Value
	case placement.ExcludedByCapacity:
		if n := q.Load(m); m.Capacity != 0 && n >= m.Capacity {
			return fmt.Sprintf("is full: it owns %d", n)
		}
		return fmt.Sprintf("is full of %s: it owns %d", q.Identity.Kind, q.KindLoad(m))
	}
	return ""
}
