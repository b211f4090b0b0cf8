package main

import "testing"

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
