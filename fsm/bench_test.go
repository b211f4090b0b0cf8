package fsm

import (
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

func benchMachine(b testing.TB, members int) *Machine {
	m := New(snapshot.Empty())
	if _, err := m.Apply(1, 1, EncodeStart(Start{ClusterID: "C", Seed: 1})); err != nil {
		b.Fatal(err)
	}
	var joins [][]byte
	for i := range members {
		c, err := Encode(Command{Body: &Join{placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "h:1", Kinds: []string{"shipment"}}}})
		if err != nil {
			b.Fatal(err)
		}
		joins = append(joins, c)
	}
	if _, err := m.Apply(2, 1, AppendEntry(nil, Batch{Term: 1}, joins)); err != nil {
		b.Fatal(err)
	}
	return m
}

// BenchmarkStrategies is the cost of a Place over 16 members by each strategy, in batches of 500, decoding and publishing
// included.
func BenchmarkStrategies(b *testing.B) {
	const batch, entries = 500, 200
	for _, strategy := range placement.StrategyNames() {
		b.Run(strategy, func(b *testing.B) {
			set, err := Encode(Command{Body: &SetKind{Kind: "shipment", Settings: placement.KindSettings{Strategy: strategy}}})
			if err != nil {
				b.Fatal(err)
			}
			var log [][]byte
			for e := range entries {
				var places [][]byte
				for i := range batch {
					id := placement.Identity{Kind: "shipment", Key: fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(e*batch+i)*2654435761, e*batch+i)}
					c, _ := Encode(Command{Body: &Place{Identity: id}})
					places = append(places, c)
				}
				log = append(log, AppendEntry(nil, Batch{Term: 1}, places))
			}
			begin := func() *Machine {
				m := benchMachine(b, 16)
				if _, err := m.Apply(3, 1, AppendEntry(nil, Batch{Term: 1}, [][]byte{set})); err != nil {
					b.Fatal(err)
				}
				return m
			}
			b.ReportAllocs()
			m, n := begin(), 0
			for b.Loop() {
				if n == entries {
					b.StopTimer()
					m, n = begin(), 0
					b.StartTimer()
				}
				if _, err := m.Apply(uint64(4+n), 1, log[n]); err != nil {
					b.Fatal(err)
				}
				m.Publish()
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/command")
		})
	}
}
