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

// BenchmarkOwners is what a choice for each of 10,000 identities over 128 members costs.
func BenchmarkOwners(b *testing.B) {
	for _, s := range strategies {
		b.Run(s.Name(), func(b *testing.B) {
			from := loopback(128)
			keys := make([]string, 10_000)
			for i := range keys {
				keys[i] = fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i)*2654435761, i)
			}
			b.ReportAllocs()
			for b.Loop() {
				for i, key := range keys {
					s.Choose(&Query{Identity: Identity{"k", key}, Epoch: Epoch(i + 1), Load: noLoad}, from)
				}
			}
		})
	}
}

// BenchmarkSpread is what it costs to plan the moves when a tenth member has joined nine with so many identities.
func BenchmarkSpread(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint("identities=", n), func(b *testing.B) {
			from := loopback(10)
			may := make([]OwnedIdentity, n)
			owned := make([]uint32, 10)
			for i := range may {
				may[i] = OwnedIdentity{Identity{"k", fmt.Sprint(i)}, 0, 1}
				c := Rendezvous{}.Choose(&Query{Identity: may[i].Identity, Load: noLoad}, from[:9])
				may[i].Owner = c.Owner
				for j, m := range from {
					if m.Incarnation == c.Owner {
						owned[j]++
					}
				}
			}
			for b.Loop() {
				s := &Spread{Strategy: Rendezvous{}, Within: 10}
				for j, m := range from {
					s.Members = append(s.Members, SpreadMember{Member: m, Owned: owned[j], Load: owned[j]})
				}
				s.SetShares()
				b.ReportMetric(float64(len(s.Even(may, n))), "moves")
			}
		})
	}
}
