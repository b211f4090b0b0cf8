package lease

// Asking is how leases are asked for, by holders and members alike: one request at a time, each with a nonce of its own. The
// lease is counted from when the request was sent (H1, M2), and only the answer to the outstanding one counts (H2, M2).
// The zero value has asked for nothing, and its nonces begin at one. It belongs to whoever holds the lock around it.
type Asking struct {
	nonce uint64 // of the newest request
	open  bool   // its answer is waited for
	at    Instant
}

// NewAsking is one whose nonces are counted from a number that no other life of the same holder counts from.
func NewAsking(nonce uint64) Asking { return Asking{nonce: nonce} }

// Ask notes a request just before it is sent, and returns its nonce, which is never zero. It says no while another one is
// outstanding.
func (a *Asking) Ask(now Instant) (nonce uint64, ok bool) {
	if a.open {
		return 0, false
	}
	if a.nonce++; a.nonce == 0 {
		a.nonce = 1
	}
	a.open, a.at = true, now
	return a.nonce, true
}

// Answered takes the answer to a request in: the instant that the lease is counted from. It says no to any but the answer to
// the outstanding request.
func (a *Asking) Answered(nonce uint64) (asked Instant, ok bool) {
	if !a.open || nonce != a.nonce {
		return 0, false
	}
	a.open = false
	return a.at, true
}

// GiveUp forgets the outstanding request: its answer counts no more.
func (a *Asking) GiveUp() { a.open = false }

// Began forgets the outstanding request, and notes one that was made in another way, and answered.
func (a *Asking) Began(asked Instant) { a.open, a.at = false, asked }

// Outstanding says whether an answer is waited for.
func (a *Asking) Outstanding() bool { return a.open }

// Asked is when the newest request was made.
func (a *Asking) Asked() Instant { return a.at }
