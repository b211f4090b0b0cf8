package lease

import "time"

// Tenure is what one leadership knows and promises, from its committed Start on. It begins with empty tables, whatever
// the server did before (S1). It belongs to whoever holds the lock around it: tables, barrier and grants change under one
// lock (S6).
type Tenure struct {
	// Term is the Raft term that names the tenure.
	Term uint64
	// Start is the log index of the tenure's Start.
	Start uint64
	// Begun is when the tenure learned that its Start is committed.
	Begun Instant

	readLease time.Duration // zero: none is granted
	waitUntil Instant       // S3
	waited    bool          // the wait is over, whatever the clock says from now on
	barrier   uint64
	holders   holders
	removals  removals
}

// Started is what a committed Start says.
type Started struct {
	// Term and Index are the Start's own.
	Term, Index uint64
	// Barrier is the replicated barrier as of the Start.
	Barrier uint64
	// FormerReadLease is the longest read lease that any leader announced before this Start. Zero: none ever did, and nobody
	// has to be waited for.
	FormerReadLease time.Duration
	// MaxReadLease is that with this Start's own.
	MaxReadLease time.Duration
	// ReadLease is how long the read leases of this tenure last, and never longer than MaxReadLease: the next leader waits for
	// what was announced. Zero: it grants none, and leads by pulses alone.
	ReadLease time.Duration
	// Grace is how long a holder that lags may hold a removal back before it gets no more time. Zero: GraceDefault.
	Grace time.Duration
}

// Begin starts the tenure of a term. Leases of former leaders may last as long as the longest that was announced before (S3):
// who announces something later is not a former leader, and while its entries are the newest the barrier stays (S6).
func Begin(s Started, now Instant) *Tenure {
	return &Tenure{
		Term: s.Term, Start: s.Index, Begun: now, readLease: min(s.ReadLease, s.MaxReadLease),
		waitUntil: now.Add(Stretch(s.FormerReadLease)), barrier: s.Barrier, removals: newRemovals(s.Grace),
	}
}

// Barrier returns the log index up to which removals are visible to everybody, given the position of the newest command
// that this server has published. Once it has returned a number, that number is a fact for good, in every term.
//
// Behind the wait for the leases of former leaders it is what is published here and by every holder with a lease, while
// the newest published command is of the tenure's own term (S6): a leader that was deposed without knowing it applies its
// successor's removals, and must not call them complete. While no record changes it takes the same time however many
// there are.
func (t *Tenure) Barrier(now Instant, index, term uint64) uint64 {
	t.waited = t.waited || now >= t.waitUntil
	if t.waited && term == t.Term {
		t.barrier = max(t.barrier, min(index, t.holders.lowest(now)))
		t.removals.passed(t.barrier)
	}
	return t.barrier
}

// WaitLeft is how long the barrier still stays where it was, for the sake of former leaders' leases (S3).
func (t *Tenure) WaitLeft(now Instant) time.Duration {
	if t.waited {
		return 0
	}
	return max(0, t.waitUntil.Sub(now))
}

// Own is the leader's own read lease, after a pulse that was proposed at t0 (S8). Its floor is the Start: a read that was
// on its way since before the election must not pass. It needs no record, since the barrier never passes what this
// server has published. ok is false when the tenure grants none.
func (t *Tenure) Own(t0 Instant) (l Lease, ok bool) {
	if t.readLease <= 0 {
		return Lease{}, false
	}
	return Lease{Expiry: t0.Add(t.readLease), Floor: t.Start}, true
}

// Back takes in that this server's clock went back by so much: whatever was counted by it has as long to go as before. Nobody's
// lease ends the sooner for it.
func (t *Tenure) Back(by time.Duration) {
	t.waitUntil = t.waitUntil.Add(-by)
	t.holders.back(by)
	t.removals.back(by)
}
