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

// run runs a mutant's scenario, with real processes, until it is found.
func (h *hunt) run(ctx context.Context, m *mutants.Mutant, binary string) (f found, err error) {
	scenario, ok := runner.Find(m.Scenario)
	if !ok {
		return f, fmt.Errorf("there is no scenario %s", m.Scenario)
	}
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
			if slices.Contains(m.Checkers, "run") {
				f.checker = "run"
				f.why, _, _ = strings.Cut(err.Error(), "\n")
				return f, nil
			}
			continue
		}
		results, err := runner.Judge(report.Dir)
		if err != nil {
			f.checker, f.why = "logs", err.Error()
			return f, nil
		}
		for i := range results.Checkers {
			if c := &results.Checkers[i]; c.Valid == check.False && (m.Name == unbroken.Name || slices.Contains(m.Checkers, c.Checker)) {
				f.checker, f.why = c.Checker, c.Why
				return f, nil
			}
		}
	}
	f.seed--
	return f, nil
}
