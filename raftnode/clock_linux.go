package raftnode

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// bootClock reads the clock of leases: CLOCK_BOOTTIME, which is never set and goes on while the machine is suspended. Go's
// own monotonic clock stops then, and a lease would look valid after it.
func bootClock() lease.Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("raftnode: there is no CLOCK_BOOTTIME: " + err.Error())
	}
	return lease.Instant(time.Duration(ts.Nano()))
}
