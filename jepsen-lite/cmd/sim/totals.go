package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// totals is how much was run.
type totals struct {
	begin       time.Time
	lived       time.Duration // virtual time
	faults, ops int
}

// counted is what a seed says of its run.
var counted = regexp.MustCompile(`seed \d+: (\S+) of \d+ servers in \S+, (\d+) faults, (\d+) operations`)

// add adds a run by what it said; one that was broken off counts nothing.
func (t *totals) add(out string) {
	m := counted.FindStringSubmatch(out)
	if m == nil {
		return
	}
	lived, _ := time.ParseDuration(m[1]) // the pattern leaves nothing else
	faults, _ := strconv.Atoi(m[2])
	ops, _ := strconv.Atoi(m[3])
	t.lived, t.faults, t.ops = t.lived+lived, t.faults+faults, t.ops+ops
}

// String has virtual time, faults and operations, and each of them by the minute of true time.
func (t *totals) String() string {
	took := time.Since(t.begin)
	per := func(x float64) float64 { return x / took.Minutes() }
	return fmt.Sprintf("%v of clusters' lives, %d faults and %d operations in %v: in a minute %.2f h, %.0f and %.0f",
		t.lived, t.faults, t.ops, took.Round(time.Second), per(t.lived.Hours()), per(float64(t.faults)), per(float64(t.ops)))
}
