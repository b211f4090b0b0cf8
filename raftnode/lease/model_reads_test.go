package lease

import (
	"fmt"
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

// The model of read leases: three servers, one identity X, and Raft as what it guarantees. The leader's tenures, the holders
// and their leases are this package's own; X is an entry of package placement. What the driver of the rules does, and the
// state machine around an entry, is the model's.
//
// Raft: there is the committed log, to which only the winner of the newest election appends, at any moment until the next
// one. An entry in flight when the leader fell, and committed by the next one, is an append just before the election which
// the old leader never hears of. A server applies what is committed in order and as late as it likes. A deposed leader goes
// on acting. Pauses, and messages that are late or lost, are steps that are taken late or not at all.
//
// Time: a tick moves every clock, but a holder's own may stand still for one within a lease. Leaders' clocks are exact, since
// only the ratio of two matters.

const (
	servers = 3
	former  = servers     // the slot of a former life of a server, beside those of the servers
	slots   = servers + 1 // who may hold a lease
	logMax  = 8
	nobody  = 255
)

// readBounds say how far the model goes.
type readBounds struct {
	terms, places, removes uint8
	batches                uint8 // entries that carry a barrier alone
	restart                bool  // one server starts again once, from an old snapshot
	holders                uint8 // servers that may ask for leases: 1 is server 1 and the former leader 0
	d, drift               uint8 // the read lease, and what a clock may lose within one, in ticks
	lowerD                 bool  // terms behind the first announce a shorter lease
	self                   bool  // leaders have leases of their own
	checkFirst, loadFirst  bool  // reads in two steps: the lease is checked and then the state loaded, or the other way round
	oldIndex               bool  // grants go by the index that was published when their pulse was proposed
	late                   bool  // a tenure does not end by itself when its server learns of a later term
	merged                 bool  // steps whose delay can only help the protocol are one
}

const (
	startEntry = 1 + iota
	placeEntry
	removeEntry
	batchEntry
)

type readEntry struct{ Kind, Term, Server, Barrier uint8 }

// asked is a request that waits at a leader: whether its answer is still waited for, whether the pulse covers it, and what
// it acknowledges.
type asked struct{ There, Current, Covered, Index uint8 }

// record of a holder in a leader's table: ticks left, and its low. One without ticks has lapsed and is still there.
type record struct{ Left, Low uint8 }

type readServer struct {
	Published                               uint8
	Left, Floor, Slow                       uint8 // its lease: ticks left by its own clock, the floor, ticks that clock has lost
	Asked, Age, AskedSlow                   uint8 // the outstanding request (2: of itself), ticks since, ticks lost
	Sent, SentCurrent, SentFloor, SentTicks uint8 // a grant on its way to it
	Tenure, Wait, Barrier                   uint8 // its tenure's term, ticks of the wait that are left, the barrier
	Pulse, PulseAge, PulseIndex             uint8 // 1 proposed, 2 committed
	Heartbeat                               uint8 // an acknowledgement of an old heartbeat is on its way
	Place, PlaceBarrier, PlaceTerm          uint8 // a Place that was decided and not proposed yet
	Requests                                [slots]asked
	Records                                 [slots]record
}

type readState struct {
	Log                             [logMax]readEntry
	Len, Term, Leader, Started      uint8 // of the log; the newest election, and whether its Start is committed
	Former                          uint8 // the server that started again, plus one
	Shown                           uint8 // the newest version of X that anybody may have been shown
	LateAck, LateAckSlot, LateIndex uint8 // an acknowledgement of the former life, on its way
	Read, ReadAt, ReadShown         uint8 // a read in two steps: its stage, its server, what had been shown as it was asked
	ReadIndex, ReadVersion          uint8
	S                               [servers]readServer
}

// reads is the model.
type reads struct {
	readBounds
	log     [logMax]readEntry // whose views these are
	seen    [logMax + 1]view
	valid   bool
	scratch Tenure
	table   map[uint64]*Record
	records [slots]Record
}

// view is what the state of an index says of X.
type view struct {
	entry   placement.Entry // as it is stored
	version uint8           // the index of what made it so
	barrier uint8
}

// at is how X is seen behind a barrier that may be newer than the state.
func (v *view) at(barrier uint8) placement.Phase {
	return v.entry.Seen(0, uint64(max(v.barrier, barrier))).Phase
}

// views are the views of every index of the log.
func (m *reads) views(s *readState) *[logMax + 1]view {
	if m.valid && m.log == s.Log {
		return &m.seen
	}
	for i := uint8(1); i <= s.Len; i++ {
		m.seen[i] = m.seen[i-1]
		x, e := &m.seen[i], s.Log[i-1]
		x.barrier = max(x.barrier, e.Barrier)
		barrier := pick(placeBarrier, everything, uint64(x.barrier))
		next, verdict := x.entry, placement.Already
		switch e.Kind {
		case placeEntry:
			next, verdict = x.entry.Seen(0, barrier).Place(placement.Epoch(i), true, func() placement.Choice { return placement.Choice{Owner: 1} })
		case removeEntry:
			next, verdict = x.entry.Release(1, x.entry.Epoch, uint64(i))
		}
		if verdict == placement.Done {
			x.entry, x.version = next, i
		}
	}
	m.log, m.valid = s.Log, true
	return &m.seen
}

// start: server 0 leads term 1, X was placed at index 2, everybody has it, nobody has a lease.
func (m *reads) start() (s readState) {
	s.Log[0] = readEntry{startEntry, 1, 0, 0}
	s.Log[1] = readEntry{placeEntry, 1, 0, 0}
	s.Len, s.Term, s.Leader, s.Started, s.Shown = 2, 1, 0, 1, 2
	for i := range s.S {
		s.S[i].Published = 2
	}
	s.S[0].Tenure, s.S[0].Barrier = 1, 2
	return s
}

// The steps of both models are numbers with up to two servers, members or sets of them.
const (
	tickStep = iota
	electStep
	commitStartStep
	applyStep
	askStep
	giveUpStep
	pulseStep
	heartbeatStep
	committedStep
	grantStep
	acceptStep
	ackStep
	restartStep
	decideStep
	placeStep
	removeStep
	batchStep
	lateAckStep
	readStep
	readArrivesStep
	readDroppedStep
)

func code(kind, p, q int) uint16 { return uint16(kind<<6 | p<<3 | q) }

func (m *reads) codes() (out []uint16) {
	clocks := 1
	if m.drift > 0 {
		clocks = 1 << servers
	}
	for i := range clocks {
		out = append(out, code(tickStep, 0, i))
	}
	out = append(out, code(commitStartStep, 0, 0))
	kinds := []int{electStep, applyStep, giveUpStep, pulseStep, committedStep, grantStep, acceptStep, restartStep, decideStep, placeStep, removeStep, batchStep}
	if m.merged {
		kinds = []int{electStep, applyStep, restartStep, placeStep, removeStep, batchStep}
	}
	if off(pulseSound) {
		kinds = append(kinds, heartbeatStep)
	}
	if m.restart {
		kinds = append(kinds, lateAckStep)
	}
	if m.checkFirst || m.loadFirst {
		kinds = append(kinds, readStep, readArrivesStep)
		out = append(out, code(readDroppedStep, 0, 0))
	}
	for p := range servers {
		for _, k := range kinds {
			out = append(out, code(k, p, 0))
		}
		for set := range 1 << servers {
			if m.merged && set>>p&1 == 0 && set>>(m.holders+1) == 0 {
				out = append(out, code(pulseStep, p, set), code(grantStep, p, set))
			}
		}
		for q := range servers {
			if p != q && !m.merged {
				out = append(out, code(askStep, p, q), code(ackStep, p, q))
			}
		}
	}
	return out
}

func (m *reads) describe(c uint16) string {
	kind, p, q := int(c>>6), int(c>>3&7), int(c&7)
	set := ""
	for i := range servers {
		if q>>i&1 == 1 {
			set += fmt.Sprintf(" %d", i)
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
		return fmt.Sprintf("%d asks %d for a lease", p, q)
	case giveUpStep:
		return fmt.Sprintf("%d gives up its request", p)
	case pulseStep:
		return fmt.Sprintf("%d proposes a pulse%s", p, set)
	case heartbeatStep:
		return fmt.Sprintf("a majority acknowledges a heartbeat of %d", p)
	case committedStep:
		return fmt.Sprintf("the pulse of %d is confirmed", p)
	case grantStep:
		return fmt.Sprintf("%d learns of that and grants%s", p, set)
	case acceptStep:
		return fmt.Sprintf("%d receives its grant", p)
	case ackStep:
		return fmt.Sprintf("%d acknowledges its index to %d", p, q)
	case restartStep:
		return fmt.Sprintf("%d starts again, from an old snapshot", p)
	case decideStep:
		return fmt.Sprintf("%d decides Place(X) with its barrier", p)
	case placeStep:
		return fmt.Sprintf("Place(X) of %d is committed", p)
	case removeStep:
		return fmt.Sprintf("Release(X) of %d is committed", p)
	case batchStep:
		return fmt.Sprintf("a batch of %d with its barrier is committed", p)
	case lateAckStep:
		return fmt.Sprintf("an acknowledgement of a former life reaches %d", p)
	case readStep:
		return fmt.Sprintf("a read begins at %d", p)
	case readArrivesStep:
		return fmt.Sprintf("that read's request arrives at %d", p)
	case readDroppedStep:
		return "that read is dropped"
	}
	return "?"
}

func (m *reads) show(s *readState) string {
	var b strings.Builder
	for _, e := range s.Log[:s.Len] {
		switch e.Kind {
		case startEntry:
			fmt.Fprintf(&b, "S%d@%d ", e.Term, e.Server)
		case placeEntry:
			fmt.Fprintf(&b, "P%d(b%d) ", e.Term, e.Barrier)
		case removeEntry:
			fmt.Fprintf(&b, "R%d ", e.Term)
		case batchEntry:
			fmt.Fprintf(&b, "B%d(b%d) ", e.Term, e.Barrier)
		}
	}
	fmt.Fprintf(&b, "| term %d of %d, shown v%d", s.Term, int8(s.Leader), s.Shown)
	if s.Read != 0 {
		fmt.Fprintf(&b, ", read %d at %d of v%d at %d", s.Read, s.ReadAt, s.ReadVersion, s.ReadIndex)
	}
	for i := range s.S {
		x := &s.S[i]
		fmt.Fprintf(&b, " | %d: at %d", i, x.Published)
		if x.Left > 0 {
			fmt.Fprintf(&b, " LEASE %d from %d", x.Left, x.Floor)
		}
		if x.Asked > 0 {
			fmt.Fprintf(&b, " asked %d ago", x.Age)
		}
		if x.Sent > 0 {
			fmt.Fprintf(&b, " grant on its way, floor %d", x.SentFloor)
		}
		if x.Tenure > 0 {
			fmt.Fprintf(&b, " tenure %d wait %d barrier %d", x.Tenure, x.Wait, x.Barrier)
			for j, r := range x.Records {
				if r.Left > 0 {
					fmt.Fprintf(&b, " rec%d(low %d, %d)", j, r.Low, r.Left)
				}
			}
		}
		if x.Place > 0 {
			fmt.Fprintf(&b, " Place(b%d, term %d)", x.PlaceBarrier, x.PlaceTerm)
		}
	}
	return b.String()
}
