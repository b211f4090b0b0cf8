package placement

import (
	"fmt"
	"testing"
)

// BenchmarkChoose is the cost of a first choice among members that all host the kind.
func BenchmarkChoose(b *testing.B) {
	for _, s := range strategies {
		for _, n := range []int{3, 16, 1000} {
			b.Run(fmt.Sprintf("%s/members=%d", s.Name(), n), func(b *testing.B) {
				from := loopback(n)
				q := &Query{Identity: Identity{"k", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"}, Epoch: 1 << 12, Load: noLoad}
				b.ReportAllocs()
				for b.Loop() {
					s.Choose(q, from)
				}
			})
		}
	}
}
