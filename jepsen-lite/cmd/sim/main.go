// Command sim runs seeds of package jepsen-lite/sim, each in a process of its own, built so that a seed decides everything. A seed
// that fails is run again with fewer and fewer faults, as long as it goes on failing, and what is left is printed with
// the command that repeats it. It must be run in the directory of the module.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
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
	if err := (&runs{*drop, *mutant, *until, ""}).all(*first, *seeds, *jobs); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// errFailed: some seeds did.
var errFailed = errors.New("promises are broken")

// runs are runs of seeds.
type runs struct {
	drop, mutant string
	until        time.Duration
	program      string // the path of what runs a seed
}

func (r *runs) all(first, seeds uint64, jobs int) error {
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	r.program = filepath.Join(dir, "sim.test")
	fmt.Printf("%d seeds from %d on; building: some minutes the first time\n", seeds, first)
	if err := build(r.mutant, r.program); err != nil {
		return err
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		failed []uint64
		total  = totals{begin: time.Now()}
		turn   = make(chan struct{}, max(1, jobs))
	)
	for seed := first; seed < first+seeds; seed++ {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			out, ok := r.one(seed, r.drop)
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
	fmt.Printf("%v\n%d of %d seeds failed\n", &total, len(failed), seeds)
	for _, seed := range failed {
		if err := r.shrink(seed); err != nil {
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
func (r *runs) one(seed uint64, drop string) (out string, ok bool) {
	b, err := exec.Command(r.program, sim.Arguments(seed, drop, r.until)...).CombinedOutput()
	return string(b), err == nil
}
