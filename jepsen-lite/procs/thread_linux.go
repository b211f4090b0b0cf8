package procs

import (
	"os"
	"runtime"
	"syscall"
)

// OnThread runs f on a goroutine and on a thread of its own, which ends with f. The first thread of the process is not taken for
// it: that one ends with the process alone.
func OnThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() != os.Getpid() {
			f() // never unlocked, so the thread ends
			return
		}
		defer runtime.UnlockOSThread()
		done := make(chan struct{})
		go func() { // on another thread, since this one is taken
			defer close(done)
			runtime.LockOSThread()
			f()
		}()
		<-done
	}()
}
