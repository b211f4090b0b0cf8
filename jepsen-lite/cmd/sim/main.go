// Command sim runs seeds of package jepsen-lite/sim, each in a process of its own, built so that a seed decides everything. A seed
// that fails is run again with fewer and fewer faults, as long as it goes on failing, and what is left is printed with
// the command that repeats it. It must be run in the directory of the module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/jepsen-lite/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 20, "how many seeds are run")
	first := flag.Uint64("first", 0, "the first of them; 0 for one that was not run yet, which is said")
	jobs := flag.Int("jobs", 2, "how many at once")
	drop := flag.String("drop", "", "numbers of the faults that are left out, with commas between them")
	until := flag.Duration("until", 0, "how long a run lasts at most; 0 for as long as its plan")
	mutant := flag.String("mutant", "", "a berth of package mutants that is run in the place of this one")
	flag.Parse()
	if *first == 0 {
		*first = uint64(time.Now().UnixMicro())
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, cancel) // a second signal ends the process at once
	switch err := (&runs{drop: *drop, mutant: *mutant, until: *until, build: build}).all(ctx, *first, *seeds, *jobs); {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "sim: interrupted")
		os.Exit(interrupted)
	case err != nil:
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// interrupted is the exit status after Ctrl-C.
const interrupted = 130

// errFailed: some seeds did.
var errFailed = errors.New("promises are broken")

// runs are runs of seeds.
type runs struct {
	drop, mutant string
	until        time.Duration
	build        func(mutant, output string) error
	program      string // the path of what runs a seed
	files        string // the folder of what seeds have on their disks
}

// all runs seeds, and makes those smaller that fail. What it made is gone when it returns, also when ctx ends it.
func (r *runs) all(ctx context.Context, first, seeds uint64, jobs int) (err error) {
	dir, err := scratch.New("", "berth-sim")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if r.files, err = scratch.New(scratch.InMemory(), "berth-sim"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.files)) }()
	r.program = filepath.Join(dir, "sim.test")
	fmt.Printf("%d seeds from %d on; building: some minutes the first time\n", seeds, first)
	if err := r.build(r.mutant, r.program); err != nil {
		return err
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		failed []uint64
		total  = totals{begin: time.Now()}
		turn   = make(chan struct{}, max(1, jobs))
	)
	for seed := first; seed < first+seeds && ctx.Err() == nil; seed++ {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			out, ok := r.one(ctx, seed, r.drop)
			if ctx.Err() != nil {
				return // it was broken off
			}
			mu.Lock()
			defer mu.Unlock()
			fmt.Print(summary(out, ok))
			total.add(out)
			if !ok {
				failed = append(failed, seed)
			}
		})
	}
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Printf("%v\n%d of %d seeds failed\n", &total, len(failed), seeds)
	for _, seed := range failed {
		if err := r.shrink(ctx, seed); err != nil {
			return err
		}
	}
	if failed != nil {
		return errFailed
	}
	return nil
}

// build builds what runs seeds, with the fault of a mutant unless that is empty.
func build(mutant, output string) error {
	if mutant == "" {
		return sim.Build(".", output)
	}
	for _, m := range mutants.All() {
		if m.Name == mutant {
			return m.BuildSim(".", output)
		}
	}
	return fmt.Errorf("there is no mutant %s", mutant)
}

// summary is the line of a seed that passed, and all that one that failed says.
func summary(out string, ok bool) string {
	if !ok {
		return out
	}
	return regexp.MustCompile(`seed .*\n`).FindString(out)
}

// one runs a seed without some of its faults.
func (r *runs) one(ctx context.Context, seed uint64, drop string) (out string, ok bool) {
	c := exec.CommandContext(ctx, r.program, sim.Arguments(seed, drop, r.until)...)
	c.Env = append(os.Environ(), "TMPDIR="+r.files)
	b, err := procs.CombinedOutput(c)
	return string(b), err == nil
}
