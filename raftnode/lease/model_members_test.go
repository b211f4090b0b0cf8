package lease

import (
	"fmt"
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

// The model of members' leases: members that host one identity X, and three servers. The leader's table, and how a member
// counts, are this package's own; X is an entry of package placement. Raft and time are those of the reads. There are no read
// leases and no barrier here: a removed X is free at once, which allows more than the whole protocol does.
//
// A member holds X while its lease lasts by its own clock, its placement was confirmed, and it has not stopped. Who holds X
// is its owner, with that very epoch, in the newest committed state, so no two hold it; and nobody holds it with an epoch
// below one that was held.

const (
	membersMax   = 2
	memberLogMax = 12
)

// memberBounds say how far the model goes.
type memberBounds struct {
	terms, places, joins uint8 // joins: how often a member may join again
	ttl, drift           uint8 // in ticks
	lowerT               bool  // terms behind the first announce a shorter TTL
	members              uint8
	sessions             bool // the leases are those of sessions
	late, merged         bool
	leaders              int // how many servers may lead
}

const (
	memberStart = 1 + iota
	memberJoin
	memberPlace
	memberConfirm
	memberRelease
	memberExpire
	memberRemove // by a third party
)

// memberEntry is one of the log: Who is a server or a member, What an epoch or an incarnation.
type memberEntry struct{ Kind, Term, Who, What uint8 }

type keepaliveAsked struct{ There, Current, Covered, Incarnation uint8 }

type memberServer struct {
	Published, Tenure                       uint8
	Pulse, PulseAge                         uint8
	Expire, Expired, ExpiredInc, ExpireTerm uint8 // an Expire that was decided and not proposed yet
	Requests                                [membersMax]keepaliveAsked
	Left, Marked                            [membersMax]uint8 // ticks until it may be expired; whether it is marked
}

type memberHost struct {
	Incarnation, Left, Slow    uint8
	Asked, Age, AskedSlow      uint8
	Sent, SentCurrent, SentTTL uint8 // an answer on its way to it
	Holds, Answered, ToRelease uint8 // the epoch it holds; the newest whose Confirm was answered; one to be released
}

type memberState struct {
	Log                        [memberLogMax]memberEntry
	Len, Term, Leader, Started uint8
	Highest                    uint8 // the highest epoch that was ever held
	Joins                      uint8
	M                          [membersMax]memberHost
	S                          [servers]memberServer
}

// hosts is the model.
type hosts struct {
	memberBounds
	log   [memberLogMax]memberEntry // whose views these are
	seen  [memberLogMax + 1]memberView
	valid bool
}

// memberView is what the state of an index says: the incarnations that are alive, and X, as everybody sees it.
type memberView struct {
	alive [membersMax]uint8
	entry placement.Entry
	owner uint8 // the member whose incarnation owns X
}

func (m *hosts) views(s *memberState) *[memberLogMax + 1]memberView {
	if m.valid && m.log == s.Log {
		return &m.seen
	}
	for i := uint8(1); i <= s.Len; i++ {
		m.seen[i] = m.seen[i-1]
		m.seen[i].apply(s.Log[i-1], i)
	}
	m.log, m.valid = s.Log, true
	return &m.seen
}

func (v *memberView) apply(e memberEntry, index uint8) {
	x := v.entry
	owned := x.Phase == placement.Pending || x.Phase == placement.Settled
	switch e.Kind {
	case memberJoin:
		v.alive[e.Who] = index
	case memberPlace:
		x, _ = x.Place(placement.Epoch(index), false, func() placement.Choice {
			v.owner = e.Who
			return placement.Choice{Owner: placement.Incarnation(v.alive[e.Who])}
		})
	case memberConfirm:
		x, _ = x.Confirm(x.Owner, placement.Epoch(e.What))
	case memberRelease:
		x, _ = x.Release(x.Owner, placement.Epoch(e.What), uint64(index))
	case memberExpire:
		if v.alive[e.Who] != e.What {
			return
		}
		v.alive[e.Who] = 0
		if owned && x.Owner == placement.Incarnation(e.What) {
			x = x.Seen(uint64(index), everything)
		}
	case memberRemove:
		x = placement.Entry{}
	}
	if v.entry = x.Seen(0, everything); v.entry.Phase == placement.Absent {
		v.owner = 0
	}
}

// start: server 0 leads term 1, member 0 has joined, everybody knows it.
func (m *hosts) start() (s memberState) {
	s.Log[0] = memberEntry{memberStart, 1, 0, 0}
	s.Len, s.Term, s.Leader, s.Started = 1, 1, 0, 1
	for j := range m.members {
		s.Log[s.Len] = memberEntry{memberJoin, 1, j, 0}
		s.Len++
		s.M[j].Incarnation = s.Len
	}
	for i := range s.S {
		s.S[i].Published = s.Len
	}
	m.begin(&s, 0, 1)
	return s
}

const (
	memberConfirmStep = iota + restartStep // the steps that are not those of the reads
	memberReplyStep
	memberStopStep
	memberReleaseStep
	memberJoinStep
	memberRemoveStep
	memberDecideStep
	memberExpireStep
	memberPlaceStep
)

func (m *hosts) codes() (out []uint16) {
	clocks := 1
	if m.drift > 0 {
		clocks = 1 << m.members
	}
	for i := range clocks {
		out = append(out, code(tickStep, 0, i))
	}
	out = append(out, code(commitStartStep, 0, 0))
	ofServers := []int{electStep, applyStep, memberDecideStep, pulseStep, committedStep, grantStep, memberExpireStep}
	ofMembers := []int{giveUpStep, acceptStep, memberConfirmStep, memberReplyStep, memberStopStep, memberReleaseStep, memberJoinStep}
	if m.merged {
		ofServers, ofMembers = []int{electStep, applyStep, memberDecideStep}, []int{memberStopStep, memberJoinStep}
	}
	if m.merged && off(fence) {
		ofServers = append(ofServers, memberExpireStep)
	}
	for p := range m.leaders {
		for _, k := range ofServers {
			out = append(out, code(k, p, 0))
		}
		for set := range 1 << m.members {
			if m.merged {
				out = append(out, code(pulseStep, p, set), code(grantStep, p, set))
			}
		}
		for q := range int(m.members) {
			out = append(out, code(memberPlaceStep, p, q))
			if !m.merged {
				out = append(out, code(askStep, q, p))
			}
		}
	}
	for q := range int(m.members) {
		for _, k := range ofMembers {
			out = append(out, code(k, q, 0))
		}
	}
	if off(ownerOnly) {
		out = append(out, code(memberRemoveStep, 0, 0))
	}
	return out
}

func (m *hosts) describe(c uint16) string {
	kind, p, q := int(c>>6), int(c>>3&7), int(c&7)
	set := ""
	for i := range membersMax {
		if q>>i&1 == 1 {
			set += fmt.Sprintf(" m%d", i)
		}
	}
	switch kind {
	case tickStep:
		if set != "" {
			return "tick, not on the clock of" + set
		}
		return "tick"
	case electStep:
		return fmt.Sprintf("%d wins an election", p)
	case commitStartStep:
		return "the leader's Start is committed"
	case applyStep:
		return fmt.Sprintf("%d applies its next entry", p)
	case askStep:
		return fmt.Sprintf("m%d sends a keepalive to %d", p, q)
	case giveUpStep:
		return fmt.Sprintf("m%d gives up its keepalive", p)
	case pulseStep:
		return fmt.Sprintf("%d proposes a pulse%s", p, set)
	case committedStep:
		return fmt.Sprintf("the pulse of %d is confirmed", p)
	case grantStep:
		return fmt.Sprintf("%d learns of that and answers%s", p, set)
	case acceptStep:
		return fmt.Sprintf("m%d receives the answer", p)
	case memberDecideStep:
		return fmt.Sprintf("%d decides who has expired", p)
	case memberExpireStep:
		return fmt.Sprintf("Expire of %d is committed", p)
	case memberPlaceStep:
		return fmt.Sprintf("Place(X on m%d) of %d is committed", q, p)
	case memberConfirmStep:
		return fmt.Sprintf("Confirm of m%d is committed", p)
	case memberReplyStep:
		return fmt.Sprintf("m%d receives the answer to its Confirm", p)
	case memberStopStep:
		return fmt.Sprintf("m%d stops X", p)
	case memberReleaseStep:
		return fmt.Sprintf("Release of m%d is committed", p)
	case memberJoinStep:
		return fmt.Sprintf("m%d joins again", p)
	case memberRemoveStep:
		return "somebody else's removal of X is committed"
	}
	return "?"
}

func (m *hosts) show(s *memberState) string {
	var b strings.Builder
	for _, e := range s.Log[:s.Len] {
		fmt.Fprintf(&b, "%c%d", "?SJPCREF"[e.Kind], e.Who)
		if e.What != 0 {
			fmt.Fprintf(&b, "(%d)", e.What)
		}
		b.WriteByte(' ')
	}
	fmt.Fprintf(&b, "| term %d of %d", s.Term, int8(s.Leader))
	for i := range m.members {
		x := &s.M[i]
		fmt.Fprintf(&b, " | m%d: incarnation %d", i, x.Incarnation)
		if x.Left > 0 {
			fmt.Fprintf(&b, " LEASE %d", x.Left)
		}
		if x.Holds > 0 {
			fmt.Fprintf(&b, " HOLDS %d", x.Holds)
		}
		if x.Asked > 0 {
			fmt.Fprintf(&b, " asked %d ago", x.Age)
		}
		if x.Sent > 0 {
			b.WriteString(" answer on its way")
		}
	}
	for i := range s.S {
		x := &s.S[i]
		if x.Tenure > 0 {
			fmt.Fprintf(&b, " | %d: at %d tenure %d left %v marked %v", i, x.Published, x.Tenure, x.Left, x.Marked)
		}
		if x.Expire > 0 {
			fmt.Fprintf(&b, " Expire(m%d, term %d)", x.Expired, x.ExpireTerm)
		}
	}
	return b.String()
}
