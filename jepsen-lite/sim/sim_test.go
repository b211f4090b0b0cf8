package sim

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/internal/underrace"
)

var (
	seeds = flag.Int("seeds", 1, "how many seeds are run")
	first = flag.Uint64("first", 0, "the first of them; 0 for one that was not run yet")
	keep  = flag.String("keep", "", "a directory for the histories of seeds that fail, by its full path")
	until = flag.Duration("until", 0, "how long a run lasts, without what comes afterwards; 0 for as long as its plan")
	drop  = flag.String("drop", "", "numbers of the faults that are left out, from 0 on, with commas between them")
)

// TestMain has servers keep their files in memory where that can be.
func TestMain(m *testing.M) {
	code := scratch.Tests(m)
	if seeded != nil {
		if dir, err := os.Getwd(); err == nil {
			_ = os.Remove(dir) // its own, and empty
		}
	}
	os.Exit(code)
}

// without is a plan without some of its faults.
func without(t *testing.T, p Plan, numbers string) Plan {
	t.Helper()
	var left []Fault
	dropped := strings.Split(numbers, ",")
	for i, f := range p.Faults {
		if !slices.Contains(dropped, strconv.Itoa(i)) {
			left = append(left, f)
		}
	}
	p.Faults = left
	return p
}

// TestSeeds runs seeds. What failed is run again, faults left out, by make sim.
func TestSeeds(t *testing.T) {
	from := *first
	if from == 0 {
		from = uint64(time.Now().UnixNano()) / 1000
	}
	lasts := *until
	if lasts == 0 && underrace.On {
		lasts = 20 * time.Second // a whole plan would take two minutes
	}
	for i := range uint64(*seeds) {
		seed := from + i
		begin := time.Now()
		p := without(t, PlanOf(seed), *drop).Until(lasts)
		out := Run(t, p)
		t.Logf("seed %d: %v of %d servers in %v, %d faults, %d operations, trace %s", seed, out.Lived.Round(time.Second), p.Servers,
			time.Since(begin).Round(time.Millisecond), len(p.Faults), len(out.History.Ops), out.Trace)
		if out.Found == nil {
			continue
		}
		for _, f := range out.Found {
			t.Errorf("seed %d: %s", seed, f)
		}
		for i, f := range PlanOf(seed).Faults {
			t.Logf("fault %d: %v", i, f)
		}
		if *keep != "" {
			path := filepath.Join(*keep, fmt.Sprint("seed-", seed, ".jsonl"))
			if b, err := out.Lines(); err != nil {
				t.Error(err)
			} else if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Error(err)
			}
			t.Log(path)
		}
		t.Logf("again: make sim SEEDS=1 FIRST=%d", seed)
	}
}

func TestPlan_Until_IsItsBeginning(t *testing.T) {
	for seed := range uint64(20) {
		whole, all := PlanOf(seed), PlanOf(seed)
		short := all.Until(20 * time.Second)
		if short.Length != 20*time.Second || len(short.Faults) == 0 || len(short.Faults) >= len(whole.Faults) || len(all.Faults) != len(whole.Faults) {
			t.Errorf("seed %d: %d of %d faults in %v", seed, len(short.Faults), len(whole.Faults), short.Length)
		}
		for _, f := range short.Faults {
			if f.At >= short.Length {
				t.Errorf("seed %d: %v", seed, f)
			}
		}
		if same := all.Until(0); same.Length != whole.Length || len(same.Faults) != len(whole.Faults) {
			t.Errorf("seed %d: %d of %d faults in %v", seed, len(same.Faults), len(whole.Faults), same.Length)
		}
	}
}

func TestPlanOf_IsTheSeedsAlone(t *testing.T) {
	kinds := map[Kind]bool{}
	for seed := range uint64(200) {
		a, b := PlanOf(seed), PlanOf(seed)
		if len(a.Faults) == 0 || len(a.Faults) != len(b.Faults) {
			t.Fatalf("seed %d: %d and %d faults", seed, len(a.Faults), len(b.Faults))
		}
		for i, f := range a.Faults {
			kinds[f.Kind] = true
			if f.String() != b.Faults[i].String() {
				t.Errorf("seed %d: %v and %v", seed, f, b.Faults[i])
			}
		}
		var slowest, fastest int64
		for _, r := range a.Rates {
			if slowest == 0 || r < slowest {
				slowest = r
			}
			fastest = max(fastest, r)
		}
		if fastest*4 > slowest*5 {
			t.Errorf("seed %d: clocks run at %d%% and at %d%%: the bound is a quarter", seed, slowest, fastest)
		}
	}
	if len(kinds) != 20 {
		t.Errorf("the kinds of faults in 200 seeds: %v", kinds)
	}
}

func TestPlanOf_Opening_IsTheSeedsAndComesFirst(t *testing.T) {
	want := [openings][]Kind{
		deaf: {Transfer, Strand, Deaf}, lagging: {Transfer, Lag}, memberProvedLate: {Gather, SlowDisk, OneWay, Isolate}, behind: {SlowDisk}, mute: {OneWay, OneWay, Deaf},
		followed: {Transfer, Gather, Partition},
	}
	for seed := range uint64(50) {
		p, kinds := PlanOf(seed), want[opening(seed)%openings]
		for i, k := range kinds {
			if p.Faults[i].Kind != k {
				t.Errorf("seed %d: fault %d is %v, want a %v", seed, i, p.Faults[i], k)
			}
		}
		for _, f := range p.Faults[len(kinds):] {
			if f.At < over(p.Faults[:len(kinds)]) {
				t.Errorf("seed %d: %v begins before the opening is over", seed, f)
			}
		}
		if short := kinds[len(kinds)-1] == Lag || kinds[0] == SlowDisk; short != (p.ReadLease > 0) {
			t.Errorf("seed %d: read leases of %v", seed, p.ReadLease)
		}
	}
}
