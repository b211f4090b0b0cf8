package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

// run runs a mutant's scenario, with real processes, until it is found. That a run does not come to its end is what is found when no
// checker says more, of that run or of the next ones.
func (h *hunt) run(ctx context.Context, m *mutants.Mutant, binary string) (f found, err error) {
	scenario, ok := runner.Find(m.Scenario)
	if !ok {
		return f, fmt.Errorf("there is no scenario %s", m.Scenario)
	}
	if scenario.Clocks() {
		return f, fmt.Errorf("%s builds a berth of its own, whose clocks can be skewed, and would not run %s", m.Scenario, m.Name)
	}
	var ended found // the first run that did not come to its end
	for f.seed = 1; f.seed <= h.seeds; f.seed++ {
		report, err := runner.Run(ctx, runner.Config{
			Scenario: scenario, Seed: f.seed, Duration: 10 * time.Second, Root: h.store, Binary: binary, Command: []string{"fault"}, Mutant: m.Name,
		})
		if ctx.Err() != nil || report == nil {
			return f, errors.Join(err, context.Cause(ctx))
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "  %s, seed %d: %v\n", m.Name, f.seed, err) // a broken cluster may not come to the end of a run
			var missing *runner.UnavailableError
			var space *runner.SpaceError
			if errors.As(err, &missing) || errors.As(err, &space) {
				return f, err
			}
			if why := refused(m, err.Error()); why != "" && ended.checker == "" {
				ended = found{checker: "run", why: why, seed: f.seed}
			}
		}
		broken := err != nil
		if broken && m.Name == unbroken.Name {
			continue // what did not come to its end has answers that nobody waited for
		}
		results, err := runner.Judge(report.Dir)
		switch {
		case err != nil && broken:
			continue // what it left is cut
		case err != nil:
			f.checker, f.why = "logs", err.Error()
			return f, nil
		}
		for i := range results.Checkers {
			c := &results.Checkers[i]
			if c.Valid != check.False || broken && c.Checker == "run" {
				continue
			}
			if m.Name == unbroken.Name || slices.Contains(m.Checkers, c.Checker) {
				f.checker, f.why = c.Checker, c.Why
				return f, nil
			}
		}
	}
	if ended.checker != "" {
		return ended, nil
	}
	f.seed--
	return f, nil
}

// refused is the line of what went wrong with a run by which "run" finds a mutant: that with its Refusal, or else the first one. It is
// empty when "run" does not.
func refused(m *mutants.Mutant, text string) string {
	if !slices.Contains(m.Checkers, "run") {
		return ""
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, m.Refusal) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
