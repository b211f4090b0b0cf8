package fsm

import (
	"slices"
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

// plan is what a choice for a kind needs.
type plan struct {
	candidates []*placement.Member // that may be given the kind, ascending by name; they belong to the plan
	strategy   placement.Strategy
	settings   placement.KindSettings
	followed   int // how many of plans.changed the candidates are up to date with
}

// plans are kept by kind. What changes in the roster is noted, and a plan follows it when it is asked for next: one member
// that comes or goes is one step, however many others there are.
type plans struct {
	of      map[string]*plan
	changed []placement.MemberID // names of the roster that changed since all plans were dropped last
}

const (
	// plansMax bounds the memory of the plans that are kept; a cluster with more kinds in use makes them again.
	plansMax = 4096
	// changesMax is how many changes are followed one by one. When there are more, all plans are dropped and made again.
	changesMax = 64
)

func newPlans() plans { return plans{of: map[string]*plan{}} }

// rosterChanged says that who stands for the name, or the state of it, is another one.
func (p *plans) rosterChanged(name placement.MemberID) {
	if len(p.changed) == changesMax {
		p.drop()
	}
	if len(p.of) > 0 {
		p.changed = append(p.changed, name)
	}
}

// settingsChanged says that a kind has other settings.
func (p *plans) settingsChanged(kind string) { delete(p.of, kind) }

func (p *plans) drop() {
	clear(p.of)
	p.changed = p.changed[:0]
}

// plan returns what a choice for the kind needs, up to date. kind points into the entry.
func (m *Machine) plan(kind string) *plan {
	v := m.edit.View()
	if p, ok := m.plans.of[kind]; ok {
		for _, name := range m.plans.changed[p.followed:] {
			p.follow(kind, name, v.Roster.Find(name))
		}
		p.followed = len(m.plans.changed)
		return p
	}
	s := v.KindSettings(kind)
	p := &plan{strategy: placement.StrategyNamed(s.Strategy), settings: s}
	if !v.HasKind(kind) {
		return p // not kept: strangers could fill the memory with kinds that nobody hosts
	}
	if len(m.plans.of) >= plansMax {
		m.plans.drop()
	}
	p.candidates, p.followed = v.Eligible(nil, kind), len(m.plans.changed)
	m.plans.of[strings.Clone(kind)] = p
	return p
}

// follow brings the candidates up to date with what became of one name, which member stands for, nil for nobody: they are
// those of View.Eligible.
func (p *plan) follow(kind string, name placement.MemberID, member *placement.Member) {
	i, is := slices.BinarySearchFunc(p.candidates, name, func(m *placement.Member, name placement.MemberID) int {
		return strings.Compare(string(m.ID), string(name))
	})
	may := member != nil && member.State == placement.MemberLive && member.Hosts(kind)
	if may {
		_, missing := p.settings.Missing(member)
		may = !missing
	}
	switch {
	case may && is:
		p.candidates[i] = member
	case may:
		p.candidates = slices.Insert(p.candidates, i, member)
	case is:
		p.candidates = slices.Delete(p.candidates, i, i+1)
	}
}
