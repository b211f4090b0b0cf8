package main

import (
	"testing"
)

// A sample is of mutants that the simulation must find.
func TestDrawn_OfAll_AreThoseThatMustBeFound(t *testing.T) {
	h := hunt{sample: 1000}
	some := h.drawn(everyone())
	if len(some) < 20 {
		t.Errorf("%d of %d mutants must be found by the simulation", len(some), len(everyone()))
	}
	for _, m := range some {
		if m.Gap != "" || m.Scenario != "" || m.Name == unbroken.Name {
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
