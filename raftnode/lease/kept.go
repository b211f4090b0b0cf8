package lease

import "time"

// Kept is a member's or a session's own side of its lease, that keepalives keep (M2): it acts while there is some left,
// checked right before each effect (M5). What stops with it, and that an activation has stopped before it is released (M6),
// is up to package lookupclient.
type Kept struct {
	// Expiry is when it ends, by the own clock.
	Expiry Instant
}

// Keep is the lease after the first answer: for ttl from when it was asked for.
func Keep(asked Instant, ttl time.Duration) Kept { return Kept{Expiry: asked.Add(ttl)} }

// Extend is the lease after an answer to a keepalive. It never becomes shorter.
func (k Kept) Extend(asked Instant, ttl time.Duration) Kept {
	return Kept{Expiry: max(k.Expiry, Keep(asked, ttl).Expiry)}
}

// Left is how long it still lasts; zero when it has ended.
func (k Kept) Left(now Instant) time.Duration { return max(0, k.Expiry.Sub(now)) }
