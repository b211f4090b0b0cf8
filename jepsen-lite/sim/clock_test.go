package sim

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A clock jumps with its host, and goes on at its rate; other hosts' clocks do not.
func TestClock_HostJumps_OthersDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			Plan:   Plan{Rates: map[string]int64{"s1": 80, "locker-s1": 90, "m1": 100}},
			jumped: map[string]*atomic.Int64{"s1": {}, "m1": {}},
		}
		clocks := map[string]func() time.Duration{"s1": w.clock("s1", "s1"), "locker-s1": w.clock("locker-s1", "s1"), "reader-s1": w.clock("reader-s1", "s1"), "m1": w.clock("m1", "m1")}
		before := map[string]time.Duration{}
		for name, clock := range clocks {
			before[name] = clock()
		}
		w.fault(Fault{Kind: Jump, Hosts: []string{"s1"}, Delay: 7 * time.Second})
		time.Sleep(10 * time.Second)
		for name, want := range map[string]time.Duration{"s1": 15 * time.Second, "locker-s1": 16 * time.Second, "reader-s1": 15 * time.Second, "m1": 10 * time.Second} {
			if got := clocks[name]() - before[name]; got != want {
				t.Errorf("the clock of %s went on by %v, want %v", name, got, want)
			}
		}
		if apart := before["m1"] - before["s1"]; apart < 365*24*time.Hour {
			t.Errorf("two clocks are %v apart", apart)
		}
	})
}
