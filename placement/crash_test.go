package placement

import (
	"math"
	"testing"
)

func TestCrashBackoffMs_DoublesUpToItsMaximum(t *testing.T) {
	for count, want := range map[uint32]uint64{
		0: 0, 1: 0, 2: 0, 3: 1000, 4: 2000, 5: 4000, 10: 128_000, 11: 256_000, 12: 300_000, 13: 300_000, 40: 300_000, math.MaxUint32: 300_000,
	} {
		if got := CrashBackoffMs(count); got != want {
			t.Errorf("after crash %d: %d ms, want %d", count, got, want)
		}
	}
}

func TestFailureCode_Crash(t *testing.T) {
	for code, want := range map[FailureCode]bool{
		FailureUnspecified: false, FailureActivation: true, FailureTimeout: true, FailureRefused: false, FailureCrash: true, 5: false,
	} {
		if got := code.Crash(); got != want {
			t.Errorf("%v is a crash: %t, want %t", code, got, want)
		}
		if code.Known() != (code <= FailureCrash) {
			t.Errorf("%d is known: %t", code, code.Known())
		}
	}
}
