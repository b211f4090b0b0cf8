package lease

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
)

// judge says what is violated.
func (m *hosts) judge(s *memberState) (violated string) {
	v := &m.views(s)[s.Len]
	holding := 0
	for j := range s.M {
		x := &s.M[j]
		if x.Holds == 0 || x.kept().Left(present) <= 0 {
			continue
		}
		holding++
		if v.entry.Phase != placement.Settled || int(v.owner) != j || v.entry.Epoch != placement.Epoch(x.Holds) {
			violated = fmt.Sprintf("m%d holds X with epoch %d, and the committed state does not say so", j, x.Holds)
		}
		if x.Holds < s.Highest {
			violated = fmt.Sprintf("m%d holds X with epoch %d after epoch %d was held", j, x.Holds, s.Highest)
		}
		s.Highest = max(s.Highest, x.Holds)
	}
	if holding > 1 {
		violated = "two members hold X"
	}
	return violated
}

// What has to come about.
const (
	reachHolds       = "a member holds X"
	reachHoldsChange = "a member holds X after a change of the leader"
	reachHoldsExpiry = "a member holds X after an expiry"
	reachRemembers   = "a member without a lease still remembers X, which another owns"
	reachOldExpire   = "a deposed leader's Expire is on its way"
)

func (m *hosts) reach(s *memberState, seen map[string]uint64) {
	v := &m.views(s)[s.Len]
	for j := range s.M {
		x := &s.M[j]
		switch {
		case x.Holds == 0:
		case x.Left > 0:
			seen[reachHolds]++
			if s.Term > 1 {
				seen[reachHoldsChange]++
			}
			if s.count(memberExpire) > 0 {
				seen[reachHoldsExpiry]++
			}
		case v.entry.Phase == placement.Settled && int(v.owner) != j:
			seen[reachRemembers]++
		}
	}
	for i := range s.S {
		if x := &s.S[i]; x.Expire == 1 && x.ExpireTerm < s.Term {
			seen[reachOldExpire]++
		}
	}
}
