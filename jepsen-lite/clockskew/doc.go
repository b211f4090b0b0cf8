// Package clockskew builds Go programs whose clocks run fast or slow, and jump, by themselves: each process by its own. The
// program is not changed for it, and does not notice: the clock under all of Go is replaced, by go build -overlay, so that
// time.Now, timers, tickers, contexts, deadlines of connections, and what libraries do with them, run at one rate; and so does
// CLOCK_BOOTTIME where berth reads it, which is what its leases are counted by. A timer of a fast clock fires that much earlier.
//
//	err := clockskew.Build(ctx, clockskew.Config{Root: ".", Package: "cmd/berth", Output: "berth-skewed"})
//	c := exec.Command("berth-skewed", "serve", …)
//	c.Env = append(os.Environ(), clockskew.Env("/run/s1.clock", clockskew.Clock{RatePPM: 100_000})...) // a tenth faster
//	…
//	err = clockskew.Set("/run/s1.clock", clockskew.Clock{Step: time.Hour}) // from now on right again, an hour ahead
//
// The patches of Go's own files name the text that they replace; Build fails with a *overlay.PatternError for a version of
// Go that has other. It works on Linux on amd64, and fails with ErrUnsupported elsewhere. The first build takes minutes, for
// all of Go's library is built again; then it is in the build cache.
package clockskew
