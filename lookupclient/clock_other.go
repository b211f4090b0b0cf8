//go:build !linux

package lookupclient

import "time"

var started = time.Now()

// bootClock reads the monotonic clock of the process. Where it stops during suspend, a machine that hosts activations
// must not be suspended.
func bootClock() time.Duration { return time.Since(started) }
