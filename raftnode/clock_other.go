//go:build !linux

package raftnode

import (
	"time"

	"github.com/seed13d31b7f/berth/raftnode/lease"
)

var started = time.Now()

// bootClock reads the clock of leases: the monotonic clock of this process. Where it stops during suspend, a machine that
// hosts members must not be suspended.
func bootClock() lease.Instant { return lease.Instant(time.Since(started)) }
