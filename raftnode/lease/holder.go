package lease

import "time"

// Holder is a server's own side of its read lease (H1, H2). It lives in memory alone, and so does its incarnation: a process
// that starts again knows nothing of the leases, requests and acknowledgements of its former life (H5). The same goes for one
// that opens its state anew: what is published may go back then, so there has to be a new Holder, and no Lease. It belongs
// to whoever holds the lock around it; what serves reads is the Lease.
type Holder struct {
	incarnation uint64
	asking      Asking
	renew       Instant // not before; of no meaning while nothing was granted
	granted     bool
}

// NewHolder makes the holder of a process. The incarnation is a random number, not zero; nonces are counted from it, so that
// no grant to a former life of the server answers a request of this one.
func NewHolder(incarnation uint64) *Holder {
	return &Holder{incarnation: incarnation, asking: NewAsking(incarnation)}
}

// Incarnation is the number that requests and acknowledgements carry. An acknowledgement names the index of a state that is
// published, which every later read here sees: never one that Raft says is applied (H4).
func (h *Holder) Incarnation() uint64 { return h.incarnation }

// Request notes a request just before it is sent (H1), and returns its nonce. It says no while another one is outstanding.
func (h *Holder) Request(now Instant) (nonce uint64, ok bool) { return h.asking.Ask(now) }

// GiveUp forgets the outstanding request, after a refusal or when no answer comes.
func (h *Holder) GiveUp() { h.asking.GiveUp() }

// Granted takes a grant in: the lease that replaces the one before, counted from when it was asked for. It says no to a grant
// that does not answer the outstanding request (H2).
func (h *Holder) Granted(g Grant) (Lease, bool) {
	asked, ok := h.asking.Answered(g.Nonce)
	if !ok {
		return Lease{}, false
	}
	h.granted, h.renew = true, asked.Add(g.ReadLease/4)
	return Lease{Expiry: asked.Add(g.ReadLease), Floor: g.Floor}, true
}

// Again forgets that anything was granted or asked for, so that it is time to ask.
func (h *Holder) Again() {
	h.asking.GiveUp()
	h.granted = false
}

// Due says whether it is time to ask: nothing is outstanding, and a quarter of the lease is over, or there never was one.
func (h *Holder) Due(now Instant) bool {
	return !h.asking.Outstanding() && (!h.granted || now >= h.renew)
}

// Waiting is how long the outstanding request has waited for its answer; zero when none is outstanding.
func (h *Holder) Waiting(now Instant) time.Duration {
	if !h.asking.Outstanding() {
		return 0
	}
	return max(0, now.Sub(h.asking.Asked()))
}
