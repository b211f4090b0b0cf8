package raftnode_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

// BenchmarkWatch has so many watch one server over TCP, on 16 connections, and read everything in this process. Batches of 500
// identities are placed, one after the other as fast as they are committed: placements/s is what is left of that, and
// events/s is what all who watch got together, two of each placement, and events/cpu-s what that is for each second that a
// processor worked, the servers' and the readers' work together. The latency is that of single placements, from the
// proposal until the last of them has it.
func BenchmarkWatch(b *testing.B) {
	for _, watchers := range []int{0, 1, 100, 1000} {
		b.Run(fmt.Sprint(watchers), func(b *testing.B) { benchWatch(b, watchers) })
	}
}

func benchWatch(b *testing.B, watchers int) {
	n, err := raftnode.Open(raftnode.Config{
		Name: "s1", DataDir: b.TempDir(), RaftAddress: "127.0.0.1:0", GRPCAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", Expect: 1, MemberTTL: time.Hour,
		Seams: raftnode.Seams{KeepProcess: true},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer func() { _ = n.Close(context.Background()) }()
	for !n.Leads() {
		time.Sleep(10 * time.Millisecond)
	}
	propose := func(bodies ...fsm.Body) {
		var commands [][]byte
		for _, body := range bodies {
			c, err := fsm.Encode(fsm.Command{Body: body})
			if err != nil {
				b.Fatal(err)
			}
			commands = append(commands, c)
		}
		if _, err := n.Group().ProposeAll(ctx, commands); err != nil {
			b.Fatal(err)
		}
	}
	propose(&fsm.Join{Member: placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}},
		&fsm.SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: placement.SettleOnPlace}})
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	var got atomic.Int64
	var conns []*grpc.ClientConn
	for range 16 {
		conn, err := grpc.NewClient("passthrough:///"+n.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	var ready sync.WaitGroup
	for i := range watchers {
		stream, err := apiv1.NewPlacementsClient(conns[i%len(conns)]).Watch(ctx, &apiv1.WatchRequest{Kind: "cart"})
		if err != nil {
			b.Fatal(err)
		}
		ready.Add(1)
		tasks.Go(func() {
			for first := true; ; first = false {
				m, err := stream.Recv()
				if first {
					ready.Done()
				}
				if err != nil {
					return
				}
				got.Add(int64(len(m.Events)))
			}
		})
	}
	ready.Wait()
	key, want := 0, int64(0)
	place := func(count int) {
		bodies := make([]fsm.Body, count)
		for i := range bodies {
			bodies[i] = &fsm.Place{Identity: placement.Identity{Kind: "cart", Key: fmt.Sprintf("%x", uint32(key)*2654435761)}}
			key++
		}
		propose(bodies...)
		want += int64(2 * count * watchers)
	}
	caughtUp := func() {
		for end := time.Now().Add(time.Minute); got.Load() < want; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(end) {
				b.Fatalf("%d of %d events arrived", got.Load(), want)
			}
		}
	}
	worked := processorTime(b)
	for i := 0; b.Loop(); i++ {
		if place(500); i%4 == 3 { // so that nobody falls out of what is remembered
			caughtUp()
		}
	}
	placed := b.Elapsed()
	caughtUp()
	b.ReportMetric(float64(b.N*500)/placed.Seconds(), "placements/s")
	b.ReportMetric(float64(got.Load())/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(got.Load())/(processorTime(b)-worked).Seconds(), "events/cpu-s")
	var took []time.Duration
	for range 50 {
		begin := time.Now()
		place(1)
		caughtUp()
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
}

// processorTime is how long processors have worked for this process.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
