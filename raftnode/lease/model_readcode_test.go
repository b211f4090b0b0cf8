package lease

import "time"

// The way from the model's bytes to this package's own types and back.

const (
	// tick is a tick of the model's clocks: Stretch makes one tick more of a lease of up to four.
	tick = 4 * time.Nanosecond
	// present is the instant of every step.
	present = Instant(1000 * tick)
)

// ahead is the instant so many ticks from the present.
func ahead(ticks uint8) Instant { return present.Add(time.Duration(ticks) * tick) }

// ago is the instant so many ticks before the present.
func ago(ticks uint8) Instant { return present.Add(-time.Duration(ticks) * tick) }

// until is in how many ticks an instant has come.
func until(i Instant) uint8 {
	return uint8(max(0, (i.Sub(present)+tick-1)/tick))
}

// readLease is what the leader of a term grants.
func (m *reads) readLease(term uint8) time.Duration { return time.Duration(m.ticks(term)) * tick }

func (m *reads) ticks(term uint8) uint8 {
	if m.lowerD && term > 1 {
		return m.d - 1
	}
	return m.d
}

// holder is the incarnation that holds a slot.
func (m *reads) holder(s *readState, slot int) uint64 {
	switch {
	case slot == former:
		return uint64(s.Former)
	case int(s.Former) == slot+1 && !off(incarnations):
		return 100 + uint64(s.Former)
	}
	return 1 + uint64(slot)
}

// startOf is the index of a term's Start by a server; zero when it is not in the log.
func (s *readState) startOf(term uint8, server int) uint8 {
	for i, e := range s.Log[:s.Len] {
		if e.Kind == startEntry && e.Term == term && int(e.Server) == server {
			return uint8(i) + 1
		}
	}
	return 0
}

// tenure is a server's tenure, until the next call. What is done to it goes back with keep.
func (m *reads) tenure(s *readState, p int) *Tenure {
	x := &s.S[p]
	if m.table == nil {
		m.table = map[uint64]*Record{}
	}
	clear(m.table)
	t := &m.scratch
	*t = Tenure{
		Term: uint64(x.Tenure), Start: uint64(s.startOf(x.Tenure, p)), Begun: present, readLease: m.readLease(x.Tenure),
		waitUntil: ahead(x.Wait), waited: x.Wait == 0, barrier: uint64(x.Barrier),
		holders: holders{records: m.table, low: everything, first: never},
	}
	for slot, r := range x.Records {
		if r.Low == 0 {
			continue
		}
		m.records[slot] = Record{Holder: m.holder(s, slot), Low: uint64(r.Low), Until: ahead(r.Left)}
		m.table[m.records[slot].Holder] = &m.records[slot]
		t.holders.low, t.holders.first = min(t.holders.low, uint64(r.Low)), min(t.holders.first, ahead(r.Left))
	}
	return t
}

// keep puts a tenure back.
func (m *reads) keep(s *readState, p int, t *Tenure) {
	x := &s.S[p]
	x.Wait, x.Barrier = until(t.waitUntil), uint8(t.barrier)
	if t.waited {
		x.Wait = 0
	}
	for slot := range x.Records {
		x.Records[slot] = record{}
		if r := t.holders.records[m.holder(s, slot)]; r != nil && (slot != former || s.Former != 0) {
			x.Records[slot] = record{until(r.Until), uint8(r.Low)}
		}
	}
}

// begin begins a server's tenure, as its Start has been applied.
func (m *reads) begin(s *readState, p int, term uint8) {
	x := &s.S[p]
	barrier := m.views(s)[x.Published].barrier
	if off(startClean) && x.Tenure != 0 {
		x.Tenure, x.Barrier = term, max(x.Barrier, barrier)
		return
	}
	x.end()
	x.Tenure = term
	start := s.startOf(term, p)
	before := x.Published // without a Start of its own, all that it knows
	if start != 0 {
		before = start - 1
	}
	former := time.Duration(0)
	for _, e := range s.Log[:before] {
		if e.Kind == startEntry {
			former = max(former, m.readLease(e.Term))
		}
	}
	m.keep(s, p, Begin(Started{
		Term: uint64(term), Index: uint64(start), Barrier: uint64(barrier), ReadLease: m.readLease(term),
		FormerReadLease: former, MaxReadLease: max(former, m.readLease(term)),
	}, present))
}

// end ends a tenure.
func (x *readServer) end() {
	x.Tenure, x.Wait, x.Barrier, x.Pulse, x.PulseAge, x.PulseIndex, x.Heartbeat = 0, 0, 0, 0, 0, 0, 0
	x.Requests, x.Records = [slots]asked{}, [slots]record{}
	if x.Asked == 2 {
		x.Asked, x.Age, x.AskedSlow = 0, 0, 0
	}
}

// The nonces of the model: of the request that is outstanding, and of any other.
const (
	otherRequest   = 1
	currentRequest = 2
)

func nonceOf(current uint8) uint64 { return otherRequest + uint64(current) }

// asking is what a holder, or a member, remembers of its outstanding request.
func askingFor(outstanding bool, age uint8) Asking {
	if !outstanding {
		return Asking{nonce: otherRequest}
	}
	return Asking{nonce: currentRequest, open: true, at: ago(age)}
}

// lease is a server's lease; nil when it has none.
func (x *readServer) lease() *Lease {
	if x.Left == 0 {
		return nil
	}
	return &Lease{Expiry: ahead(x.Left), Floor: uint64(x.Floor)}
}

// serves says whether a server may answer from the state of an index.
func (x *readServer) serves(index uint8) bool { return x.lease().Serves(uint64(index), present) }

// hold replaces a server's lease.
func (x *readServer) hold(l Lease, slow uint8) {
	x.Left, x.Floor, x.Slow = until(l.Expiry), uint8(l.Floor), slow
	if x.Left == 0 {
		x.Floor, x.Slow = 0, 0
	}
}
