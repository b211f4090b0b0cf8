package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/sim"
)

const (
	// seedTimeout bounds a seed by the true clock: a cluster that is broken may never come to an end.
	seedTimeout = 3 * time.Minute
	// seedMemory is how many KiB of addresses a seed may have: the search for an order may want more than the machine has.
	seedMemory = 12 << 20
)

// refusal is what a checker says false of, in what a seed prints.
var refusal = regexp.MustCompile(`seed \d+: (\w+): false: (.*)`)

// differ is what a seed prints when servers have different states at one index.
var differ = regexp.MustCompile(`not so that the servers agree: \S+ is at (\d+) with \w+, \S+ at (\d+) with \w+`)

// signs are what a seed prints of what it saw itself, and the checker that it stands for.
var signs = []struct {
	checker string
	pattern *regexp.Regexp
}{
	{"fence", regexp.MustCompile(`\S+ writes for \S+ under \d+, after it was written under \d+`)},
	{"progress", regexp.MustCompile(`after everything healed it is not so that .*`)},
}

// simulate runs seeds of the simulation, as many as the budget has, until a mutant is found.
func (h *hunt) simulate(ctx context.Context, m *mutants.Mutant, binary string, budget uint64) (f found, err error) {
	for f.seed = 1; f.seed <= budget; f.seed++ {
		out, err := runSeed(ctx, binary, f.seed)
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		for _, line := range refusal.FindAllStringSubmatch(out, -1) {
			if m.Name == unbroken.Name || slices.Contains(m.Checkers, line[1]) {
				f.checker, f.why = line[1], line[2]
				return f, nil
			}
		}
		if x := differ.FindStringSubmatch(out); x != nil && x[1] == x[2] && (m.Name == unbroken.Name || slices.Contains(m.Checkers, "replicas")) {
			f.checker, f.why = "replicas", x[0]
			return f, nil
		}
		for _, sign := range signs {
			if x := sign.pattern.FindString(out); x != "" && (m.Name == unbroken.Name || slices.Contains(m.Checkers, sign.checker)) {
				f.checker, f.why = sign.checker, x
				return f, nil
			}
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "  %s, seed %d: %s\n", m.Name, f.seed, firstFailure(out, err))
		}
		if why := crash(out); why != "" && slices.Contains(m.Checkers, "run") {
			f.checker, f.why = "run", why
			return f, nil
		}
	}
	f.seed--
	return f, nil
}

// runSeed runs one seed in a process of its own.
func runSeed(ctx context.Context, binary string, seed uint64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, seedTimeout)
	defer cancel()
	limited := fmt.Sprintf(`ulimit -v %d && exec "$0" "$@"`, seedMemory)
	c := exec.CommandContext(ctx, "sh", append([]string{"-c", limited, binary}, sim.Arguments(seed, "")...)...)
	out, err := c.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, fmt.Errorf("it did not end within %v", seedTimeout))
	}
	return string(out), err
}

// crash is why a process panicked, other than for want of memory or by its own watchdog.
func crash(out string) string {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "panic: ") && !strings.Contains(line, "goes on after") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// firstFailure is the first thing that a seed's process says went wrong.
func firstFailure(out string, err error) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, ".go:") && strings.Contains(line, "seed ") && !strings.Contains(line, "operations, trace") ||
			strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return strings.TrimSpace(line)
		}
	}
	return err.Error()
}
