package sim

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is left of a lease is told by a clock of the server's own.
func TestLeaseUntil_ClockIsSlow_LastsLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{Plan: Plan{Rates: map[string]int64{"s1": 80, "s2": 100}}, journal: newJournal()}
		time.Sleep(time.Second)
		for _, x := range []struct {
			server     string
			left, want time.Duration
		}{{"s1", 2 * time.Second, 3500 * time.Millisecond}, {"s2", 2 * time.Second, 3 * time.Second}, {"s1", 0, 0}} {
			if got := w.leaseUntil(x.server, x.left); got != int64(x.want) {
				t.Errorf("%s, of whose lease %v is left: until %v, want %v", x.server, x.left, time.Duration(got), x.want)
			}
		}
	})
}
