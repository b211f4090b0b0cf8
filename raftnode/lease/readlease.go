package lease

import "time"

// Lease is a server's right to answer settled reads from its own state. It is never changed, so that readers may load it
// from an atomic pointer. None, which is nil, serves nothing.
type Lease struct {
	// Expiry is when it ends, by the holder's own clock.
	Expiry Instant
	// Floor is the log index that the state has to have that is read.
	Floor uint64
}

// Serves says whether a read may be answered from the state of an index, at a moment (H3). The reader loads the state, then
// the lease, then the clock, all after its request arrived, and index is that of the very state that answers. What is not
// settled there is not answered under a lease.
func (l *Lease) Serves(index uint64, now Instant) bool {
	return l != nil && index >= l.Floor && now < l.Expiry
}

// Left is how long the lease still lasts.
func (l *Lease) Left(now Instant) time.Duration {
	if l == nil {
		return 0
	}
	return max(0, l.Expiry.Sub(now))
}
