package lease

import "time"

// Instant is a point in time on one clock, as the time since an arbitrary moment. Instants of different clocks have
// nothing to do with each other.
type Instant time.Duration

// Add is the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub is the time from j to i.
func (i Instant) Sub(j Instant) time.Duration { return time.Duration(i - j) }

// Stretch is d times 1+ρ: the time after which a lease of d has ended at its holder, whatever the two clocks do within
// the bound.
func Stretch(d time.Duration) time.Duration { return d + d/4 }
