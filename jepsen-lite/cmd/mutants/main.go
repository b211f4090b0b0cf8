// Command mutants shows that the fault tests find faults: it builds each berth of package jepsen-lite/mutants, runs seeds of the
// simulation or of its scenario until one of its checkers says false, and prints how long that took. It is run in the module's
// directory, and fails when a mutant survives that has no reason to, and when one without a fault is found.
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

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
)

func main() {
	var h hunt
	flag.StringVar(&h.store, "store", "berth-faults", "the folder that gets the runs' folders")
	flag.Uint64Var(&h.seeds, "seeds", 3, "how many seeds of a scenario a mutant may survive")
	flag.Uint64Var(&h.simulated, "simulated", 24, "how many seeds of the simulation")
	only := flag.String("only", "", "the mutants to try, with commas between them; none is the berth without a fault")
	scenario := flag.String("scenario", "", "the scenario to try them with, or sim; empty for each one's own")
	markdown := flag.Bool("markdown", false, "print the table as the README has it")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	rows, err := h.all(ctx, *only, *scenario)
	if *markdown {
		printMarkdown(rows)
	} else {
		err = errors.Join(err, printTable(rows))
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
	took, build time.Duration
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
	dir              string // of what is built
}

// unbroken is the berth without a fault: what is found in it would be found in every mutant.
var unbroken = mutants.Mutant{Name: "none", About: "nothing: what is found here would be found in each"}

func (h *hunt) all(ctx context.Context, only, scenario string) (rows []row, err error) {
	if h.dir, err = os.MkdirTemp("", "berth-mutants-"); err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(h.dir) }()
	var wrong []error
	for _, m := range append([]mutants.Mutant{unbroken}, mutants.All()...) {
		if only != "" && !slices.Contains(strings.Split(only, ","), m.Name) {
			continue
		}
		switch {
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
		case !sound && r.checker == "" && m.Gap == "":
			wrong = append(wrong, fmt.Errorf("%s survived", m.Name))
		}
	}
	return rows, errors.Join(wrong...)
}

// one builds a mutant and looks for it.
func (h *hunt) one(ctx context.Context, m mutants.Mutant) (r row, err error) {
	r.Mutant = m
	begin := time.Now()
	binary := filepath.Join(h.dir, m.Name)
	build := m.Build
	if m.Scenario == simulation {
		build = m.BuildSim
	}
	if err := build(".", binary); err != nil {
		return r, err
	}
	defer func() { _ = os.Remove(binary) }() // they are large
	r.build, begin = time.Since(begin), time.Now()
	if m.Scenario == simulation {
		r.found, err = h.simulate(ctx, &m, binary)
	} else {
		r.found, err = h.run(ctx, &m, binary)
	}
	r.took = time.Since(begin)
	return r, err
}

// verdict is how the mutant was found, in words.
func (r *row) verdict() string {
	if r.checker == "" {
		return fmt.Sprintf("not by %d seeds", r.seed)
	}
	return fmt.Sprintf("%s, seed %d", r.checker, r.seed)
}

func printTable(rows []row) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "MUTANT\tSCENARIO\tFOUND BY\tSECONDS\tWHY")
	for i := range rows {
		r := &rows[i]
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%.0f\t%s\n", r.Name, r.Scenario, r.verdict(), r.took.Seconds(), r.why)
	}
	return table.Flush()
}

func printMarkdown(rows []row) {
	fmt.Println("| mutant | what is taken out | scenario | found by | seconds |")
	fmt.Println("| --- | --- | --- | --- | --- |")
	for i := range rows {
		r := &rows[i]
		verdict := r.verdict()
		if r.checker == "" && r.Gap != "" {
			verdict += ": " + r.Gap
		}
		fmt.Printf("| %s | %s | %s | %s | %.0f |\n", r.Name, r.About, r.Scenario, verdict, r.took.Seconds())
	}
}
