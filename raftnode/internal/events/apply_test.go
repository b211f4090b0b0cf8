package events

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// BenchmarkApply is what the events cost where they are made: batches of 500 placements, applied and published, without
// events, with them, and with so many who read them as soon as they are there. What is added to the ring is measured by itself,
// as the median: the readers and the one who applies share the processors.
func BenchmarkApply(b *testing.B) {
	const batch = 500
	for _, readers := range []int{-1, 0, 1, 1000} {
		observed := readers >= 0
		name := fmt.Sprint("readers=", readers)
		if !observed {
			name = "without"
		}
		b.Run(name, func(b *testing.B) {
			ring := &Ring{}
			var added []time.Duration
			ctx, cancel := context.WithCancel(context.Background())
			var tasks sync.WaitGroup
			defer tasks.Wait()
			defer cancel()
			tasks.Go(func() { ring.Announce(ctx) })
			for range readers {
				tasks.Go(func() { follow(ctx, ring) })
			}
			m, index, n := fsm.New(snapshot.Empty()), uint64(1), 0
			m.Observed = observed
			apply := func(data []byte) {
				out, err := m.Apply(index, 1, data)
				if err != nil {
					b.Fatal(err)
				}
				if index++; observed {
					begin := time.Now()
					ring.Add([]*fsm.Output{out}, nil)
					added = append(added, time.Since(begin))
					m.Reuse(out)
				}
				m.Publish()
			}
			apply(fsm.EncodeStart(fsm.Start{ClusterID: "C", Seed: 1}))
			entry := func(bodies ...fsm.Body) []byte {
				var commands [][]byte
				for _, body := range bodies {
					c, err := fsm.Encode(fsm.Command{Body: body})
					if err != nil {
						b.Fatal(err)
					}
					commands = append(commands, c)
				}
				return fsm.AppendEntry(nil, fsm.Batch{Term: 1}, commands)
			}
			for i := range 16 {
				apply(entry(&fsm.Join{Member: placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "h:1", Kinds: []string{"cart"}}}))
			}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				places := make([]fsm.Body, batch)
				for i := range places {
					places[i] = &fsm.Place{Identity: placement.Identity{Kind: "cart", Key: fmt.Sprintf("%x", uint32(n)*2654435761)}}
					n++
				}
				data := entry(places...)
				b.StartTimer()
				apply(data)
			}
			if slices.Sort(added); observed {
				b.ReportMetric(float64(added[len(added)/2].Nanoseconds())/batch, "add-ns/command")
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/command")
		})
	}
}

// follow reads what is added, as somebody does who watches.
func follow(ctx context.Context, r *Ring) {
	buf := make([]Event, 64)
	for at, _ := r.After(0); ; {
		changed := r.Changed()
		n, _, ok := r.Read(at, buf)
		if at += Reading(n); !ok {
			_, last := r.Span()
			at, _ = r.After(last)
			continue
		}
		if n > 0 {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
