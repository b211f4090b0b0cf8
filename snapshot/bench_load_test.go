package snapshot

import (
	"fmt"
	"testing"
)

// BenchmarkLoad is the floor of what a look-up in an index of so many identities can take: a load from anywhere in as much
// memory, of which each says where the next one is; and as many of them as a processor may have under way, a load.
func BenchmarkLoad(b *testing.B) {
	const line = 8 // words
	lines := *identities * 38 / 64
	memory := make([]uint64, lines*line)
	// One round through all lines in a random order (Sattolo's).
	order := make([]uint32, lines)
	for i := range order {
		order[i] = uint32(i)
	}
	for i := lines - 1; i > 0; i-- {
		j := fold(uint64(i), 1) % uint64(i)
		order[i], order[j] = order[j], order[i]
	}
	for i, at := range order {
		memory[int(at)*line] = uint64(order[(i+1)%lines]) * line
	}
	for _, chains := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("chains=%d", chains), func(b *testing.B) {
			at := make([]uint64, chains)
			for i := range at {
				at[i] = uint64(order[i*lines/chains]) * line
			}
			n := 0
			for b.Loop() {
				for range 1000 {
					for i := range at {
						at[i] = memory[at[i]]
					}
				}
				n += 1000 * chains
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/load")
			b.ReportMetric(0, "ns/op")
		})
	}
}
