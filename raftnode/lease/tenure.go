package lease

import "time"

// Tenure is what one leadership knows and promises, from its committed Start on. It begins with empty tables, whatever
// the server did before (S1). It belongs to whoever holds the lock around it.
type Tenure struct {
	// Term is the Raft term that names the tenure.
	Term uint64
	// Start is the log index of the tenure's Start.
	Start uint64
	// Begun is when the tenure learned that its Start is committed.
	Begun Instant

	waitUntil Instant // S3
	waited    bool    // the wait is over, whatever the clock says from now on
	barrier   uint64
}

// Begin starts the tenure of a term. barrier is the replicated barrier as of the Start, and maxReadLease the longest
// read lease that any leader ever announced: leases of former leaders may last that long (S3).
func Begin(term, start uint64, now Instant, barrier uint64, maxReadLease time.Duration) *Tenure {
	return &Tenure{Term: term, Start: start, Begun: now, waitUntil: now.Add(Stretch(maxReadLease)), barrier: barrier}
}

// Barrier returns the log index up to which removals are visible to everybody, given the position of the newest command
// that this server has published. Once it has returned a number, that number is a fact for good, in every term.
//
// Nobody holds a read lease in this stage of the protocol, so behind the wait for those of former leaders the barrier is
// all that is published, while the newest published command is of the tenure's own term (S6): a leader that was deposed
// without knowing it applies its successor's removals, and must not call them complete.
func (t *Tenure) Barrier(now Instant, index, term uint64) uint64 {
	t.waited = t.waited || now >= t.waitUntil
	if t.waited && term == t.Term {
		t.barrier = max(t.barrier, index)
	}
	return t.barrier
}
