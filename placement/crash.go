package placement

// A crash loop: an identity whose activation fails again and again, wherever it is tried. Each crash in a row keeps it from
// being placed for longer.
const (
	// CrashesFree is how many crashes in a row cost nothing. Not fewer: one fault of a resource that it needs is no loop.
	CrashesFree = 2
	// CrashBackoffMinMs and CrashBackoffMaxMs are how long an identity is blocked after the first crash that costs something,
	// and at most, in milliseconds; each crash in between doubles it.
	CrashBackoffMinMs, CrashBackoffMaxMs = 1_000, 300_000
	// CrashForgetMs is how long behind the end of that time crashes are forgotten: whatever has lasted for so long is well.
	CrashForgetMs = 600_000
)

// CrashBackoffMs is how long an identity is blocked after its count-th crash in a row, in milliseconds; zero for not at all.
func CrashBackoffMs(count uint32) uint64 {
	if count <= CrashesFree {
		return 0
	}
	// 2^9 times the first one is more than the longest.
	return min(uint64(CrashBackoffMinMs)<<min(count-CrashesFree-1, 9), CrashBackoffMaxMs)
}

// Crash says whether a failure is one of what was activated, and not of the member that was asked.
func (c FailureCode) Crash() bool {
	return c == FailureActivation || c == FailureTimeout || c == FailureCrash
}
