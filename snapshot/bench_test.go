package snapshot

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// The benchmarks have their peers beside them: plain Go maps, in the same process and in turn, so that what else the
// machine does meets both. What counts is the ratio. DESIGN.md has the goals and the figures.
var identities = flag.Int("identities", 1_000_000, "how many identities the index has in benchmarks")

// uuidIdentity is the i-th of a row of identities that look random.
func uuidIdentity(i uint64) placement.Identity {
	return placement.Identity{Kind: "shipment", Key: unpackUUID(uuid{fold(i, 1), fold(i, 2)})}
}

// textIdentity is the i-th of a row of identities that are no UUIDs, with keys of 24 bytes.
func textIdentity(i uint64) placement.Identity {
	return placement.Identity{Kind: "shipment", Key: fmt.Sprintf("order:%018x", fold(i, 1)>>8)}
}

// filledEditor places n identities with 16 members, in batches of a thousand.
func filledEditor(b testing.TB, n int, identity func(uint64) placement.Identity) *Editor {
	e := NewEditor(Empty())
	e.SetPosition(1, 1)
	e.SetCluster(Cluster{ID: "c", Seed: 99})
	if err := e.AddKind("shipment"); err != nil {
		b.Fatal(err)
	}
	for i := range 16 {
		e.Join(member(fmt.Sprint("m", i), placement.Incarnation(i+1)))
	}
	for i := range n {
		e.SetPosition(uint64(2+i/1000), 1)
		e.Seek(identity(uint64(i)))
		e.Put(placement.Entry{
			Phase: placement.Settled, Owner: placement.Incarnation(i%16 + 1), Epoch: placement.MakeEpoch(0, uint64(2+i/1000), i%1000), Reason: 1,
		})
		if i%1000 == 999 {
			e.Publish()
		}
	}
	return e
}

// peerEntry is what a map keeps of an identity.
type peerEntry struct {
	epoch  uint64
	member uint32
	phase  uint8
}

// lockedMap is the map that readers and a writer share.
type lockedMap struct {
	sync.RWMutex
	m map[string]peerEntry
}

func (l *lockedMap) get(key string) (peerEntry, bool) {
	l.RLock()
	e, ok := l.m[key]
	l.RUnlock()
	return e, ok
}

func (l *lockedMap) put(key string, e peerEntry) {
	l.Lock()
	l.m[key] = e
	l.Unlock()
}

// shardedMap is the map that readers and a writer share without meeting each other often.
type shardedMap [64]lockedMap

func (s *shardedMap) shard(key string) *lockedMap {
	return &s[(uint(key[len(key)-1])*37+uint(key[len(key)-2]))%64]
}

func fill(n int, put func(key string, e peerEntry)) {
	for i := range uint64(n) {
		put(uuidIdentity(i).String(), peerEntry{epoch: i + 1, member: uint32(i % 16), phase: 2})
	}
}

// The index and its peers are made once for all benchmarks that only read them.
var (
	benchEditor = sync.OnceValue(func() *Editor { return filledEditor(nil, *identities, uuidIdentity) })
	benchMap    = sync.OnceValue(func() *lockedMap {
		m := &lockedMap{m: map[string]peerEntry{}}
		fill(*identities, func(key string, e peerEntry) { m.m[key] = e })
		return m
	})
	benchShards = sync.OnceValue(func() *shardedMap {
		s := &shardedMap{}
		for i := range s {
			s[i].m = map[string]peerEntry{}
		}
		fill(*identities, func(key string, e peerEntry) { s.shard(key).m[key] = e })
		return s
	})
)

// requests are identities that are asked for, as a server has them: texts that it has just read from somewhere.
type requests struct {
	ids   []placement.Identity
	texts []string // kind/key
}

// drawn returns n identities of the index, drawn at random by seed.
func drawn(n int, seed uint64) requests {
	const kind, width = len("shipment"), len("shipment/") + uuidTextBytes
	var b strings.Builder
	b.Grow(n * width)
	for i := range n {
		id := uuidIdentity(fold(uint64(i), seed) % uint64(*identities))
		b.WriteString(id.Kind)
		b.WriteByte('/')
		b.WriteString(id.Key)
	}
	var r requests
	for i := range n {
		text := b.String()[i*width : (i+1)*width]
		r.ids = append(r.ids, placement.Identity{Kind: text[:kind], Key: text[kind+1:]})
		r.texts = append(r.texts, text)
	}
	return r
}

// contender is one side of a comparison: what it is called, and what is done for one round of so many operations.
type contender struct {
	name string
	run  func(requests)
}

// versus lets two sides do the same in turn, each round with requests of its own, and reports the median time of one
// operation of each, and the median ratio. Rounds are short, so that most of them are over before the machine turns to
// something else. A warm round is one that the same side has just been through. The best ratio is that of the shortest
// rounds of both sides: what a machine does that has nothing else to do.
func versus(b *testing.B, warm bool, draw func(round uint64) requests, ours, peer contender) {
	var times [2][]float64
	var ratios []float64
	sides := [2]contender{ours, peer}
	for round := uint64(0); b.Loop(); round++ {
		r := draw(round)
		var took [2]float64
		for i := range sides {
			side := (uint64(i) + round) % 2 // each goes first every other time
			if warm {
				sides[side].run(r)
			}
			began := time.Now()
			sides[side].run(r)
			took[side] = float64(time.Since(began).Nanoseconds()) / float64(len(r.ids))
			times[side] = append(times[side], took[side])
		}
		ratios = append(ratios, took[0]/took[1])
	}
	b.ReportMetric(median(times[0]), ours.name+"-ns")
	b.ReportMetric(median(times[1]), peer.name+"-ns")
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(slices.Min(times[0]), ours.name+"-best-ns")
	b.ReportMetric(slices.Min(times[0])/slices.Min(times[1]), "best-ratio")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// heap says how many bytes are alive, and how many of them the garbage collector looks into.
func heap() (alive, scanned uint64) {
	runtime.GC()
	runtime.GC()
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/scan/heap:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

// BenchmarkMemory is what an identity takes in memory.
func BenchmarkMemory(b *testing.B) {
	run := func(name string, key int, build func() any) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before, scannedBefore := heap()
				held := build()
				alive, scanned := heap()
				b.ReportMetric(float64(alive-before)/float64(*identities), "B/identity")
				b.ReportMetric(float64(alive-before)/float64(*identities)-float64(key), "B-over-key")
				b.ReportMetric(float64(scanned-scannedBefore)/(1<<20), "MiB-scanned")
				runtime.KeepAlive(held)
			}
		})
	}
	run("uuid", 16, func() any { return filledEditor(b, *identities, uuidIdentity).Publish() })
	run("text", len(textIdentity(0).Key), func() any { return filledEditor(b, *identities, textIdentity).Publish() })
	run("map", len("shipment/")+uuidTextBytes, func() any {
		m := map[string]peerEntry{}
		fill(*identities, func(key string, e peerEntry) { m[key] = e })
		return m
	})
}
