package raftnode_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/snapshot"
)

var leasedIdentities = flag.Int("identities", 1_000_000, "how many identities BenchmarkLeased has settled")

// leasedKey is the i-th of a row of keys that look random.
func leasedKey(i int) string {
	x := uint64(i+1) * 0x9e3779b97f4a7c15
	y := (x ^ x>>31) * 0xbf58476d1ce4e5b9
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", uint32(x>>32), uint16(x), uint16(y>>52), uint16(y>>40)&0xfff, y&0xffffffffffff)
}

// leasedView is a state in which so many identities are settled, on sixteen members.
func leasedView(b *testing.B, n int) *snapshot.View {
	const batch = 1000
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(1, 1)
	e.SetCluster(snapshot.Cluster{ID: "before", Seed: 1, FeatureLevel: fsm.FeatureLevel, MaxMemberTTL: 1, MaxReadLease: 1})
	if err := e.SetKind("shipment", placement.KindSettings{Settle: placement.SettleOnPlace}); err != nil {
		b.Fatal(err)
	}
	for i := range 16 {
		m := &placement.Member{
			ID: placement.MemberID(fmt.Sprint("m", i)), Incarnation: placement.Incarnation(i + 1), Address: fmt.Sprint("h:", i+1),
			Kinds: []string{"shipment"}, State: placement.MemberLive,
		}
		m.Normalize()
		e.Join(m)
	}
	for i := range n {
		index := uint64(2 + i/batch)
		e.SetPosition(index, 1)
		e.Seek(placement.Identity{Kind: "shipment", Key: leasedKey(i)})
		e.Put(placement.Entry{Phase: placement.Settled, Owner: placement.Incarnation(i%16 + 1), Epoch: placement.MakeEpoch(0, index, i%batch), Reason: 1})
		if i%batch == batch-1 {
			e.Publish()
		}
	}
	return e.Publish()
}

// BenchmarkLeased is look-ups under the read lease of a follower, in its process: the state, the lease and the clock are
// loaded, and the placement is looked up, as the API does it. Beside it, in turn, a Go map under a RWMutex that has the
// same identities and is never written. The servers, three in this process, began with a snapshot. With a writer, batches of a
// hundred new identities are placed meanwhile, a hundred of them a second at most.
func BenchmarkLeased(b *testing.B) {
	n := *leasedIdentities
	follower, leader := leasedCluster(b, n)
	type owner struct {
		epoch  placement.Epoch
		member uint32
		phase  uint8
	}
	var mu sync.RWMutex
	peer := make(map[string]owner, n)
	for i := range n {
		peer["shipment/"+leasedKey(i)] = owner{epoch: placement.Epoch(i), member: uint32(i % 16), phase: 2}
	}
	draw := func(count int, from uint64) (ids []placement.Identity, texts []string) {
		r := rand.New(rand.NewPCG(from, 1))
		for range count {
			text := "shipment/" + leasedKey(r.IntN(n))
			ids, texts = append(ids, placement.Identity{Kind: text[:8], Key: text[9:]}), append(texts, text)
		}
		return ids, texts
	}
	for _, writer := range []bool{false, true} {
		b.Run(fmt.Sprintf("identities=%d/writer=%v", n, writer), func(b *testing.B) {
			var written atomic.Int64
			ctx, cancel := context.WithCancel(context.Background())
			var tasks sync.WaitGroup
			if writer {
				tasks.Go(func() { leasedWriter(ctx, b, leader, &written) })
			}
			var ours, theirs, ratios []float64
			began := time.Now()
			b.ReportAllocs()
			for round := uint64(0); b.Loop(); round++ {
				const count = 2000
				b.StopTimer()
				ids, texts := draw(count, round)
				b.StartTimer()
				begin := time.Now()
				for _, id := range ids {
					if e, ok := follower.LeasedLookup(id); !ok || e.Phase != placement.Settled {
						b.Fatalf("%v is %v, under a lease: %v", id, e.Phase, ok)
					}
				}
				middle := time.Now()
				for _, text := range texts {
					mu.RLock()
					o, ok := peer[text]
					mu.RUnlock()
					if !ok || o.phase != 2 {
						b.Fatal(text)
					}
				}
				end := time.Now()
				ours = append(ours, float64(middle.Sub(begin).Nanoseconds())/count)
				theirs = append(theirs, float64(end.Sub(middle).Nanoseconds())/count)
				ratios = append(ratios, float64(middle.Sub(begin))/float64(end.Sub(middle)))
			}
			elapsed := time.Since(began)
			cancel()
			tasks.Wait()
			for _, x := range [][]float64{ours, theirs, ratios} {
				slices.Sort(x)
			}
			b.ReportMetric(ours[len(ours)/2], "leased-ns")
			b.ReportMetric(theirs[len(theirs)/2], "map-ns")
			b.ReportMetric(ratios[len(ratios)/2], "ratio")
			b.ReportMetric(float64(written.Load())/elapsed.Seconds(), "placements/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// leasedWriter places new identities until ctx ends.
func leasedWriter(ctx context.Context, b *testing.B, leader *raftnode.Node, written *atomic.Int64) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for at := *leasedIdentities + int(rand.Uint32()); ; at += 100 {
		var commands [][]byte
		for i := range 100 {
			c, err := fsm.Encode(fsm.Command{Body: &fsm.Place{Identity: placement.Identity{Kind: "shipment", Key: leasedKey(at + i)}}})
			if err != nil {
				b.Error(err)
				return
			}
			commands = append(commands, c)
		}
		outcomes, err := leader.Group().ProposeAll(ctx, commands)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			b.Error(err)
			return
		}
		for _, o := range outcomes {
			if o.Err != nil || o.Result.Verdict != placement.Done {
				b.Errorf("%v, %v", o.Result.Verdict, o.Err)
				return
			}
		}
		written.Add(100)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// leasedCluster starts a server from a snapshot of n settled identities, and two that join it, and waits until one that does
// not lead has everything and a read lease.
func leasedCluster(b *testing.B, n int) (follower, leader *raftnode.Node) {
	b.Helper()
	servers := benchServers(b)
	if _, err := raftnode.Restore(raftnode.RestoreConfig{Name: servers[0].Name, DataDir: servers[0].Dir, View: leasedView(b, n)}); err != nil {
		b.Fatal(err)
	}
	var nodes []*raftnode.Node
	for _, s := range servers {
		s.MemberTTL = 10 * time.Second // a restored cluster waits for so long, and a quarter more, before it begins
		node, err := raftnode.Open(s.config())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = node.Close(ctx)
		})
		nodes = append(nodes, node)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var keeper sync.WaitGroup
	keeper.Go(func() { // the members of the snapshot are no processes
		for ctx.Err() == nil {
			for _, node := range nodes {
				for i := range 16 {
					node.KeepMember(ctx, placement.Incarnation(i+1))
				}
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	})
	b.Cleanup(keeper.Wait)
	b.Cleanup(cancel)
	last := placement.Identity{Kind: "shipment", Key: leasedKey(n - 1)}
	for begin := time.Now(); time.Since(begin) < 2*time.Minute; time.Sleep(10 * time.Millisecond) {
		leader, follower = nil, nil
		for _, node := range nodes {
			if node.Leads() {
				leader = node
			} else if e, ok := node.LeasedLookup(last); ok && e.Phase == placement.Settled {
				follower = node
			}
		}
		if leader != nil && follower != nil {
			return follower, leader
		}
	}
	b.Fatal("no server that follows has the state and a read lease within two minutes")
	return nil, nil
}
