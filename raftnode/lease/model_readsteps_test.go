package lease

import "github.com/seed13d31b7f/berth/placement"

// step takes a step, and then shows everybody whatever could be shown.
func (m *reads) step(s readState, c uint16) (readState, bool, string) {
	if !m.take(&s, int(c>>6), int(c>>3&7), int(c&7)) {
		return s, false, ""
	}
	return s, true, m.judge(&s)
}

// take says whether a step is enabled, and takes it.
func (m *reads) take(s *readState, kind, p, q int) bool {
	x := &s.S[p]
	switch kind {
	case tickStep:
		return m.tickAll(s, q)
	case electStep:
		if s.Term >= m.terms {
			return false
		}
		s.Term++
		s.Leader, s.Started = uint8(p), 0
		if off(startFirst) {
			m.begin(s, p, s.Term)
		}
	case commitStartStep:
		if s.Leader == nobody || s.Started == 1 || !s.append(readEntry{startEntry, s.Term, s.Leader, 0}) {
			return false
		}
		s.Started = 1
	case applyStep:
		if x.Published >= s.Len {
			return false
		}
		e := s.Log[x.Published]
		x.Published++
		if e.Kind == startEntry && int(e.Server) == p {
			if x.Tenure != e.Term {
				m.begin(s, p, e.Term)
			}
		} else if x.Tenure != 0 && e.Term > x.Tenure && !m.late {
			x.end()
		}
	case askStep:
		return m.ask(s, p, q)
	case giveUpStep:
		if x.Asked == 0 {
			return false
		}
		m.giveUp(s, p)
	case pulseStep:
		if m.merged {
			return m.pulseFor(s, p, q)
		}
		return m.pulse(s, p)
	case heartbeatStep:
		if x.Tenure == 0 || x.Heartbeat == 1 || !s.leads(p) {
			return false
		}
		x.Heartbeat = 1
	case committedStep:
		return m.committed(s, p)
	case grantStep:
		return m.grantAll(s, p, q)
	case acceptStep:
		return m.accept(s, p)
	case ackStep:
		index := pick(ackPublished, s.Len, x.Published)
		if r := s.S[q].Records[p]; s.S[q].Tenure == 0 || r.Left == 0 || index <= r.Low {
			return false // it would change nothing
		}
		m.ack(s, q, p, index)
	case lateAckStep:
		if s.LateAck == 0 || x.Tenure == 0 {
			return false
		}
		m.ack(s, p, int(s.LateAckSlot), s.LateIndex)
		s.LateAck, s.LateAckSlot, s.LateIndex = 0, 0, 0
	case restartStep:
		return m.startAgain(s, p)
	case decideStep:
		return m.decide(s, p)
	case placeStep:
		return m.place(s, p)
	case removeStep:
		if x.Tenure == 0 || int(s.Leader) != p || x.Tenure != s.Term && !off(pulseTerm) || s.count(removeEntry) >= m.removes ||
			m.views(s)[s.Len].at(0) != placement.Settled || !s.append(readEntry{removeEntry, s.Term, 0, 0}) {
			return false
		}
	case batchStep:
		v := m.views(s)
		barrier := max(x.Barrier, v[x.Published].barrier)
		if !s.leads(p) || barrier <= v[s.Len].barrier || s.count(batchEntry) >= m.batches || !s.append(readEntry{batchEntry, s.Term, 0, barrier}) {
			return false
		}
	case readStep, readArrivesStep, readDroppedStep:
		return m.read(s, kind, p)
	}
	return true
}

// leads says whether a server is the newest leader, and in tenure.
func (s *readState) leads(p int) bool {
	return int(s.Leader) == p && s.S[p].Tenure == s.Term
}

func (s *readState) append(e readEntry) bool {
	if s.Len == logMax {
		return false
	}
	s.Log[s.Len] = e
	s.Len++
	return true
}

