package snapshot

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// changing changes every identity that is asked for and publishes after each thousand.
func changing(e *Editor) func(requests) {
	return func(r requests) {
		for i, id := range r.ids {
			entry := e.Seek(id)
			entry.Draining = !entry.Draining
			e.Put(entry)
			if i%1000 == 999 {
				e.Publish()
			}
		}
	}
}

// BenchmarkUpdate is a change of one identity, published by the thousand, beside a write to a map.
func BenchmarkUpdate(b *testing.B) {
	e, m := benchEditor(), benchMap()
	b.ReportAllocs()
	versus(b, false, cold, contender{"view", changing(e)}, contender{"map+RWMutex", func(r requests) {
		for i, text := range r.texts {
			m.put(text, peerEntry{epoch: uint64(i), phase: 2})
		}
	}})
}

// BenchmarkUpdateWhileEncoding is the same while a snapshot is written, beside the same while none is.
func BenchmarkUpdateWhileEncoding(b *testing.B) {
	e := benchEditor()
	while := func(r requests) {
		v := e.Publish()
		stop := make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = v.Encode(&stoppedWriter{stop})
				}
			}
		})
		changing(e)(r)
		close(stop)
		writer.Wait()
	}
	versus(b, false, cold, contender{"encoding", while}, contender{"quiet", changing(e)})
}

// stoppedWriter takes everything until it is told to stop.
type stoppedWriter struct{ stop chan struct{} }

func (w *stoppedWriter) Write(b []byte) (int, error) {
	select {
	case <-w.stop:
		return 0, fmt.Errorf("stopped")
	default:
		return len(b), nil
	}
}

// BenchmarkStall is how long changes wait for a snapshot to be taken, which is a Publish, for two sizes of the index; and
// what the first change behind it costs, which copies what the snapshot holds.
func BenchmarkStall(b *testing.B) {
	small, large := filledEditor(b, *identities/10, uuidIdentity), benchEditor()
	stall := func(e *Editor, round uint64) (publish, first float64) {
		id := uuidIdentity(fold(round, 3) % uint64(*identities/10))
		entry := e.Seek(id)
		began := time.Now()
		v := e.Publish()
		publish = float64(time.Since(began).Nanoseconds())
		began = time.Now()
		entry.Draining = !entry.Draining
		e.Put(entry)
		first = float64(time.Since(began).Nanoseconds())
		if v.Index == 0 {
			b.Fatal("an empty view")
		}
		return publish, first
	}
	var times [4][]float64
	for round := uint64(0); b.Loop(); round++ {
		for i, e := range []*Editor{small, large} {
			publish, first := stall(e, round)
			times[i], times[2+i] = append(times[i], publish), append(times[2+i], first)
		}
	}
	b.ReportMetric(median(times[0]), "small-publish-ns")
	b.ReportMetric(median(times[1]), "large-publish-ns")
	b.ReportMetric(median(times[2]), "small-first-ns")
	b.ReportMetric(median(times[3]), "large-first-ns")
	b.ReportMetric(times[3][len(times[3])-1], "large-first-max-ns")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBuild is how long an identity takes to be placed first.
func BenchmarkBuild(b *testing.B) {
	var v *View
	for b.Loop() {
		v = filledEditor(b, *identities, uuidIdentity).Publish()
	}
	if e, _ := v.Lookup(uuidIdentity(0)); e.Phase != placement.Settled {
		b.Fatal("it is empty")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N**identities), "ns/identity")
}
