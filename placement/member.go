package placement

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a member's description.
const (
	// MemberIDBytesMax is the length of the longest member name, in bytes.
	MemberIDBytesMax = 64
	// AddressBytesMax is the length of the longest address, in bytes.
	AddressBytesMax = 255
	// MemberKindsMax is the number of kinds that one member may host.
	MemberKindsMax = 1024
	// MemberLabelsMax is the number of labels that one member may carry.
	MemberLabelsMax = 32
	// LabelBytesMax is the length of the longest label name or value, in bytes.
	LabelBytesMax = 64
	// WeightDefault is the weight of a member that names none: large enough to halve several times.
	WeightDefault = 100
	// WeightMax is the largest weight. Not larger: a weight is multiplied with a 38-bit score in 64 bits.
	WeightMax = 1 << 20
)

// MemberID is the name that a member chose for itself and keeps over its restarts: 1 to MemberIDBytesMax bytes, an
// ASCII letter or digit, then letters, digits, '.', '_' or '-'.
type MemberID string

// An Incarnation is one life of a member, named by the epoch of the command that let it join. Zero is none. A
// member that joins again is another incarnation, and nothing that the former held is its own.
type Incarnation uint64

// MemberState is where an incarnation is in its life.
type MemberState uint8

// The states of a member. Live, Draining, Blocked, Superseded and Barred incarnations are alive: what they own is theirs. The
// others are over for good. The numbers are part of snapshots: a state is never renumbered.
const (
	// MemberLive may be given new placements.
	MemberLive MemberState = iota + 1
	// MemberDraining keeps what it owns and is given nothing new.
	MemberDraining
	// MemberLeft said itself that it stopped everything.
	MemberLeft
	// MemberExpired did not prove its lease in time.
	MemberExpired
	// MemberBlocked is on the block list, or was when it was live: it keeps what it owns, is asked to release it, is given
	// nothing new and no more time, and ends. It stands for its name until then.
	MemberBlocked
	// MemberSuperseded keeps what it owns until it ends; a newer incarnation stands for its name.
	MemberSuperseded
	// MemberBarred is both of that: blocked, and a newer incarnation stands for its name, or did.
	MemberBarred
)

// memberStateMax is the largest number of a state.
const memberStateMax = MemberBarred

var memberStates = [...]string{"unknown", "live", "draining", "left", "expired", "blocked", "superseded", "barred"}

// String is the state's word in lower case.
func (s MemberState) String() string {
	if int(s) < len(memberStates) {
		return memberStates[s]
	}
	return "unknown"
}

// Alive says whether an incarnation in this state may own placements.
func (s MemberState) Alive() bool {
	return s.Stands() || s == MemberSuperseded || s == MemberBarred
}

// Stands says whether an incarnation in this state stands for its name: no two of one name do.
func (s MemberState) Stands() bool {
	return s == MemberLive || s == MemberDraining || s == MemberBlocked
}

// Barred says whether a member in this state is on its way out for good: it is given nothing, no time either.
func (s MemberState) Barred() bool { return s == MemberBlocked || s == MemberBarred }

// Leaving says whether a member in this state is to be rid of what it owns.
func (s MemberState) Leaving() bool { return s == MemberDraining || s.Barred() }

// Known says whether the state is one of those above.
func (s MemberState) Known() bool { return s >= MemberLive && s <= memberStateMax }

// Label is one name=value that placement constraints can refer to.
type Label struct{ Name, Value string }

// Member describes one incarnation of a member. It is a value that is never changed once it is part of a Roster;
// a change makes a copy.
type Member struct {
	// ID is the name that the member keeps over its restarts.
	ID MemberID
	// Incarnation is this life of it.
	Incarnation Incarnation
	// Address is where the member's activations are reached, host:port. berth never dials it.
	Address string
	// Kinds are the kinds that it hosts, ascending and each once.
	Kinds []string
	// Labels are ascending by name, each name once.
	Labels []Label
	// Weight is its share of the keys relative to the other members, 1 to WeightMax. Zero stands for
	// WeightDefault.
	Weight uint32
	// Capacity is the number of placements it may own at most. Zero is no limit.
	Capacity uint32
	// State is where it is in its life.
	State MemberState
	// Drained says of a blocked member that it drained when it was blocked. It is false in every other state.
	Drained bool
	// DrainRate bounds how many placements a second a member is asked for while it drains; zero is no bound. It is zero when
	// it does not drain. Of a blocked member it is what was so before, and bounds nothing.
	DrainRate uint32
	// Ended is the log index at which the incarnation stopped being alive; zero while it is.
	Ended uint64

	hash uint64 // of ID, for Rendezvous; zero when Normalize was not called
}

