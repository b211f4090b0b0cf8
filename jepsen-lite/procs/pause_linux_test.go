package procs

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// A process on another processor goes on for a moment when it has been sent the signal, and for longer where there is more to do than
// there are processors.
func TestProcess_Pause_ReturnsWhenItHasStopped(t *testing.T) {
	var done atomic.Bool
	var busy sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		busy.Go(func() {
			for !done.Load() {
			}
		})
	}
	defer busy.Wait()
	defer done.Store(true)
	p := process(t, "while :; do :; done")
	start(t, p)
	for n := range 100 {
		if err := p.Pause(); err != nil {
			t.Fatal(err)
		}
		if got := state(t, p.PID()); got != "T" {
			t.Fatalf("Pause %d has returned, and the process is %s", n, got)
		}
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
	}
}
