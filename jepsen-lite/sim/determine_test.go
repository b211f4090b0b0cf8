//go:build determinism

package sim

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// One seed gives one trace, in each process that runs it, and another seed another.
func TestBuild_OneSeed_OneTrace(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sim.test")
	if err := Build("../..", binary); err != nil {
		t.Fatal(err)
	}
	run := func(seed string) string {
		c := exec.Command(binary, "-test.run", "^TestSeeds$", "-test.v", "-seeds", "1", "-first", seed)
		c.Env = append(os.Environ(), Environment()...)
		out, err := c.CombinedOutput()
		trace := regexp.MustCompile(`trace ([0-9a-f]+)`).FindSubmatch(out)
		if err != nil || trace == nil {
			t.Fatalf("seed %s: %v\n%s", seed, err, out)
		}
		return string(trace[1])
	}
	one := run("1")
	for range 2 {
		if again := run("1"); again != one {
			t.Errorf("seed 1 has the traces %s and %s", one, again)
		}
	}
	if other := run("5"); other == one {
		t.Errorf("seeds 1 and 5 have the trace %s", one)
	}
}
