package lease

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// granted is the TTL that the leader of a term grants.
func (m *hosts) granted(term uint8) time.Duration {
	if m.lowerT && term > 1 {
		return time.Duration(m.ttl-1) * tick
	}
	return time.Duration(m.ttl) * tick
}

// longest is the longest TTL announced, as a tenure of the term begins.
func (m *hosts) longest(s *memberState, term uint8) time.Duration {
	d := m.granted(term)
	for _, e := range s.Log[:s.Len] {
		if e.Kind == memberStart && e.Term <= term && !off(longestTTL) {
			d = max(d, m.granted(e.Term))
		}
	}
	return d
}

// newTable is the table of a tenure that begins with nobody in it.
func (m *hosts) newTable(s *memberState, term uint8) table {
	if m.sessions {
		return sessionTable{NewSessions(), m.granted(1)}
	}
	return memberTable{NewMembers(present, m.longest(s, term), nil)}
}

// table is the table of a server's tenure. What is done to it goes back with keep.
func (m *hosts) table(s *memberState, p int) table {
	x := &s.S[p]
	t := m.newTable(s, x.Tenure)
	for j, inc := range m.views(s)[x.Published].alive {
		if inc != 0 {
			t.put(placement.Incarnation(inc), ahead(x.Left[j]), x.Marked[j] == 1)
		}
	}
	return t
}

func (m *hosts) keep(s *memberState, p int, t table) {
	x := &s.S[p]
	x.Left, x.Marked = [membersMax]uint8{}, [membersMax]uint8{}
	for j, inc := range m.views(s)[x.Published].alive {
		if over, marked, ok := t.get(placement.Incarnation(inc)); ok {
			x.Left[j] = until(over)
			if marked {
				x.Marked[j] = 1
			}
		}
	}
}

// begin begins a server's tenure: everybody who is alive is granted the full time.
func (m *hosts) begin(s *memberState, p int, term uint8) {
	x := &s.S[p]
	*x = memberServer{Published: x.Published, Tenure: term, Expire: x.Expire, Expired: x.Expired, ExpiredInc: x.ExpiredInc, ExpireTerm: x.ExpireTerm}
	var alive []placement.Incarnation
	for _, inc := range m.views(s)[x.Published].alive {
		if inc != 0 {
			alive = append(alive, placement.Incarnation(inc))
		}
	}
	var t table = memberTable{NewMembers(present, m.longest(s, term), alive)}
	if m.sessions {
		t = m.newTable(s, term)
		for _, inc := range alive {
			t.joined(inc, pick(fullTTL, present.Add(-Stretch(m.granted(1))), present))
		}
	}
	m.keep(s, p, t)
}

func (s *memberState) append(e memberEntry) bool {
	if s.Len == memberLogMax {
		return false
	}
	s.Log[s.Len] = e
	s.Len++
	return true
}

