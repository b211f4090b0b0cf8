package main

import (
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
)

// What a failing test says is what is shown of it, and not what its subtests say that pass.
func TestFailed_OfATestsOutput_IsTheFirstThingThatItSays(t *testing.T) {
	for out, want := range map[string]string{
		"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\n        a_test.go:7: 3, want 4\n        a_test.go:8: 4, want 5\nFAIL\n": "a_test.go:7: 3, want 4",
		"panic: deadlock [recovered]\n\ngoroutine 1": "panic: deadlock [recovered]",
		"FAIL\n": "it failed",
	} {
		if got := failed(out); got != want {
			t.Errorf("%q: %q, want %q", out, got, want)
		}
	}
}

// A run that ends finds a mutant that is to make servers refuse something when one did, and not when it ends for another reason.
func TestSees_RunThatEnds_CountsWithItsRefusal(t *testing.T) {
	for _, x := range []struct {
		refusal, out  string
		checkers      []string
		checker, line string
	}{
		{"is overwritten", "panic: cart/0 is overwritten\n\ngoroutine 1", []string{"order", "run"}, "run", "panic: cart/0 is overwritten"},
		{"is overwritten", "panic: something else\n", []string{"order", "run"}, "", ""},
		{"is overwritten", "panic: cart/0 is overwritten\n", []string{"order"}, "", ""},
		{"is overwritten", "seed 1: order: false: time went back\npanic: cart/0 is overwritten\n", []string{"order", "run"}, "order", "time went back"},
		{"", "panic: something else\n", []string{"run"}, "run", "panic: something else"},
		{"", "PASS\n", []string{"run"}, "", ""},
	} {
		checker, line := sees(&mutants.Mutant{Checkers: x.checkers, Refusal: x.refusal}, x.out)
		if checker != x.checker || line != x.line {
			t.Errorf("%+v: %s, %s", x, checker, line)
		}
	}
}
