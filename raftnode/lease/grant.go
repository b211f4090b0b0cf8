package lease

import "time"

// Request is what a server asks for a read lease with.
type Request struct {
	// Holder is the incarnation of the process that asks: a random number that it drew when it started, and never zero.
	Holder uint64
	// Name is the server's, for people.
	Name string
	// Nonce comes back in the Grant.
	Nonce uint64
	// Index is the newest that the holder has published: an Ack (H4).
	Index uint64
}

// Grant is a read lease as it is sent to its holder.
type Grant struct {
	// Nonce is that of the request.
	Nonce uint64
	// ReadLease is how long it lasts, counted from when the holder sent the request.
	ReadLease time.Duration
	// Floor is the log index that the holder has to have published to serve under it.
	Floor uint64
}

// Refusal says why there is no grant.
type Refusal uint8

// The refusals. None is none: there is a grant.
const (
	None     Refusal = iota
	NoLeases         // the tenure grants no read leases
	Late             // the pulse took longer than the lease would have lasted
	Behind           // a removal waits for this holder, for longer than Grace
	Full             // HoldersMax others have one
)

// String names the refusal.
func (r Refusal) String() string {
	switch r {
	case None:
		return "none"
	case NoLeases:
		return "no read leases are granted"
	case Late:
		return "the proof of leadership came too late"
	case Behind:
		return "the holder is behind"
	case Full:
		return "there are too many holders"
	}
	return "unknown"
}

// Grant gives a holder a read lease, after a pulse that was proposed at t0, behind the arrival of the request. index is the
// newest that this server has published. The record is there when Grant returns, before anything is sent (S4). A refusal
// changes nothing but what the request acknowledges.
func (t *Tenure) Grant(r Request, t0 Instant, index uint64, now Instant) (Grant, Refusal) {
	until := t0.Add(Stretch(t.readLease))
	switch {
	case t.readLease <= 0:
		return Grant{}, NoLeases
	case now >= until:
		return Grant{}, Late
	}
	t.Ack(r.Holder, r.Index, now)
	if h := t.holders.live(r.Holder, now); h != nil && h.Low < t.removals.late(now) {
		return Grant{}, Behind
	}
	// Invariant: the floor is not below any barrier that was used before. The index is loaded before the lock is taken,
	// and a batch with a higher barrier may have been sealed in between.
	low, ok := t.holders.record(Record{Holder: r.Holder, Name: r.Name, Low: max(index, t.barrier), Until: until}, now)
	if !ok {
		return Grant{}, Full
	}
	return Grant{Nonce: r.Nonce, ReadLease: t.readLease, Floor: low}, None
}

// Ack notes what a holder has published, as its request or a message of its own says (S5). Only that moves the barrier on
// behind a holder, and only for the incarnation that the record is of. Without a live record it has no effect.
func (t *Tenure) Ack(holder, index uint64, now Instant) { t.holders.ack(holder, index, now) }

// Holders lists the records whose leases may last, by name and then by incarnation.
func (t *Tenure) Holders(now Instant) []Record { return t.holders.list(now) }

// HeldBy is the record that holds the barrier back the most, given what this server has published; ok is false when no
// holder does. When several do as much it is the one that may do so for the longest.
func (t *Tenure) HeldBy(index uint64, now Instant) (r Record, ok bool) {
	return t.holders.heldBy(index, now)
}

// Removed notes that this server has published a removal. It is called with indexes that rise; others are ignored.
func (t *Tenure) Removed(index uint64, now Instant) {
	if index > t.barrier {
		t.removals.note(index, now)
	}
}

// OldestWait is how long the oldest removal that the barrier has not passed has waited, to a quarter of Grace; zero when none
// does.
func (t *Tenure) OldestWait(now Instant) time.Duration { return t.removals.oldest(now) }
