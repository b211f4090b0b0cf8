package history

import "golang.org/x/sys/unix"

// Clock returns a clock that counts nanoseconds from the moment start on, which another process may have taken from Now. It asks
// the kernel, and not Go's runtime: a process whose own clock is tampered with still tells the time right.
func Clock(start int64) func() int64 {
	return func() int64 { return Now() - start }
}

// Now is the machine's monotonic clock in nanoseconds, the same in all processes of one time namespace.
func Now() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic("history: there is no CLOCK_MONOTONIC: " + err.Error())
	}
	return ts.Nano()
}
