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

// ask sends a request of p to q.
func (m *reads) ask(s *readState, p, q int) bool {
	x := &s.S[p]
	if s.S[q].Tenure == 0 || p > int(m.holders) {
		return false
	}
	h := Holder{asking: askingFor(x.Asked != 0, x.Age)}
	if nonce, ok := h.Request(present); !ok || nonce != currentRequest {
		return false
	}
	x.Asked, x.Age, x.AskedSlow = 1, 0, 0
	s.S[q].Requests[p] = asked{1, 1, 0, pick(ackPublished, s.Len, x.Published)}
	return true
}

// giveUp makes a server forget its outstanding request. What is on its way answers it no more.
func (m *reads) giveUp(s *readState, p int) {
	x := &s.S[p]
	x.Asked, x.Age, x.AskedSlow, x.SentCurrent = 0, 0, 0, 0
	for l := range s.S {
		s.S[l].Requests[p].Current = 0
	}
}

// pulse proposes one that covers what waits.
func (m *reads) pulse(s *readState, p int) bool {
	x := &s.S[p]
	some := m.self
	for _, r := range x.Requests {
		some = some || r.There == 1
	}
	if x.Tenure == 0 || x.Pulse != 0 || !some {
		return false
	}
	for j := range x.Requests {
		x.Requests[j].Covered = x.Requests[j].There
	}
	m.proposed(x, 1)
	if m.self {
		if x.Asked != 0 {
			m.giveUp(s, p)
		}
		x.Asked = 2
	}
	return true
}

// pulseFor is a pulse that commits at once, proposed as the requests of a set arrive that are just sent.
func (m *reads) pulseFor(s *readState, p, set int) bool {
	x := &s.S[p]
	if x.Tenure == 0 || x.Pulse != 0 || !s.leads(p) || set == 0 && !m.self {
		return false
	}
	for b := range servers {
		if set>>b&1 == 1 {
			x.Requests[b] = asked{1, 1, 1, s.S[b].Published}
		}
	}
	m.proposed(x, 2)
	return true
}

func (m *reads) proposed(x *readServer, stage uint8) {
	x.Pulse, x.PulseAge = stage, 0
	if m.oldIndex {
		x.PulseIndex = x.Published
	}
}

// committed proves the tenure by the pulse.
func (m *reads) committed(s *readState, p int) bool {
	x := &s.S[p]
	if x.Pulse != 1 {
		return false
	}
	proved := int(s.Leader) == p && (s.Term == x.Tenure || off(pulseTerm)) || off(pulseCommit)
	if !proved && off(pulseSound) && x.Heartbeat == 1 {
		proved, x.Heartbeat = true, 0
	}
	if !proved {
		return false
	}
	x.Pulse = 2
	return true
}

// grantAll answers all that the pulse covers. In a merged run the grants to a set arrive at once, and the others never.
func (m *reads) grantAll(s *readState, p, set int) bool {
	x := &s.S[p]
	if x.Pulse != 2 {
		return false
	}
	for b := range servers {
		if m.merged && set>>b&1 == 1 && (x.Requests[b].There == 0 || m.ticks(x.Tenure) <= x.PulseAge) {
			return false
		}
	}
	t := m.tenure(s, p)
	index := x.Published
	if m.oldIndex {
		index = x.PulseIndex
	}
	var grants [slots]Grant
	var granted [slots]bool
	for b, r := range x.Requests {
		if r.There == 0 || r.Covered == 0 && !off(pulseAfter) {
			continue
		}
		var refusal Refusal
		grants[b], refusal = t.Grant(Request{Holder: m.holder(s, b), Nonce: nonceOf(r.Current), Index: uint64(r.Index)}, ago(x.PulseAge), uint64(index), present)
		granted[b] = refusal == None
		x.Requests[b] = asked{}
	}
	if m.merged {
		if l, ok := t.Own(ago(x.PulseAge)); ok && m.self && l.Expiry > present {
			x.hold(l, 0)
		}
	} else if x.Asked == 2 {
		if l, ok := t.Own(ago(x.Age)); ok && l.Expiry > present {
			x.hold(l, x.AskedSlow)
		}
		x.Asked, x.Age, x.AskedSlow = 0, 0, 0
	}
	m.keep(s, p, t)
	for b := range servers {
		switch y, g := &s.S[b], grants[b]; {
		case !granted[b]:
		case !m.merged:
			y.Sent, y.SentFloor, y.SentTicks = 1, uint8(g.Floor), uint8(g.ReadLease/tick)
			y.SentCurrent = uint8(g.Nonce - otherRequest)
		case set>>b&1 == 1:
			h := Holder{asking: askingFor(true, x.PulseAge)}
			if l, ok := h.Granted(g); ok {
				y.hold(l, 0)
			}
		}
	}
	x.Pulse, x.PulseAge, x.PulseIndex = 0, 0, 0
	return true
}

// accept delivers the grant that is on its way to a server.
func (m *reads) accept(s *readState, p int) bool {
	x := &s.S[p]
	if x.Sent == 0 || x.Asked == 2 {
		return false
	}
	h := Holder{asking: askingFor(x.Asked == 1, x.Age)}
	g := Grant{Nonce: nonceOf(x.SentCurrent), ReadLease: m.sentFor(x), Floor: uint64(x.SentFloor)}
	x.Sent, x.SentCurrent, x.SentFloor, x.SentTicks = 0, 0, 0, 0
	l, ok := h.Granted(g)
	if !ok {
		return true // it is lost
	}
	x.hold(l, pick(fromSend, 0, x.AskedSlow))
	m.giveUp(s, p)
	return true
}

// ack delivers an acknowledgement of the holder of a slot.
func (m *reads) ack(s *readState, leader, slot int, index uint8) {
	t := m.tenure(s, leader)
	t.Ack(m.holder(s, slot), uint64(index), present)
	m.keep(s, leader, t)
}

// startAgain makes a server forget everything, its newest states too. Its last acknowledgement, its requests, its records
// and a grant may still be on their way.
func (m *reads) startAgain(s *readState, p int) bool {
	if !m.restart || s.Former != 0 {
		return false
	}
	old := s.S[p]
	s.S[p] = readServer{Sent: old.Sent, SentFloor: old.SentFloor, SentTicks: old.SentTicks}
	if int(s.Leader) == p {
		s.Leader = nobody
	}
	for i := range s.Log {
		if e := &s.Log[i]; e.Kind == startEntry && int(e.Server) == p {
			e.Server = former // of a former life: it begins no tenure
		}
	}
	s.Former = uint8(p) + 1
	slot := former
	if off(incarnations) {
		slot = p
	}
	for l := range s.S {
		x := &s.S[l]
		x.Requests[p].Current = 0
		request, r := x.Requests[p], x.Records[p]
		x.Requests[p], x.Records[p] = asked{}, record{}
		x.Requests[slot], x.Records[slot] = request, r
	}
	s.LateAck, s.LateAckSlot, s.LateIndex = 1, uint8(slot), old.Published
	if s.Read != 0 && int(s.ReadAt) == p {
		s.dropRead()
	}
	return true
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
