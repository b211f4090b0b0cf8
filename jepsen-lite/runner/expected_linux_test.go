package runner

import (
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
)

// expected is the shortest run of a scenario that breaks a promise on purpose.
func expected(t *testing.T, name string) Config {
	t.Helper()
	c := short(t)
	s, ok := Find(name)
	if !ok || len(s.Breaks) == 0 {
		t.Fatalf("%s, which breaks %v: it is there: %t", name, s.Breaks, ok)
	}
	c.Scenario, c.Duration = s, nemesis.Certain(s.Faults)
	return c
}

func TestRun_LocksUnfenced_AreFound(t *testing.T) {
	passes(t, expected(t, "locks-unfenced"))
}

// It needs root, and what joins hosts.
func TestRun_StaleLookups_AreFound(t *testing.T) {
	passes(t, expected(t, "stale-lookups"))
}

// They build a berth whose clocks can be skewed.
func TestRun_ClocksBeyond_AreFound(t *testing.T) {
	for _, name := range []string{"clocks-beyond", "server-clocks-beyond"} {
		t.Run(name, func(t *testing.T) {
			c := expected(t, name)
			c.Source = "../.."
			passes(t, c)
		})
	}
}

func TestVerdict_NothingFoundThatHadToBe_SaysSo(t *testing.T) {
	for _, x := range []struct {
		valid        check.Valid
		passed, says bool
	}{{check.True, true, false}, {check.True, false, true}, {check.False, false, true}, {check.False, true, true}} {
		r := &check.Results{ExpectedToFail: true, Passed: x.passed, Checkers: []check.Result{{Checker: "order", Valid: x.valid}}}
		if line := Verdict(r); (line != "") != x.says {
			t.Errorf("%+v: %q", x, line)
		}
	}
}
