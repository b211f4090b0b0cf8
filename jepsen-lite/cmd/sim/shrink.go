package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/sim"
)

// smaller leaves out of n faults, beside those that are left out already, as many as it can while what is left fails: all of them,
// halves, quarters, and at last one after the other. It returns the numbers of those that are left out, in order.
func smaller(n int, out []int, fails func(out []int) bool) []int {
	for size := n; size > 0; size /= 2 {
		for from := 0; from < n; from += size {
			try := slices.Clone(out)
			for i := from; i < min(from+size, n); i++ {
				if !slices.Contains(out, i) {
					try = append(try, i)
				}
			}
			slices.Sort(try)
			if len(try) > len(out) && fails(try) {
				out = try
			}
		}
	}
	return out
}

// shrink makes a seed that fails smaller, and prints what is left with the command that repeats it.
func (r *runs) shrink(ctx context.Context, seed uint64) error {
	plan := sim.PlanOf(seed)
	out, err := numbers(r.drop)
	if err != nil {
		return err
	}
	for i, f := range plan.Faults {
		if r.until > 0 && f.At >= r.until && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	out = smaller(len(plan.Faults), out, func(out []int) bool {
		_, ok := r.one(ctx, seed, list(out))
		return !ok && ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	fmt.Printf("seed %d fails with %d of its %d faults:\n", seed, len(plan.Faults)-len(out), len(plan.Faults))
	for i, f := range plan.Faults {
		if !slices.Contains(out, i) {
			fmt.Println(" ", f)
		}
	}
	again := fmt.Sprintf("make sim SEEDS=1 FIRST=%d DROP=%s", seed, list(out))
	if r.until > 0 {
		again += fmt.Sprint(" UNTIL=", r.until)
	}
	if r.mutant != "" {
		again += " MUTANT=" + r.mutant
	}
	fmt.Println(again)
	return nil
}

// numbers reads numbers with commas between them, or nothing.
func numbers(s string) (out []int, err error) {
	for part := range strings.SplitSeq(s, ",") {
		if s == "" {
			break
		}
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil, fmt.Errorf("-drop: %w", err)
		}
		out = append(out, n)
	}
	return out, nil
}

// list is numbers with commas between them.
func list(numbers []int) string {
	var parts []string
	for _, n := range numbers {
		parts = append(parts, strconv.Itoa(n))
	}
	return strings.Join(parts, ",")
}
