package main

import (
	"strings"
	"testing"
	"time"
)

func TestTotals_LinesOfSeeds_AreAdded(t *testing.T) {
	total := totals{begin: time.Now().Add(-time.Minute)}
	total.add("    sim_test.go:56: seed 3: 2m28s of 3 servers in 3.118s, 19 faults, 2188 operations, trace 9b48\n")
	total.add("    sim_test.go:56: seed 4: 32s of 5 servers in 1m0.118s, 1 faults, 12 operations, trace 9b48\n")
	total.add("panic: seed 5 goes on after 5m0s\n")
	const want = "3m0s of clusters' lives, 20 faults and 2200 operations in 1m0s: in a minute 0.05 h, 20 and 2200"
	if got := total.String(); !strings.HasPrefix(got, want) {
		t.Errorf("%s\nwant %s", got, want)
	}
}
