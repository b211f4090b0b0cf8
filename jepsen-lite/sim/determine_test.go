//go:build determinism

package sim

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync/atomic"
	"testing"
)

var (
	determinedSeeds = flag.Uint64("determinism.seeds", 2, "how many seeds are run")
	determinedFirst = flag.Uint64("determinism.first", 3, "the first of them")
	determinedTimes = flag.Int("determinism.times", 3, "in how many processes each is run")
)

// One seed gives one trace, in each process that runs it: wherever the program is, whatever its environment, and while others want
// the processors; and another seed gives another one.
func TestBuild_OneSeed_OneTrace(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sim.test")
	if err := Build("../..", binary); err != nil {
		t.Fatal(err)
	}
	elsewhere := filepath.Join(t.TempDir(), "the-same-program-at-a-path-that-is-a-lot-longer-than-that-of-the-first.test")
	if err := os.Link(binary, elsewhere); err != nil {
		t.Fatal(err)
	}
	seen := map[string]uint64{}
	for seed := *determinedFirst; seed < *determinedFirst+*determinedSeeds; seed++ {
		var one string
		for i := range *determinedTimes {
			program, variables, busy := binary, 0, false
			switch i % 3 {
			case 1:
				program, variables = elsewhere, 50
			case 2:
				busy = true
			}
			trace := traceOf(t, program, seed, variables, busy)
			if i == 0 {
				one = trace
			} else if trace != one {
				t.Errorf("seed %d has the traces %s and %s", seed, one, trace)
			}
		}
		if other, ok := seen[one]; ok {
			t.Errorf("seeds %d and %d have the trace %s", other, seed, one)
		}
		seen[one] = seed
	}
}

// traceOf runs a seed in a process of its own, with so many more variables in its environment, and beside others when the machine
// is to be busy.
func traceOf(t *testing.T, program string, seed uint64, variables int, busy bool) string {
	t.Helper()
	if busy {
		var done atomic.Bool
		defer done.Store(true)
		for range 2 * runtime.NumCPU() {
			go func() {
				for !done.Load() {
				}
			}()
		}
	}
	c := exec.Command(program, Arguments(seed, "", 0)...)
	c.Env = os.Environ()
	for i := range variables {
		c.Env = append(c.Env, fmt.Sprintf("VARIABLE_%d=%*d", i, i, i))
	}
	out, err := c.CombinedOutput()
	trace := regexp.MustCompile(`trace ([0-9a-f]+)`).FindSubmatch(out)
	if err != nil || trace == nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, out)
	}
	t.Logf("seed %d: trace %s, busy %v, %v of a processor", seed, trace[1], busy, c.ProcessState.UserTime()+c.ProcessState.SystemTime())
	return string(trace[1])
}
