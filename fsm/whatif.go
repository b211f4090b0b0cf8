package fsm

import (
	"errors"
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// PredictionMax is the number of identities that one prediction places anew at most: they are kept in memory and sorted.
const PredictionMax = 1 << 24

// ErrPredictionTooLarge says that a prediction would place more than PredictionMax identities anew.
var ErrPredictionTooLarge = errors.New("too many identities for one prediction")

// WhatIfError says why a WhatIf cannot be.
type WhatIfError struct {
	// Member is the name that it is about, untrusted.
	Member string
	// Rule is the rule that is broken, a clause without a capital or a stop.
	Rule string
}

// Error names the member and the rule.
func (e *WhatIfError) Error() string { return fmt.Sprintf("member %.80q: %s", e.Member, e.Rule) }

// WhatIf is a change of the members, and of nothing else.
type WhatIf struct {
	// Remove are the names of members that leave, with all their lives.
	Remove []placement.MemberID
	// Weigh are members that join again with another weight and are otherwise as they are. What they own they keep; a
	// member that is in Remove as well gives it up, as a process does that is started anew.
	Weigh []Weighed
	// Add are members that join. A name that is there must be in Remove as well.
	Add []placement.Member
	// ReplaceAll looks at every identity that has an owner, as if all of them released it. Otherwise only those are
	// looked at that lose their owner by the change.
	ReplaceAll bool
	// Near is where the requests come from that place anew.
	Near placement.Near
}

// Weighed is a member with another weight, 1 to placement.WeightMax.
type Weighed struct {
	Member placement.MemberID
	Weight uint32
}

// commands are the commands that make the change: first all Joins, then a Leave for each life that ends. The error is a
// *WhatIfError, or that of a member's description.
func (w *WhatIf) commands(v *snapshot.View) ([]Body, error) {
	if err := w.Near.Validate(); err != nil {
		return nil, err
	}
	leaves := map[placement.MemberID]bool{}
	var list []Body
	for _, name := range w.Remove {
		if leaves[name] {
			return nil, &WhatIfError{string(name), "it is removed twice"}
		}
		if v.Roster.Find(name) == nil {
			return nil, &WhatIfError{string(name), "there is no such member to remove"}
		}
		leaves[name] = true
	}
	joins := map[placement.MemberID]bool{}
	join := func(m placement.Member) error {
		if joins[m.ID] {
			return &WhatIfError{string(m.ID), "it joins twice"}
		}
		if _, blocked := v.Block(snapshot.Subject{Member: m.ID}); blocked {
			return &WhatIfError{string(m.ID), "it is blocked, and may not join"}
		}
		joins[m.ID] = true
		c := &Join{m}
		list = append(list, c)
		return c.Validate()
	}
	for _, x := range w.Weigh {
		old := v.Roster.Find(x.Member)
		if old == nil {
			return nil, &WhatIfError{string(x.Member), "there is no such member to give a weight"}
		}
		if x.Weight == 0 || x.Weight > placement.WeightMax {
			return nil, &WhatIfError{string(x.Member), fmt.Sprintf("weight %d: 1 to %d is allowed", x.Weight, placement.WeightMax)}
		}
		m := *old
		m.Weight = x.Weight
		if err := join(m); err != nil {
			return nil, err
		}
	}
	for _, m := range w.Add {
		if v.Roster.Find(m.ID) != nil && !leaves[m.ID] {
			return nil, &WhatIfError{string(m.ID), "it is there already: give it a weight, or remove it as well"}
		}
		if err := join(m); err != nil {
			return nil, err
		}
	}
	for _, m := range lives(v) {
		if leaves[m.ID] {
			list = append(list, &Leave{m.Incarnation})
		}
	}
	return list, nil
}
