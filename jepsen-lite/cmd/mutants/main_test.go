package main

import (
	"slices"
	"testing"
)

// The seeds that found mutants are those of the table, and begin.
func TestOrder_SeedThatIsKnown_Begins(t *testing.T) {
	known, err := seedsOfTable("../../README.md")
	if err != nil || len(known) < 20 || known["stale-reads"] == 0 || known["no-tombstones"] == 0 || known["leader-believed"] != 0 || known["no-self-fence"] != 0 || known["none"] != 0 {
		t.Errorf("the table's seeds: %v, %v", known, err)
	}
	if _, err := seedsOfTable("main.go"); err == nil {
		t.Error("a file without a table is taken")
	}
	for _, x := range []struct {
		budget, known uint64
		want          []uint64
	}{{3, 0, []uint64{1, 2, 3}}, {3, 1, []uint64{1, 2, 3}}, {3, 3, []uint64{3, 1, 2}}, {2, 7, []uint64{1, 2}}} {
		if got := order(x.budget, x.known); !slices.Equal(got, x.want) {
			t.Errorf("%d seeds, %d known: %v, want %v", x.budget, x.known, got, x.want)
		}
	}
}

// A sample is of mutants that must be found without real processes.
func TestDrawn_OfAll_AreThoseThatMustBeFound(t *testing.T) {
	h := hunt{sample: 1000}
	some := h.drawn(everyone())
	if len(some) < 40 {
		t.Errorf("%d of %d mutants must be found without real processes", len(some), len(everyone()))
	}
	for _, m := range some {
		if m.Test == "" && (m.Gap != "" || m.Scenario != "") || m.Name == unbroken.Name {
			t.Errorf("%s is one of them", m.Name)
		}
	}
	if h.sample = 3; len(h.drawn(everyone())) != 3 {
		t.Errorf("%d were drawn of 3", len(h.drawn(everyone())))
	}
	if h.sample = 0; len(h.drawn(everyone())) != len(everyone()) {
		t.Error("some are missing of all")
	}
}

// Who names a mutant that there is not is told so: nothing that was tried is nothing that was found.
func TestNamed_UnknownName_IsRefused(t *testing.T) {
	if list, err := named(everyone(), ""); err != nil || len(list) != len(everyone()) {
		t.Errorf("no name: %d, %v", len(list), err)
	}
	if list, err := named(everyone(), "early-expiry,none"); err != nil || len(list) != 2 || list[0].Name != "early-expiry" || list[1].Name != unbroken.Name {
		t.Errorf("two names: %+v, %v", list, err)
	}
	for _, names := range []string{"early", "early-expiry,,none", "none,x"} {
		if list, err := named(everyone(), names); err == nil {
			t.Errorf("%q: %d, and no error", names, len(list))
		}
	}
}
