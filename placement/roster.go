package placement

import (
	"slices"
	"strings"
)

// Roster is the set of members as of one log index: for each name the incarnation that stands for it,
// ascending by name. It is immutable; With and Without make another one.
type Roster struct {
	members []*Member
}

// NewRoster returns the roster of members, of which no two may have one name. It takes the slice and sorts it.
func NewRoster(members []*Member) Roster {
	slices.SortFunc(members, func(a, b *Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return Roster{members}
}

// Len is the number of members.
func (r Roster) Len() int { return len(r.members) }

// All returns the members, ascending by name. The slice and what it points to belong to the roster and must not be
// changed.
func (r Roster) All() []*Member { return r.members }

// Find returns the incarnation that stands for a name, nil when there is none. The member must not be changed.
func (r Roster) Find(id MemberID) *Member {
	i, ok := r.search(id)
	if !ok {
		return nil
	}
	return r.members[i]
}

func (r Roster) search(id MemberID) (int, bool) {
	return slices.BinarySearchFunc(r.members, id, func(m *Member, id MemberID) int {
		return strings.Compare(string(m.ID), string(id))
	})
}

// With returns a roster in which m stands for its name. m must not be changed afterwards.
func (r Roster) With(m *Member) Roster {
	i, ok := r.search(m.ID)
	next := make([]*Member, 0, len(r.members)+1)
	next = append(append(next, r.members[:i]...), m)
	if ok {
		i++
	}
	return Roster{append(next, r.members[i:]...)}
}

// Without returns a roster in which nobody stands for the name, provided that the incarnation does so in r; otherwise
// r itself.
func (r Roster) Without(id MemberID, inc Incarnation) Roster {
	i, ok := r.search(id)
	if !ok || r.members[i].Incarnation != inc {
		return r
	}
	return Roster{slices.Delete(slices.Clone(r.members), i, i+1)}
}

// Eligible appends to dst the members that may be given new placements of the kind, ascending by name, and returns it.
// Whether a member has room is not looked at: that changes with every placement.
func (r Roster) Eligible(dst []*Member, kind string) []*Member {
	for _, m := range r.members {
		if m.State == MemberLive && m.Hosts(kind) {
			dst = append(dst, m)
		}
	}
	return dst
}
