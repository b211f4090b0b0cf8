package raftnode_test

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

// The benchmarks of this file stand beside the floors of placement/REQUIREMENTS.md. Three servers in one process: real disks, and
// TCP between them.

// numbered gives each use of an identity or a name another one.
var numbered atomic.Uint64

// proposeEach proposes commands in one call, and wants each to be carried out.
func proposeEach(leader *raftnode.Node, bodies ...fsm.Body) ([]fsm.Result, error) {
	commands := make([][]byte, len(bodies))
	for i, body := range bodies {
		command, err := fsm.Encode(fsm.Command{Body: body})
		if err != nil {
			return nil, err
		}
		commands[i] = command
	}
	outcomes, err := leader.Group().ProposeAll(context.Background(), commands)
	if err != nil {
		return nil, err
	}
	results := make([]fsm.Result, len(outcomes))
	for i, o := range outcomes {
		if o.Err != nil || o.Result.Verdict != placement.Done {
			return nil, fmt.Errorf("%T: %v, %w", bodies[i], o.Result.Verdict, o.Err)
		}
		results[i] = o.Result
	}
	return results, nil
}

// hosts joins members that host carts, which settle as soon as they are placed.
func hosts(b *testing.B, leader *raftnode.Node, n int) {
	b.Helper()
	bodies := []fsm.Body{&fsm.SetKind{Kind: "cart", Settings: placement.KindSettings{Settle: placement.SettleOnPlace}}}
	for i := range n {
		bodies = append(bodies, &fsm.Join{Member: placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "h:1", Kinds: []string{"cart"}}})
	}
	if _, err := proposeEach(leader, bodies...); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkAcquire is how many locks a second are acquired, through the log and on the disks of a majority. "activation" is the
// lock under which an activation starts, a placement: BatchPlace by gRPC, of so many identities in a call. "lock" is a
// lock by name, acquired and released again, by sessions on the leader; both commands go through the log, and the
// acquisitions are counted. "lock/grpc" is the same by unary calls.
func BenchmarkAcquire(b *testing.B) {
	outer := b
	var leader *raftnode.Node
	start := func() {
		if leader == nil {
			leader, _ = benchCluster(outer)
			hosts(outer, leader, 3)
		}
	}
	for _, each := range []int{1, 64, 1000} {
		for _, callers := range []int{64, 512} {
			if each*callers > 64_000 { // more than is let into the queue
				continue
			}
			b.Run(fmt.Sprintf("activation/each=%d/callers=%d", each, callers), func(b *testing.B) {
				start()
				conn := dial(b, leader.GRPCAddr())
				defer conn.Close()
				client := apiv1.NewPlacementsClient(conn)
				loadOf(b, "acquired/s", callers, each, func(int) error {
					req := &apiv1.BatchPlaceRequest{}
					for range each {
						req.Identities = append(req.Identities, &apiv1.Identity{Kind: "cart", Key: strconv.FormatUint(numbered.Add(1), 10)})
					}
					resp, err := client.BatchPlace(context.Background(), req)
					for _, r := range resp.GetResults() {
						if !r.Created {
							return fmt.Errorf("%v", r)
						}
					}
					return err
				})
			})
		}
	}
	for _, each := range []int{1, 64} {
		b.Run(fmt.Sprintf("lock/each=%d/callers=512", each), func(b *testing.B) {
			start()
			const callers = 512
			opens := make([]fsm.Body, callers)
			for i := range opens {
				opens[i] = &fsm.OpenSession{Session: placement.Session{TTL: placement.SessionTTLMax, Holder: "h"}}
			}
			sessions, err := proposeEach(leader, opens...)
			if err != nil {
				b.Fatal(err)
			}
			loadOf(b, "acquired/s", callers, each, func(n int) error {
				session := sessions[n%callers].Session
				take, give := make([]fsm.Body, each), make([]fsm.Body, each)
				for i := range each {
					name := "lock-" + strconv.FormatUint(numbered.Add(1), 10)
					take[i] = &fsm.AcquireLock{Name: name, Session: session, Mode: placement.LockExclusive}
					give[i] = &fsm.ReleaseLock{Name: name, Session: session}
				}
				if _, err := proposeEach(leader, take...); err != nil {
					return err
				}
				_, err := proposeEach(leader, give...)
				return err
			})
		})
	}
	b.Run("lock/grpc/callers=512", func(b *testing.B) {
		start()
		conn := dial(b, leader.GRPCAddr())
		defer conn.Close()
		opened, err := proposeEach(leader, &fsm.OpenSession{Session: placement.Session{TTL: placement.SessionTTLMax, Holder: "h"}})
		if err != nil {
			b.Fatal(err)
		}
		session, locks := uint64(opened[0].Session), apiv1.NewLocksClient(conn)
		loadOf(b, "acquired/s", 512, 1, func(int) error {
			name := "lock-" + strconv.FormatUint(numbered.Add(1), 10)
			if _, err := locks.AcquireLock(context.Background(), &apiv1.AcquireLockRequest{Name: name, Session: session}); err != nil {
				return err
			}
			_, err := locks.ReleaseLock(context.Background(), &apiv1.ReleaseLockRequest{Name: name, Session: session})
			return err
		})
	})
}

// BenchmarkTopology is how many changes of the members a second go through the log, while 128 are there: a member joins, and
// leaves again. Each caller waits for the one before it does the other.
func BenchmarkTopology(b *testing.B) {
	leader, _ := benchCluster(b)
	hosts(b, leader, 128)
	for _, callers := range []int{64, 512} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) {
			loadOf(b, "changes/s", callers, 2, func(int) error {
				name := placement.MemberID("j" + strconv.FormatUint(numbered.Add(1), 10))
				joined, err := proposeEach(leader, &fsm.Join{Member: placement.Member{ID: name, Address: "h:1", Kinds: []string{"cart"}}})
				if err != nil {
					return err
				}
				_, err = proposeEach(leader, &fsm.Leave{Incarnation: joined[0].Incarnation})
				return err
			})
		})
	}
}

// BenchmarkOwners is the owners of 10,000 identities over 128 members, found anew: each identity is placed, through the log and on
// the disks of a majority, by calls of BatchPlace of 1,000 at the same time.
func BenchmarkOwners(b *testing.B) {
	leader, _ := benchCluster(b)
	hosts(b, leader, 128)
	conn := dial(b, leader.GRPCAddr())
	defer conn.Close()
	client := apiv1.NewPlacementsClient(conn)
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		errs := make(chan error, 10)
		for range cap(errs) {
			go func() {
				req := &apiv1.BatchPlaceRequest{}
				for range 1000 {
					req.Identities = append(req.Identities, &apiv1.Identity{Kind: "cart", Key: strconv.FormatUint(numbered.Add(1), 10)})
				}
				resp, err := client.BatchPlace(context.Background(), req)
				for _, r := range resp.GetResults() {
					if err == nil && !r.Created {
						err = fmt.Errorf("%v", r)
					}
				}
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				b.Fatal(err)
			}
		}
		took = append(took, time.Since(begin))
	}
	reportPercentile(b, took, 50, time.Millisecond, "ms")
	b.ReportMetric(float64(len(took))*10_000/b.Elapsed().Seconds(), "owners/s")
	b.ReportMetric(0, "ns/op")
}
