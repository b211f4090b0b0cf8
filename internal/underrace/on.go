//go:build race

package underrace

// On says that this program has the race detector.
const On = true
