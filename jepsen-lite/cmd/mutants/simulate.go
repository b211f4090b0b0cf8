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
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
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

// atOnce is how many seeds run at once: one has one processor.
const atOnce = 2

// order is the seeds of a budget, from 1 on. One that is known is the first of them.
func order(budget, known uint64) []uint64 {
	seeds := make([]uint64, 0, budget)
	if known != 0 && known <= budget {
		seeds = append(seeds, known)
	}
	for seed := uint64(1); seed <= budget; seed++ {
		if seed != known {
			seeds = append(seeds, seed)
		}
	}
	return seeds
}

// simulate runs seeds of the simulation, as many as the budget has, until a mutant is found.
func (h *hunt) simulate(ctx context.Context, m *mutants.Mutant, binary string, budget uint64) (f found, err error) {
	for seeds := range slices.Chunk(order(budget, h.known[m.Name]), atOnce) {
		var all sync.WaitGroup
		outs, errs := make([]string, len(seeds)), make([]error, len(seeds))
		for i, seed := range seeds {
			all.Go(func() { outs[i], errs[i] = h.runSeed(ctx, binary, seed) })
		}
		all.Wait()
		if ctx.Err() != nil {
			return f, context.Cause(ctx)
		}
		for i, out := range outs {
			f.seed = seeds[i]
			if f.checker, f.why = sees(m, out); f.checker != "" {
				return f, nil
			}
			if errs[i] != nil {
				fmt.Fprintf(os.Stderr, "  %s, seed %d: %s\n", m.Name, f.seed, firstFailure(out, errs[i]))
			}
		}
	}
	f.seed = budget
	return f, nil
}

// sees is the checker that finds a mutant in what a seed prints, and why; empty for none.
func sees(m *mutants.Mutant, out string) (checker, why string) {
	meant := func(checker string) bool { return m.Name == unbroken.Name || slices.Contains(m.Checkers, checker) }
	for _, line := range refusal.FindAllStringSubmatch(out, -1) {
		if meant(line[1]) {
			return line[1], line[2]
		}
	}
	if x := differ.FindStringSubmatch(out); x != nil && x[1] == x[2] && meant("replicas") {
		return "replicas", x[0]
	}
	for _, sign := range signs {
		if x := sign.pattern.FindString(out); x != "" && meant(sign.checker) {
			return sign.checker, x
		}
	}
	if why := refused(m, crash(out)); why != "" {
		return "run", why
	}
	return "", ""
}

// runSeed runs one seed in a process of its own.
func (h *hunt) runSeed(ctx context.Context, binary string, seed uint64) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, seedTimeout)
	defer cancel()
	limited := fmt.Sprintf(`ulimit -v %d && exec "$0" "$@"`, seedMemory)
	c := exec.CommandContext(ctx, "sh", append([]string{"-c", limited, binary}, sim.Arguments(seed, "", 0)...)...)
	c.Env = append(os.Environ(), "TMPDIR="+h.files)
	out, err := procs.CombinedOutput(c)
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
