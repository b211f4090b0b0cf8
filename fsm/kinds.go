package fsm

import (
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

func (m *Machine) applySetKind(b []byte) (Result, error) {
	c, err := decodeSetKind(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	v := m.edit.View()
	if c.Settings.Strategy != "" && !knows(v.Cluster.FeatureLevel, c.Settings.Strategy) {
		return Result{Verdict: placement.UnknownStrategy}, nil
	}
	old := v.KindSettings(c.Kind)
	next := c.Unset.from(c.Settings.Over(old))
	if next == old && v.HasKind(c.Kind) {
		return Result{Verdict: placement.Already}, nil
	}
	if err := m.edit.SetKind(c.Kind, next); err != nil {
		return Result{Verdict: placement.LimitReached}, nil
	}
	m.plans.settingsChanged(c.Kind)
	m.changed(Change{Type: KindChanged, Identity: placement.Identity{Kind: strings.Clone(c.Kind)}})
	return Result{Verdict: placement.Done}, nil
}

// from returns the settings without those that are to be unset.
func (u KindUnset) from(s placement.KindSettings) placement.KindSettings {
	if u.Require {
		s.Require = [placement.RequireMax]placement.Label{}
	}
	if u.MemberCapacity {
		s.MemberCapacity = 0
	}
	if u.ConfirmMs {
		s.ConfirmMs = 0
	}
	return s
}

// knows says whether every server of a cluster of the feature level has the strategy. Whether this one has it would be
// another answer on another version, and replicas would part: a strategy that comes later is refused everywhere until
// the level of the cluster is its own.
func knows(level uint32, strategy string) bool {
	const first = 1 // the level of all strategies that there are
	return level >= first && placement.StrategyNamed(strategy) != nil
}
