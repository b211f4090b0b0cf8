package fsm

import (
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

var identities = flag.Int("identities", 1_000_000, "how many identities the index has in benchmarks")

const (
	benchBatch   = 1000
	benchMembers = 16
)

// shipment is the i-th of a row of identities that look random.
func shipment(i int) placement.Identity {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], uint64(i)*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(b[8:], uint64(i)*0xbf58476d1ce4e5b9)
	return placement.Identity{Kind: "shipment", Key: fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])}
}

func placeEntry(b testing.TB, from, n int) []byte {
	var places [][]byte
	for i := range n {
		c, err := Encode(Command{Body: &Place{Identity: shipment(from + i)}})
		if err != nil {
			b.Fatal(err)
		}
		places = append(places, c)
	}
	return AppendEntry(nil, Batch{Term: 1}, places)
}

// firstEntry is the index of the entry that places the first identities.
const firstEntry = 3

// placed is a state in which so many identities wait for their owners, by the thousand in each entry.
var placed = sync.OnceValue(func() *snapshot.View {
	m := benchMachine(nil, benchMembers)
	for i := 0; i < *identities; i += benchBatch {
		if _, err := m.Apply(uint64(firstEntry+i/benchBatch), 1, placeEntry(nil, i, benchBatch)); err != nil {
			panic(err)
		}
		m.Publish()
	}
	return m.Publish()
})

// confirmEntry confirms a batch of identities from all over the index, each once, without looking into it.
func confirmEntry(b testing.TB, v *snapshot.View, round int) (data []byte, ids []placement.Identity) {
	var confirms [][]byte
	for j := range benchBatch {
		i := (round*benchBatch + j) * 7919 % *identities
		id := shipment(i)
		c, err := Encode(Command{Body: &Confirm{
			Identity:    id,
			Incarnation: placement.Rendezvous{}.Choose(&placement.Query{Identity: id}, v.Roster.All()).Owner,
			Epoch:       placement.MakeEpoch(0, uint64(firstEntry+i/benchBatch), i%benchBatch),
		}})
		if err != nil {
			b.Fatal(err)
		}
		confirms, ids = append(confirms, c), append(ids, id)
	}
	return AppendEntry(nil, Batch{Term: 1}, confirms), ids
}

// peerEntry is what a map keeps of an identity.
type peerEntry struct {
	epoch  uint64
	member uint32
	phase  uint8
}

var peers = sync.OnceValue(func() map[string]peerEntry {
	m := map[string]peerEntry{}
	for i := range *identities {
		m[shipment(i).String()] = peerEntry{epoch: uint64(i), member: uint32(i % benchMembers), phase: 1}
	}
	return m
})