func (s *memberState) count(kind uint8) (n uint8) {
	for _, e := range s.Log[:s.Len] {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (s *memberState) leads(p int) bool { return int(s.Leader) == p && s.S[p].Tenure == s.Term }

func (m *hosts) step(s memberState, c uint16) (memberState, bool, string) {
	if !m.take(&s, int(c>>6), int(c>>3&7), int(c&7)) {
		return s, false, ""
	}
	return s, true, m.judge(&s)
}

func (m *hosts) take(s *memberState, kind, p, q int) bool {
	switch kind {
	case tickStep:
		return m.tickAll(s, q)
	case electStep:
		if s.Term >= m.terms {
			return false
		}
		s.Term++
		s.Leader, s.Started = uint8(p), 0
		if off(membersStart) {
			m.begin(s, p, s.Term)
		}
	case commitStartStep:
		if s.Started == 1 || !s.append(memberEntry{memberStart, s.Term, s.Leader, 0}) {
			return false
		}
		s.Started = 1
	case applyStep:
		return m.apply(s, p)
	case askStep:
		x := &s.M[p]
		asking := askingFor(x.Asked != 0, x.Age)
		if nonce, ok := asking.Ask(present); !ok || nonce != currentRequest || x.Incarnation == 0 || s.S[q].Tenure == 0 {
			return false
		}
		x.Asked, x.Age, x.AskedSlow = 1, 0, 0
		s.S[q].Requests[p] = keepaliveAsked{1, 1, 0, x.Incarnation}
	case giveUpStep:
		if s.M[p].Asked == 0 {
			return false
		}
		m.giveUp(s, p)
	case pulseStep:
		return m.pulse(s, p, q)
	case committedStep:
		x := &s.S[p]
		if x.Pulse != 1 || !s.leads(p) && !off(keepPulse) {
			return false
		}
		x.Pulse = 2
	case grantStep:
		return m.answerAll(s, p, q)
	case acceptStep:
		return m.accept(s, p)
	case memberDecideStep:
		return m.decide(s, p)
	case memberExpireStep:
		return m.expire(s, p)
	case memberPlaceStep:
		return m.place(s, p, q)
	case memberRemoveStep:
		return m.views(s)[s.Len].entry.Phase == placement.Settled && s.append(memberEntry{memberRemove, s.Term, 0, 0})
	default:
		return m.takeHost(s, kind, p)
	}
	return true
}

// tickAll moves all clocks but those of the members in a set. It is enabled when something depends on it.
func (m *hosts) tickAll(s *memberState, still int) bool {
	busy := false
	for j := range s.M {
		x := &s.M[j]
		holds, asks := x.Left > 0, x.Asked > 0
		busy = busy || holds || asks
		if still>>j&1 == 1 {
			if !holds && !asks || holds && x.Slow >= m.drift || asks && x.AskedSlow >= m.drift {
				return false
			}
			if holds {
				x.Slow++
			}
			if asks {
				x.AskedSlow++
			}
			continue
		}
		if holds {
			if x.Left--; x.Left == 0 {
				x.Slow = 0
			}
		}
		if asks {
			if x.Age = min(x.Age+1, m.ttl); x.Age == m.ttl && !off(keepFromSend) {
				m.giveUp(s, j) // an answer would be worth nothing
			}
		}
	}
	for i := range s.S {
		x := &s.S[i]
		if x.Pulse > 0 && x.PulseAge < m.ttl+1 {
			x.PulseAge++
			busy = true
		}
		for j := range x.Left {
			if x.Left[j] > 0 {
				x.Left[j]--
				busy = true
			}
		}
	}
	return busy
}

// apply publishes the next entry at a server. Its table learns of joins and ends.
func (m *hosts) apply(s *memberState, p int) bool {
	x := &s.S[p]
	if x.Published >= s.Len {
		return false
	}
	e := s.Log[x.Published]
	if x.Tenure == 0 || e.Kind != memberJoin && e.Kind != memberExpire {
		x.Published++
	} else {
		t := m.table(s, p)
		before := m.views(s)[x.Published].alive[e.Who]
		x.Published++
		if e.Kind == memberJoin {
			t.joined(placement.Incarnation(x.Published), present)
		} else if before == e.What {
			t.ended(placement.Incarnation(e.What))
		}
		m.keep(s, p, t)
	}
	switch {
	case e.Kind == memberStart && int(e.Who) == p && x.Tenure != e.Term:
		m.begin(s, p, e.Term)
	case x.Tenure != 0 && e.Term > x.Tenure && !m.late:
		*x = memberServer{Published: x.Published, Expire: x.Expire, Expired: x.Expired, ExpiredInc: x.ExpiredInc, ExpireTerm: x.ExpireTerm}
	}
	return true
}

func (m *hosts) giveUp(s *memberState, j int) {
	x := &s.M[j]
	x.Asked, x.Age, x.AskedSlow, x.SentCurrent = 0, 0, 0, 0
	for l := range s.S {
		s.S[l].Requests[j].Current = 0
	}
}

// pulse proposes one. In a merged run it commits at once, and covers the keepalives of a set that are just sent.
func (m *hosts) pulse(s *memberState, p, set int) bool {
	x := &s.S[p]
	if x.Tenure == 0 || x.Pulse != 0 {
		return false
	}
	some := false
	for j := range x.Requests {
		if m.merged && set>>j&1 == 1 {
			x.Requests[j] = keepaliveAsked{1, 1, 1, s.M[j].Incarnation}
		}
		some = some || x.Requests[j].There == 1
		x.Requests[j].Covered = x.Requests[j].There
	}
	if !some || m.merged && !s.leads(p) {
		return false
	}
	x.Pulse, x.PulseAge = 1, 0
	if m.merged {
		x.Pulse = 2
	}
	return true
}

// answerAll answers all that the pulse covers. In a merged run the answers to a set arrive at once, and the others never.
func (m *hosts) answerAll(s *memberState, p, set int) bool {
	x := &s.S[p]
	if x.Pulse != 2 {
		return false
	}
	ttl := m.granted(x.Tenure)
	for j := range x.Requests {
		if m.merged && set>>j&1 == 1 && (x.Requests[j].There == 0 || ttl <= time.Duration(x.PulseAge)*tick) {
			return false
		}
	}
	t, alive := m.table(s, p), m.views(s)[x.Published].alive
	for j, r := range x.Requests {
		if r.There == 0 || r.Covered == 0 && !off(keepPulseAfter) {
			continue
		}
		x.Requests[j] = keepaliveAsked{}
		if !t.answer(placement.Incarnation(r.Incarnation), alive[j] == r.Incarnation, ago(x.PulseAge)) {
			continue
		}
		y := &s.M[j]
		switch {
		case !m.merged:
			y.Sent, y.SentCurrent, y.SentTTL = 1, r.Current, uint8(ttl/tick)
		case set>>j&1 == 1 && y.Incarnation == r.Incarnation:
			y.hold(y.kept().Extend(ago(x.PulseAge), ttl), 0)
		}
	}
	m.keep(s, p, t)
	x.Pulse, x.PulseAge = 0, 0
	return true
}

// kept is a member's lease.
func (x *memberHost) kept() Kept { return Kept{Expiry: ahead(x.Left)} }

func (x *memberHost) hold(k Kept, slow uint8) {
	if left := until(k.Expiry); left != x.Left {
		x.Left, x.Slow = left, slow
	}
	if x.Left == 0 {
		x.Slow = 0
	}
}

// accept delivers the answer that is on its way to a member.
func (m *hosts) accept(s *memberState, p int) bool {
	x := &s.M[p]
	if x.Sent == 0 {
		return false
	}
	asking, ttl, nonce := askingFor(x.Asked == 1, x.Age), time.Duration(x.SentTTL)*tick, nonceOf(x.SentCurrent)
	x.Sent, x.SentCurrent, x.SentTTL = 0, 0, 0
	asked, ok := asking.Answered(nonce)
	if !ok {
		return true // it is lost
	}
	x.hold(x.kept().Extend(asked, ttl), pick(keepFromSend, 0, x.AskedSlow))
	m.giveUp(s, p)
	return true
}

// decide marks who has expired. In a merged run that is committed at once, unless its delay is what matters.
func (m *hosts) decide(s *memberState, p int) bool {
	x, atOnce := &s.S[p], m.merged && !off(fence)
	if x.Tenure == 0 || atOnce && !s.leads(p) {
		return false
	}
	t := m.table(s, p)
	due := t.expire(present)
	if len(due) == 0 {
		return false
	}
	m.keep(s, p, t)
	alive := m.views(s)[x.Published].alive
	newest := m.views(s)[s.Len].alive
	for j, inc := range alive {
		if inc == 0 || x.Marked[j] == 0 || !slices.Contains(due, placement.Incarnation(inc)) {
			continue
		}
		if !atOnce {
			x.Expire, x.Expired, x.ExpiredInc, x.ExpireTerm = 1, uint8(j), inc, x.Tenure
		} else if newest[j] == inc && !s.append(memberEntry{memberExpire, s.Term, uint8(j), inc}) {
			return false
		}
	}
	return true
}

// expire commits an Expire that was decided.
func (m *hosts) expire(s *memberState, p int) bool {
	x := &s.S[p]
	if x.Expire == 0 || int(s.Leader) != p || x.ExpireTerm != s.Term && !off(fence) || m.views(s)[s.Len].alive[x.Expired] != x.ExpiredInc ||
		!s.append(memberEntry{memberExpire, s.Term, x.Expired, x.ExpiredInc}) {
		return false
	}
	x.Expire, x.Expired, x.ExpiredInc, x.ExpireTerm = 0, 0, 0, 0
	return true
}

// place commits a Place. In a merged run it is confirmed at once.
func (m *hosts) place(s *memberState, p, q int) bool {
	v := &m.views(s)[s.Len]
	if !s.leads(p) || v.entry.Phase != placement.Absent || v.alive[q] == 0 || s.count(memberPlace) >= m.places {
		return false
	}
	if m.merged && s.M[q].Incarnation != v.alive[q] || !s.append(memberEntry{memberPlace, s.Term, uint8(q), 0}) {
		return false
	}
	if m.merged {
		epoch := s.Len
		if !s.append(memberEntry{memberConfirm, s.Term, uint8(q), epoch}) {
			return false
		}
		s.M[q].Holds, s.M[q].Answered = epoch, epoch
	}
	return true
}
