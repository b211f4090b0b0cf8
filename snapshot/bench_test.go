package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// uuidIdentity is the i-th of a row of identities that look random.
func uuidIdentity(i uint64) placement.Identity {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], fold(i, 1))
	binary.BigEndian.PutUint64(b[8:], fold(i, 2))
	return placement.Identity{Kind: "shipment", Key: unpackUUID(&b)}
}

func filledEditor(b *testing.B, n int) *Editor {
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
		e.Seek(uuidIdentity(uint64(i)))
		e.Put(placement.Entry{Phase: placement.Settled, Owner: placement.Incarnation(i%16 + 1), Epoch: placement.Epoch(i + 1), Reason: 1})
		if i%500 == 0 {
			e.Publish()
		}
	}
	return e
}

const benchSize = 1_000_000

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		e := filledEditor(b, benchSize)
		v := e.Publish()
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchSize, "B/identity")
		runtime.KeepAlive(v)
	}
}

func BenchmarkLookup(b *testing.B) {
	v := filledEditor(b, benchSize).Publish()
	m := map[string]stored{}
	for i := range uint64(benchSize) {
		m[uuidIdentity(i).String()] = stored{number: i}
	}
	ids := make([]placement.Identity, 1<<16)
	texts := make([]string, len(ids))
	for _, hot := range []int{1000, len(ids)} {
		for i := range ids {
			ids[i] = uuidIdentity(fold(uint64(i%hot), 3) % benchSize)
			texts[i] = ids[i].String()
		}
		b.Run(fmt.Sprintf("view/hot=%d", hot), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				v.Lookup(ids[i%len(ids)])
			}
		})
		b.Run(fmt.Sprintf("map/hot=%d", hot), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				_ = m[texts[i%len(ids)]]
			}
		})
	}
}

func BenchmarkUpdate(b *testing.B) {
	e := filledEditor(b, benchSize)
	b.ReportAllocs()
	for i := uint64(0); b.Loop(); i++ {
		entry := e.Seek(uuidIdentity(fold(i, 9) % benchSize))
		entry.Draining = !entry.Draining
		e.Put(entry)
		if i%500 == 0 {
			e.Publish()
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	v := filledEditor(b, benchSize).Publish()
	for b.Loop() {
		n := &countingWriter{}
		if err := v.Encode(n); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(n.n)/benchSize, "B/identity")
	}
}

type countingWriter struct{ n int64 }

func (w *countingWriter) Write(b []byte) (int, error) {
	w.n += int64(len(b))
	return len(b), nil
}

func BenchmarkDecode(b *testing.B) {
	v := filledEditor(b, benchSize).Publish()
	var file sliceWriter
	if err := v.Encode(&file); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Decode(bytes.NewReader(file)); err != nil {
			b.Fatal(err)
		}
	}
}

type sliceWriter []byte

func (w *sliceWriter) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }
