package check

import (
	"flag"
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

var opsMax = flag.Int("ops", 100_000, "how many operations the largest history of a benchmark has")

// BenchmarkRun is each checker's time, and that of all of them, for histories of a thousand operations and more, a hundred to an identity, eight clients.
func BenchmarkRun(b *testing.B) {
	for n := 1000; n <= *opsMax; n *= 10 {
		w := checktest.Make(checktest.Config{Seed: 1, Ops: n, Clients: 8, Unknown: 1})
		h, err := history.FromEvents(w.Events)
		if err != nil {
			b.Fatal(err)
		}
		timeline, err := replay.Replay(w.Log, nil, uint64(len(w.Log)))
		if err != nil {
			b.Fatal(err)
		}
		w.Events = nil
		for _, name := range append(Names(), "all") {
			only := []string{name}
			if name == "all" {
				only = nil
			}
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if r := Run(h, Options{Log: timeline, Only: only}); r.Valid != True {
						b.Fatalf("%+v", r.Checkers)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event-op")
			})
		}
	}
}
