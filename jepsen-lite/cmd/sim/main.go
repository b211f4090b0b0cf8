// Command sim runs seeds of package jepsen-lite/sim, each in a process of its own, built so that a seed decides everything. A seed
// that fails is run again with one fault after the other left out, as long as it goes on failing, and what is left is printed with
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
	"strconv"
	"strings"
	"sync"

	"github.com/seed13d31b7f/berth/jepsen-lite/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 20, "how many seeds are run")
	first := flag.Uint64("first", 1, "the first of them")
	jobs := flag.Int("jobs", 2, "how many at once")
	drop := flag.String("drop", "", "numbers of the faults that are left out, with commas between them")
	flag.Parse()
	if err := run(*first, *seeds, *jobs, *drop); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(1)
	}
}

// errFailed: some seeds did.
var errFailed = errors.New("promises are broken")

func run(first, seeds uint64, jobs int, drop string) error {
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p := program(filepath.Join(dir, "sim.test"))
	fmt.Println("building: some minutes the first time")
	if err := sim.Build(".", string(p)); err != nil {
		return err
	}
	var (
		all    sync.WaitGroup
		mu     sync.Mutex
		failed []uint64
		turn   = make(chan struct{}, max(1, jobs))
	)
	for seed := first; seed < first+seeds; seed++ {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			out, ok := p.run(seed, drop)
			mu.Lock()
			defer mu.Unlock()
			fmt.Print(summary(out, ok))
			if !ok {
				failed = append(failed, seed)
			}
		})
	}
	all.Wait()
	fmt.Printf("%d of %d seeds failed\n", len(failed), seeds)
	for _, seed := range failed {
		p.shrink(seed, drop)
	}
	if failed != nil {
		return errFailed
	}
	return nil
}

// summary is the line of a seed that passed, and all that one that failed says.
func summary(out string, ok bool) string {
	if !ok {
		return out
	}
	return regexp.MustCompile(`seed .*\n`).FindString(out)
}

// program is the path of what runs seeds.
type program string

// run runs a seed without some of its faults.
func (p program) run(seed uint64, drop string) (out string, ok bool) {
	b, err := exec.Command(string(p), sim.Arguments(seed, drop)...).CombinedOutput()
	return string(b), err == nil
}

// shrink leaves out one fault after the other as long as the seed goes on failing.
func (p program) shrink(seed uint64, drop string) {
	plan := sim.PlanOf(seed)
	var dropped, kept []string
	if drop != "" {
		dropped = strings.Split(drop, ",")
	}
	for i := range plan.Faults {
		try := append(dropped[:len(dropped):len(dropped)], strconv.Itoa(i))
		if _, ok := p.run(seed, strings.Join(try, ",")); ok {
			kept = append(kept, fmt.Sprint("  ", plan.Faults[i]))
			continue
		}
		dropped = try
	}
	fmt.Printf("seed %d fails with %d of its %d faults:\n%s\nmake sim SEEDS=1 FIRST=%d DROP=%s\n",
		seed, len(kept), len(plan.Faults), strings.Join(kept, "\n"), seed, strings.Join(dropped, ","))
}