func (s *readState) count(kind uint8) (n uint8) {
	for _, e := range s.Log[:s.Len] {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// tickAll moves all clocks but those of holders in a set. It is enabled when something depends on it.
func (m *reads) tickAll(s *readState, still int) bool {
	busy := false
	for i := range s.S {
		x := &s.S[i]
		holds, asks := x.Left > 0, x.Asked > 0
		if still>>i&1 == 1 {
			if !holds && !asks || holds && x.Slow >= m.drift || asks && x.AskedSlow >= m.drift {
				return false
			}
			if holds {
				x.Slow++
			}
			if asks {
				x.AskedSlow++
			}
		} else {
			if holds {
				if x.Left--; x.Left == 0 {
					x.Floor, x.Slow = 0, 0
				}
			}
			if asks {
				if x.Age = min(x.Age+1, m.d); x.Age == m.d && !off(fromSend) {
					m.giveUp(s, i) // a grant would be worth nothing
				}
			}
		}
		busy = busy || holds || asks || x.Wait > 0 || x.Pulse > 0
		if x.Wait > 0 {
			x.Wait--
		}
		if x.Pulse > 0 {
			x.PulseAge = min(x.PulseAge+1, m.d+1)
		}
		for j := range x.Records {
			if r := &x.Records[j]; r.Left > 0 {
				r.Left--
				busy = true
			}
		}
	}
	return busy
}

// decide is that a leader makes a batch with a Place.
func (m *reads) decide(s *readState, p int) bool {
	x, v := &s.S[p], m.views(s)
	barrier := max(x.Barrier, v[x.Published].barrier)
	if x.Tenure == 0 || s.count(placeEntry) >= m.places || s.Len == logMax || x.Place == 1 && x.PlaceBarrier == barrier && x.PlaceTerm == x.Tenure {
		return false
	}
	if off(placeBarrier) && v[x.Published].at(barrier) == placement.Tombstone {
		return false // the leader looks, and the state machine does not
	}
	x.Place, x.PlaceBarrier, x.PlaceTerm = 1, barrier, x.Tenure
	return true
}

// place commits the batch that was decided.
func (m *reads) place(s *readState, p int) bool {
	x := &s.S[p]
	if m.merged {
		if x.Tenure == 0 || x.Tenure != s.Term || s.count(placeEntry) >= m.places {
			return false
		}
		x.Place, x.PlaceBarrier, x.PlaceTerm = 1, max(x.Barrier, m.views(s)[x.Published].barrier), x.Tenure
	}
	if x.Place == 0 || int(s.Leader) != p || x.PlaceTerm != s.Term {
		return false
	}
	before := m.views(s)[s.Len].version
	if !s.append(readEntry{placeEntry, s.Term, 0, x.PlaceBarrier}) || m.views(s)[s.Len].version == before {
		return false // it was refused: X is placed, or unsettled
	}
	x.Place, x.PlaceBarrier, x.PlaceTerm = 0, 0, 0
	return true
}

// read is a read in two steps.
func (m *reads) read(s *readState, kind, p int) bool {
	x := &s.S[p]
	switch {
	case kind == readDroppedStep:
		if s.Read == 0 {
			return false
		}
		s.dropRead()
	case kind == readArrivesStep:
		if s.Read != leaseBefore || int(s.ReadAt) != p {
			return false
		}
		s.Read, s.ReadShown = leaseChecked, s.Shown
	case s.Read != 0:
		return false
	case m.checkFirst:
		if !x.serves(x.Published) {
			return false
		}
		s.Read, s.ReadAt, s.ReadShown = pick(readClock, uint8(leaseBefore), leaseChecked), uint8(p), s.Shown
	default:
		v := m.views(s)[x.Published]
		if v.at(0) != placement.Settled {
			return false
		}
		s.Read, s.ReadAt, s.ReadShown, s.ReadIndex, s.ReadVersion = stateLoaded, uint8(p), s.Shown, x.Published, v.version
	}
	return true
}

// The stages of a read in two steps.
const (
	leaseChecked = 1 + iota
	stateLoaded
	leaseBefore // the lease was checked before the request arrived
)

func (s *readState) dropRead() {
	s.Read, s.ReadAt, s.ReadShown, s.ReadIndex, s.ReadVersion = 0, 0, 0, 0, 0
}
