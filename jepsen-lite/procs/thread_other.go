//go:build !linux

package procs

import "runtime"

// OnThread runs f on a goroutine and on a thread of its own.
func OnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		f()
	}()
}
