package lease

import "time"

// The steps of the reads' model that holders and leaders take with each other.

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
	g := Grant{Nonce: nonceOf(x.SentCurrent), ReadLease: time.Duration(x.SentTicks) * tick, Floor: uint64(x.SentFloor)}
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
