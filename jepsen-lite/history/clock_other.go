//go:build !linux

package history

import "time"

var started = time.Now()

// Clock returns a clock that counts nanoseconds from the moment start on, which Now has given.
func Clock(start int64) func() int64 {
	return func() int64 { return Now() - start }
}

// Now is the process's monotonic clock in nanoseconds.
func Now() int64 { return int64(time.Since(started)) }
