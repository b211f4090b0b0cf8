// Command mutants shows that the fault tests find faults: it builds each berth of package jepsen-lite/mutants, runs its scenario
// until one of its checkers says false, and prints how long that took. It is run in the module's directory, and fails when a mutant
// survives.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

func main() {
	store := flag.String("store", "berth-faults", "the folder that gets the runs' folders")
	seeds := flag.Uint64("seeds", 3, "how many seeds a mutant may survive")
	only := flag.String("only", "", "the one mutant to try")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	if err := all(ctx, *store, *seeds, *only); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func all(ctx context.Context, store string, seeds uint64, only string) error {
	dir, err := os.MkdirTemp("", "berth-mutants-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MUTANT\tSCENARIO\tFOUND BY\tSEEDS\tSECONDS\tWHY")
	survived := 0
	for _, m := range mutants.All() {
		if only != "" && m.Name != only {
			continue
		}
		binary := filepath.Join(dir, m.Name)
		if err := m.Build(".", binary); err != nil {
			return err
		}
		begin := time.Now()
		found, tried, err := hunt(ctx, &m, binary, store, seeds)
		if err != nil {
			return err
		}
		if found == nil {
			survived++
			found = &check.Result{Checker: "SURVIVED"}
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.0f\t%s\n", m.Name, m.Scenario, found.Checker, tried, time.Since(begin).Seconds(), found.Why)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if survived > 0 {
		return fmt.Errorf("%d survived", survived)
	}
	return nil
}

// hunt runs a mutant's scenario until it is found; nil when it is not.
func hunt(ctx context.Context, m *mutants.Mutant, binary, store string, seeds uint64) (*check.Result, uint64, error) {
	scenario, ok := runner.Find(m.Scenario)
	if !ok {
		return nil, 0, fmt.Errorf("there is no scenario %s", m.Scenario)
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		fmt.Fprintf(os.Stderr, "%s, seed %d\n", m.Name, seed)
		report, err := runner.Run(ctx, runner.Config{
			Scenario: scenario, Seed: seed, Duration: 10 * time.Second, Root: store, Binary: binary, Command: []string{"fault"}, Mutant: m.Name,
		})
		if ctx.Err() != nil || report == nil {
			return nil, seed, err
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "  ", err) // a broken cluster may not come to the end of a run
			var missing *runner.UnavailableError
			if errors.As(err, &missing) {
				return nil, seed, err
			}
			if slices.Contains(m.Checkers, "run") {
				why, _, _ := strings.Cut(err.Error(), "\n")
				return &check.Result{Checker: "run", Why: why}, seed, nil
			}
			continue
		}
		results, err := runner.Judge(report.Dir)
		if err != nil {
			return &check.Result{Checker: "logs", Why: err.Error()}, seed, nil
		}
		for i := range results.Checkers {
			if c := &results.Checkers[i]; c.Valid == check.False && slices.Contains(m.Checkers, c.Checker) {
				return c, seed, nil
			}
		}
	}
	return nil, seeds, nil
}
