package lookupclient

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootClock reads CLOCK_BOOTTIME, which is never set and goes on while the machine is suspended: a lease that was
// granted before must not look valid after.
func bootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("lookupclient: there is no CLOCK_BOOTTIME: " + err.Error())
	}
	return time.Duration(ts.Nano())
}