// cpuTime is what the process has had of its processors so far: what others do on a busy machine is not part of it.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply is the cost of one command in batches of a thousand over 16 members, decoding and publishing included:
// placements that are added to the index, and confirmations all over it. Beside it stand as many writes of the same texts
// to a Go map.
func BenchmarkApply(b *testing.B) {
	run := func(name string, entry func(round int, v *snapshot.View) ([]byte, []placement.Identity), want placement.Verdict) {
		b.Run(name, func(b *testing.B) {
			v, peer := placed(), peers()
			m := New(v)
			var ours, theirs, ratios []float64
			var cpu time.Duration
			for round := 0; b.Loop(); round++ {
				data, ids := entry(round, v)
				var texts []string
				for _, id := range ids {
					texts = append(texts, id.String())
				}
				cpuBegan, began := cpuTime(b), time.Now()
				out, err := m.Apply(v.Index+1+uint64(round), 1, data)
				m.Publish()
				took := float64(time.Since(began).Nanoseconds()) / benchBatch
				cpu += cpuTime(b) - cpuBegan
				if err != nil || out.Results[0].Verdict != want {
					b.Fatalf("%v, %+v", err, out)
				}
				began = time.Now()
				for i, text := range texts {
					peer[text] = peerEntry{epoch: uint64(i), phase: 2}
				}
				mapTook := float64(time.Since(began).Nanoseconds()) / benchBatch
				ours, theirs, ratios = append(ours, took), append(theirs, mapTook), append(ratios, took/mapTook)
			}
			b.ReportMetric(median(ours), "ns/command")
			b.ReportMetric(1e9/median(ours), "commands/s")
			b.ReportMetric(benchBatch*float64(len(ours))/cpu.Seconds(), "commands/cpu-s")
			b.ReportMetric(median(theirs), "map-ns")
			b.ReportMetric(median(ratios), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
	run("place", func(round int, _ *snapshot.View) ([]byte, []placement.Identity) {
		from := *identities + round*benchBatch
		var ids []placement.Identity
		for i := range benchBatch {
			ids = append(ids, shipment(from+i))
		}
		return placeEntry(b, from, benchBatch), ids
	}, placement.Done)
	run("confirm", func(round int, v *snapshot.View) ([]byte, []placement.Identity) {
		return confirmEntry(b, v, round)
	}, placement.Done)
}

// BenchmarkAlone is what BenchmarkApply's commands cost where nothing else is in the process that the garbage collector has
// work with: the entries are made before, and there is no map. It is all that the process did meanwhile, by the clock of the
// processor. It must be asked for by itself.
func BenchmarkAlone(b *testing.B) {
	run := func(name string, entry func(round int, v *snapshot.View) []byte) {
		b.Run(name, func(b *testing.B) {
			v := placed()
			m := New(v)
			var entries [][]byte
			for round := range b.N {
				entries = append(entries, entry(round, v))
			}
			runtime.GC()
			b.ResetTimer()
			began := cpuTime(b)
			for round, data := range entries {
				out, err := m.Apply(v.Index+1+uint64(round), 1, data)
				m.Publish()
				if err != nil || out.Results[0].Verdict != placement.Done {
					b.Fatalf("%v, %+v", err, out)
				}
			}
			took := cpuTime(b) - began
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N*benchBatch), "cpu-ns/command")
			b.ReportMetric(float64(b.N*benchBatch)/took.Seconds(), "commands/cpu-s")
			b.ReportMetric(0, "ns/op")
		})
	}
	run("place", func(round int, _ *snapshot.View) []byte {
		return placeEntry(b, *identities+round*benchBatch, benchBatch)
	})
	run("confirm", func(round int, v *snapshot.View) []byte {
		data, _ := confirmEntry(b, v, round)
		return data
	})
}

// BenchmarkTopology is a cluster of a thousand members, of which one drains or comes back before every ten placements: the
// change, the first placement behind it, which must look at all members anew, and the others.
func BenchmarkTopology(b *testing.B) {
	m := benchMachine(b, 1000)
	index, place := uint64(2), 0
	apply := func(body Body) float64 {
		c, err := Encode(Command{Body: body})
		if err != nil {
			b.Fatal(err)
		}
		index++
		data := AppendEntry(nil, Batch{Term: 1}, [][]byte{c})
		began := time.Now()
		out, err := m.Apply(index, 1, data)
		m.Publish()
		took := float64(time.Since(began).Nanoseconds())
		if err != nil || out.Results[0].Verdict != placement.Done {
			b.Fatalf("%v, %+v", err, out)
		}
		return took
	}
	members := slices.Clone(m.edit.View().Roster.All())
	var changes, firsts, others []float64
	for round := 0; b.Loop(); round++ {
		changes = append(changes, apply(&Drain{Incarnation: members[round/2*7919%1000].Incarnation, Off: round%2 == 1}))
		for i := range 10 {
			took := apply(&Place{Identity: shipment(place)})
			place++
			if i == 0 {
				firsts = append(firsts, took)
			} else {
				others = append(others, took)
			}
		}
	}
	b.ReportMetric(median(changes), "change-ns")
	b.ReportMetric(median(firsts), "first-ns")
	b.ReportMetric(median(others), "decision-ns")
	b.ReportMetric(others[len(others)*99/100], "decision-p99-ns")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkMemberDeath is the end of a member that owns everything there is, and the moment at which it is complete.
func BenchmarkMemberDeath(b *testing.B) {
	m := benchMachine(b, 1)
	index := uint64(2)
	for i := 0; i < *identities; i += benchBatch {
		index++
		if _, err := m.Apply(index, 1, placeEntry(b, i, benchBatch)); err != nil {
			b.Fatal(err)
		}
		m.Publish()
	}
	v := m.Publish()
	expire, err := Encode(Command{Body: &Expire{v.Roster.All()[0].Incarnation}})
	if err != nil {
		b.Fatal(err)
	}
	var ends, completions []float64
	for b.Loop() {
		m := New(v)
		for i, data := range [][]byte{AppendEntry(nil, Batch{Term: 1}, [][]byte{expire}), AppendEntry(nil, Batch{Term: 1, Barrier: index + 1}, nil)} {
			began := time.Now()
			if _, err := m.Apply(index+1+uint64(i), 1, data); err != nil {
				b.Fatal(err)
			}
			m.Publish()
			took := float64(time.Since(began).Nanoseconds())
			if i == 0 {
				ends = append(ends, took)
			} else {
				completions = append(completions, took)
			}
		}
		if settled, pending := m.Publish().Count(); settled+pending != 0 {
			b.Fatalf("%d are left", settled+pending)
		}
	}
	b.ReportMetric(median(ends), "end-ns")
	b.ReportMetric(median(completions), "complete-ns")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
