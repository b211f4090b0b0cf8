// Command mutants shows that the fault tests find faults: it builds each berth of package jepsen-lite/mutants, runs seeds of the
// simulation or of its scenario until one of its checkers says false, and prints how long that took. It is run in the module's
// directory, and fails when a mutant survives that has no reason to, and when one without a fault is found.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
)

func main() {
	var h hunt
	flag.StringVar(&h.store, "store", "berth-faults", "the folder that gets the runs' folders")
	flag.Uint64Var(&h.seeds, "seeds", 3, "how many seeds of a scenario with real processes a mutant may survive")
	flag.Uint64Var(&h.simulated, "simulated", 0, "how many seeds of the simulation; 0 for each one's own number")
	flag.IntVar(&h.sample, "sample", 0, "how many to try, drawn from those that must be found without real processes; 0 for all")
	table := flag.String("table", "", "a file that has the table: the seed that found a mutant before is the first")
	only := flag.String("only", "", "the mutants to try, with commas between them; none is the berth without a fault")
	scenario := flag.String("scenario", "", "the scenario to try them with, or sim; empty for each one's own")
	write := flag.String("write", "", "a file that has the table: what was found is written into it")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	var err error
	if *table != "" {
		h.known, err = seedsOfTable(*table)
	}
	var rows []row
	if err == nil {
		rows, err = h.all(ctx, *only, *scenario)
		err = errors.Join(err, printTable(rows))
	}
	if *write != "" && rows != nil {
		err = errors.Join(err, writeTable(*write, rows))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// simulation is what stands for package sim where a scenario is named.
const simulation = "sim"

// row is what became of a mutant.
type row struct {
	mutants.Mutant
	found
	budget uint64 // how many seeds it may survive
	took   time.Duration
}

// found is how a mutant was found; the checker is empty when it was not.
type found struct {
	checker, why string
	// seed is the seed that found it, or the last that was tried.
	seed uint64
}

// hunt is how mutants are looked for.
type hunt struct {
	store            string
	seeds, simulated uint64
	known            map[string]uint64 // the seeds of the simulation that begin, by the mutant's name; others begin with the first
	sample           int               // how many are tried of those that must be found without real processes; 0 for all mutants
	dir              string            // of what is built
	files            string            // of what the seeds of the simulation have on their disks
}

// unbroken is the berth without a fault: what is found in it would be found in every mutant.
var unbroken = mutants.Mutant{Name: "none", About: "nothing: what is found here would be found in each", Seeds: 48}

func (h *hunt) all(ctx context.Context, only, scenario string) (rows []row, err error) {
	if h.dir, err = scratch.New("", "berth-mutants"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.dir)) }()
	if h.files, err = scratch.New(scratch.InMemory(), "berth-mutants"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.files)) }()
	candidates, err := named(h.drawn(everyone()), only)
	if err != nil {
		return nil, err
	}
	var wrong []error
	for _, m := range candidates {
		switch {
		case m.Test != "" && scenario == "":
			m.Scenario = "test " + m.Package
		case scenario == simulation, m.Scenario == "" && scenario == "":
			m.Scenario = simulation
		case scenario != "":
			m.Scenario = scenario
		}
		r, err := h.one(ctx, m)
		if err != nil {
			return rows, errors.Join(append(wrong, err)...)
		}
		rows = append(rows, r)
		fmt.Fprintf(os.Stderr, "%s: %s\n", m.Name, r.verdict())
		switch sound := m.Name == unbroken.Name; {
		case sound && r.checker != "":
			wrong = append(wrong, fmt.Errorf("%s says false of a berth without a fault: %s", r.checker, r.why))
		case !sound && r.checker == "" && (m.Gap == "" || m.Test != ""):
			wrong = append(wrong, fmt.Errorf("%s survived", m.Name))
		}
	}
	return rows, errors.Join(wrong...)
}

// named are those of the mutants that are named, with commas between them, or all. A name that none of them has is an error.
func named(all []mutants.Mutant, names string) ([]mutants.Mutant, error) {
	if names == "" {
		return all, nil
	}
	var list []mutants.Mutant
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(m mutants.Mutant) bool { return m.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no mutant %q to try", name)
		}
		list = append(list, all[i])
	}
	return list, nil
}

// drawn is a sample of the mutants, or all.
func (h *hunt) drawn(all []mutants.Mutant) []mutants.Mutant {
	if h.sample == 0 {
		return all
	}
	all = slices.DeleteFunc(all, func(m mutants.Mutant) bool {
		return m.Name == unbroken.Name || m.Test == "" && (m.Scenario != "" || m.Gap != "")
	})
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(h.sample, len(all))]
}

// one builds a mutant and looks for it.
func (h *hunt) one(ctx context.Context, m mutants.Mutant) (r row, err error) {
	r.Mutant = m
	binary := filepath.Join(h.dir, m.Name)
	build, tested := m.Build, strings.HasPrefix(m.Scenario, "test ")
	switch {
	case tested:
		build = m.BuildTest
	case m.Scenario == simulation:
		build = m.BuildSim
	}
	if err := build(".", binary); err != nil {
		return r, err
	}
	defer func() { _ = os.Remove(binary) }() // they are large
	begin := time.Now()
	switch {
	case tested:
		r.budget = 1
		r.found, err = test(ctx, &m, binary)
	case m.Scenario == simulation:
		r.budget = cmp.Or(h.simulated, m.Seeds, mutants.SeedsDefault)
		r.found, err = h.simulate(ctx, &m, binary, r.budget)
	default:
		r.budget = h.seeds
		r.found, err = h.run(ctx, &m, binary)
	}
	r.took = time.Since(begin)
	return r, err
}