// Normalize puts kinds and labels into their order, drops repeated kinds and fills in the default weight, so that
// equal descriptions are equal values. It changes m's slices in place. It must be called again when ID changes.
func (m *Member) Normalize() {
	slices.Sort(m.Kinds)
	m.Kinds = slices.Compact(m.Kinds)
	slices.SortStableFunc(m.Labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	if m.Weight == 0 {
		m.Weight = WeightDefault
	}
	m.hash = memberKey(m.ID)
}

// Hosts says whether the member registered the kind. Kinds must be in ascending order.
func (m *Member) Hosts(kind string) bool {
	_, ok := slices.BinarySearch(m.Kinds, kind)
	return ok
}

// Validate reports the first rule that the description breaks, as a *MemberError, or as the *IdentityError of a
// kind; nil when it breaks none. It expects a normalized member and does not look at Incarnation, State,
// Drained, DrainRate and Ended.
func (m *Member) Validate() error {
	if err := m.ID.Validate(); err != nil {
		return err
	}
	if rule := addressRule(m.Address); rule != "" {
		return &MemberError{string(m.ID), "address", rule}
	}
	if len(m.Kinds) == 0 || len(m.Kinds) > MemberKindsMax {
		return &MemberError{string(m.ID), "kinds", fmt.Sprintf("%d kinds, 1 to %d are allowed", len(m.Kinds), MemberKindsMax)}
	}
	for _, k := range m.Kinds {
		if err := ValidateKind(k); err != nil {
			return err
		}
	}
	if rule := labelsRule(m.Labels); rule != "" {
		return &MemberError{string(m.ID), "labels", rule}
	}
	if m.Weight > WeightMax {
		return &MemberError{string(m.ID), "weight", fmt.Sprintf("%d is over %d", m.Weight, WeightMax)}
	}
	return nil
}

// Validate reports the rule that the name breaks, as a *MemberError; nil when it breaks none.
func (id MemberID) Validate() error {
	if id == "" || len(id) > MemberIDBytesMax {
		return &MemberError{string(id), "name", fmt.Sprintf("%d bytes, 1 to %d are allowed", len(id), MemberIDBytesMax)}
	}
	for i := 0; i < len(id); i++ {
		if !nameByte(id[i], i == 0) {
			return &MemberError{string(id), "name", fmt.Sprintf("%q at byte %d: a name is an ASCII letter or digit, then letters, digits, '.', '_' or '-'", id[i], i)}
		}
	}
	return nil
}

func addressRule(addr string) string {
	if len(addr) > AddressBytesMax {
		return fmt.Sprintf("%d bytes, at most %d are allowed", len(addr), AddressBytesMax)
	}
	i := strings.LastIndexByte(addr, ':')
	if i < 1 {
		return "want host:port"
	}
	host, port := addr[:i], addr[i+1:]
	if v6 := host[0] == '[' && host[len(host)-1] == ']'; !v6 && strings.ContainsAny(host, ":[]") {
		return "want host:port, with an IPv6 host in brackets"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "the port is not a number from 1 to 65535"
	}
	if !printable(addr) {
		return "it has a space, a control character or bytes that are not UTF-8"
	}
	return ""
}

func labelsRule(labels []Label) string {
	if len(labels) > MemberLabelsMax {
		return fmt.Sprintf("%d labels, at most %d are allowed", len(labels), MemberLabelsMax)
	}
	for i, l := range labels {
		if l.Name == "" || len(l.Name) > LabelBytesMax || len(l.Value) > LabelBytesMax {
			return fmt.Sprintf("label %s: name and value have 1 and 0 to %d bytes", quoted(l.Name), LabelBytesMax)
		}
		if !printable(l.Name) || !printable(l.Value) {
			return fmt.Sprintf("label %s has a space, a control character or bytes that are not UTF-8", quoted(l.Name))
		}
		if i > 0 && labels[i-1].Name == l.Name {
			return fmt.Sprintf("label %s is given twice", quoted(l.Name))
		}
	}
	return ""
}

func printable(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
