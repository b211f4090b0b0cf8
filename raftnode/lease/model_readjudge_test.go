package lease

import (
	"fmt"

	"github.com/seed13d31b7f/berth/placement"
)

// judge moves the barriers on, shows everybody whatever could be shown now, and says what is violated: as soon as anyone could
// have learned of a version of X by a read, an acknowledgement, a listing or an event, no server may be able to answer an
// older one.
func (m *reads) judge(s *readState) (violated string) {
	v := m.views(s)
	shown := s.Shown
	// All but a fresh tombstone may be shown by anyone, in any way, as soon as it is committed.
	if newest := &v[s.Len]; newest.at(0) != placement.Tombstone {
		shown = max(shown, newest.version)
	}
	for i := range s.S {
		x := &s.S[i]
		if x.Published >= x.Floor && !m.loadFirst {
			x.Floor = 0 // it is the same for good
		}
		if x.Tenure == 0 {
			continue
		}
		m.moveBarrier(s, i)
		at := &v[x.Published]
		phase := at.at(x.Barrier)
		if at.entry.Phase == placement.Tombstone && (phase == placement.Absent || off(reveal)) {
			shown = max(shown, at.version) // whoever released it in the own term is told
		}
		if s.leads(i) && x.Published == s.Len && (phase != placement.Tombstone || off(mask)) {
			shown = max(shown, at.version) // a read through a pulse
		}
	}
	for range 2 { // what one shows, another may not be behind of
		for i := range s.S {
			x := &s.S[i]
			at := &v[x.Published]
			if !x.serves(x.Published) {
				continue
			}
			phase := at.at(0)
			if phase != placement.Settled && !(off(absentByPulse) && x.Tenure != 0 && at.at(x.Barrier) == placement.Absent) {
				continue
			}
			if at.version < shown {
				violated = fmt.Sprintf("server %d can answer version %d of X under its lease after version %d was shown", i, at.version, shown)
			}
			shown = max(shown, at.version)
		}
	}
	s.Shown = shown
	if violated == "" {
		violated = m.judgeRead(s)
	}
	return violated
}

// moveBarrier moves a leader's barrier as far as it goes. Where steps are merged, acknowledgements have arrived.
func (m *reads) moveBarrier(s *readState, p int) {
	x := &s.S[p]
	t := m.tenure(s, p)
	for j := range servers {
		if m.merged && x.Records[j].Left > 0 {
			t.Ack(m.holder(s, j), uint64(s.S[j].Published), present)
		}
	}
	term := uint64(0)
	if x.Published > 0 {
		term = uint64(s.Log[x.Published-1].Term)
	}
	t.Barrier(present, uint64(x.Published), term)
	m.keep(s, p, t)
}

// judgeRead judges the read in two steps by its own beginning.
func (m *reads) judgeRead(s *readState) string {
	x := &s.S[s.ReadAt]
	version, answered := uint8(0), false
	switch s.Read {
	case leaseChecked: // the state is loaded, and answered
		at := &m.views(s)[x.Published]
		version, answered = at.version, at.at(0) == placement.Settled
	case stateLoaded: // the lease is checked, and what was loaded answered
		version, answered = s.ReadVersion, x.serves(pick(readLoaded, x.Published, s.ReadIndex))
	}
	if answered && version < s.ReadShown {
		return fmt.Sprintf("a read at %d answers version %d, and %d was shown before it was asked", s.ReadAt, version, s.ReadShown)
	}
	return ""
}

// What has to come about in a search for its result to mean something.
const (
	reachServes    = "a follower serves under a lease"
	reachChange    = "a follower serves after a change of the leader"
	reachSecond    = "a follower serves the second placement"
	reachLags      = "a holder that lags serves X while its removal is committed and hidden"
	reachDeposed   = "a deposed leader has a tenure"
	reachDeposedOf = "a deposed leader has holders"
	reachOwn       = "a deposed leader serves X under its own lease"
	reachByAck     = "a removal completes by acknowledgements while holders live"
	reachHeldBack  = "a new leader holds a removal back while it waits"
	reachFormer    = "a record of a former life holds the barrier back"
)

func (m *reads) reach(s *readState, seen map[string]uint64) {
	v := m.views(s)
	for i := range s.S {
		x := &s.S[i]
		at := &v[x.Published]
		serves := x.serves(x.Published) && at.at(0) == placement.Settled
		if serves && x.Tenure == 0 {
			seen[reachServes]++
			if at.version > 2 {
				seen[reachSecond]++
			}
			if s.Term > 1 {
				seen[reachChange]++
			}
			if v[s.Len].at(0) == placement.Tombstone {
				seen[reachLags]++
			}
		}
		if x.Tenure == 0 {
			continue
		}
		holders := x.Records[0].Left+x.Records[1].Left+x.Records[2].Left > 0
		if x.Tenure < s.Term {
			seen[reachDeposed]++
			if holders {
				seen[reachDeposedOf]++
			}
			if serves {
				seen[reachOwn]++
			}
		}
		if at.entry.Phase == placement.Tombstone {
			if at.at(x.Barrier) == placement.Absent && holders {
				seen[reachByAck]++
			}
			if at.at(x.Barrier) == placement.Tombstone && x.Wait > 0 {
				seen[reachHeldBack]++
			}
		}
		if r := x.Records[former]; r.Left > 0 && r.Low < x.Published {
			seen[reachFormer]++
		}
	}
}
