package fsm

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// BenchmarkLocks takes and gives up locks, by 1,000 sessions, in batches of 500 commands with a view published after each.
// `free` takes a lock that nobody has and gives it up, beside a hundred thousand that are held; `queue` gives up a lock for
// which ten thousand wait, and waits for it again. One operation is both commands.
func BenchmarkLocks(b *testing.B) {
	b.Run("free", func(b *testing.B) {
		m, ids, index := lockMachine(b, 100_000)
		n := 0
		benchmarkBatches(b, m, index, func() []Body {
			n++
			name, id := fmt.Sprint("free-", n), ids[n%len(ids)]
			return []Body{&AcquireLock{Name: name, Session: id, Mode: placement.LockExclusive}, &ReleaseLock{Name: name, Session: id}}
		})
	})
	b.Run("queue", func(b *testing.B) {
		m, _, index := lockMachine(b, 0)
		var ids []placement.SessionID
		for range 10_000 {
			index++
			ids = append(ids, apply(b, m, index, &OpenSession{placement.Session{TTL: time.Minute, Holder: "h"}})[0].Session)
			index++
			apply(b, m, index, &AcquireLock{Name: "one", Session: ids[len(ids)-1], Mode: placement.LockExclusive, Wait: true})
		}
		n := -1
		benchmarkBatches(b, m, index, func() []Body {
			n++
			id := ids[n%len(ids)]
			return []Body{&ReleaseLock{Name: "one", Session: id}, &AcquireLock{Name: "one", Session: id, Mode: placement.LockExclusive, Wait: true}}
		})
	})
}

// lockMachine is a machine with 1,000 sessions that hold so many locks.
func lockMachine(b *testing.B, held int) (m *Machine, ids []placement.SessionID, index uint64) {
	m, index = New(snapshot.Empty()), 1
	if _, err := m.Apply(1, 1, EncodeStart(Start{ClusterID: "C", Seed: 1})); err != nil {
		b.Fatal(err)
	}
	for range 1000 {
		index++
		ids = append(ids, apply(b, m, index, &OpenSession{placement.Session{TTL: time.Minute, Holder: "h"}})[0].Session)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range held {
		index++
		apply(b, m, index, &AcquireLock{Name: fmt.Sprintf("lock-%09d", i), Session: ids[i%len(ids)], Mode: placement.LockExclusive})
	}
	if runtime.GC(); held > 0 {
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(held), "B/lock")
	}
	return m, ids, index
}

func entryOf(b *testing.B, bodies ...Body) []byte {
	b.Helper()
	var commands [][]byte
	for _, body := range bodies {
		c, err := Encode(Command{Body: body})
		if err != nil {
			b.Fatal(err)
		}
		commands = append(commands, c)
	}
	return AppendEntry(nil, Batch{Term: 1}, commands)
}

func apply(b *testing.B, m *Machine, index uint64, bodies ...Body) []Result {
	b.Helper()
	out, err := m.Apply(index, 1, entryOf(b, bodies...))
	if err != nil {
		b.Fatal(err)
	}
	return out.Results
}

func benchmarkBatches(b *testing.B, m *Machine, index uint64, pair func() []Body) {
	b.ReportAllocs()
	for done := 0; done < b.N; done += 250 {
		b.StopTimer()
		var bodies []Body
		for range 250 {
			bodies = append(bodies, pair()...)
		}
		data := entryOf(b, bodies...)
		b.StartTimer()
		index++
		out, err := m.Apply(index, 1, data)
		if err != nil {
			b.Fatal(err)
		}
		m.Publish()
		for i, r := range out.Results {
			if r.Verdict != placement.Done {
				b.Fatalf("%T: %v", bodies[i], r.Verdict)
			}
		}
	}
}
