package raftnode_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// benchSessions opens sessions of five minutes.
func benchSessions(b *testing.B, client *lookupclient.Client, n int) []*lookupclient.Session {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	sessions := make([]*lookupclient.Session, n)
	var tasks sync.WaitGroup
	for i := range n {
		tasks.Go(func() {
			s, err := client.OpenSession(ctx, lookupclient.SessionConfig{Holder: fmt.Sprint("h", i), TTL: 5 * time.Minute})
			if err != nil {
				b.Error(err)
				return
			}
			sessions[i] = s
		})
	}
	tasks.Wait()
	if b.Failed() {
		b.FailNow()
	}
	b.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		for _, s := range sessions {
			tasks.Go(func() { _ = s.Close(over) })
		}
		tasks.Wait()
	})
	return sessions
}

// BenchmarkLockHandOver is a lock that goes from hand to hand: from the call that releases it to the return of the call that
// waited for it, while so many wait.
func BenchmarkLockHandOver(b *testing.B) {
	leader, _ := benchCluster(b)
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{leader.GRPCAddr()}})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for _, waiters := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint("waiters=", waiters), func(b *testing.B) {
			sessions := benchSessions(b, client, waiters+1)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var mu sync.Mutex
			var took []time.Duration
			var released time.Time // when the call that released the lock began
			release := func(l *lookupclient.Lock) {
				mu.Lock()
				released = time.Now()
				mu.Unlock()
				_ = l.Release(context.WithoutCancel(ctx))
			}
			cycle := func(s *lookupclient.Session) {
				for {
					l, err := s.Acquire(ctx, "one", lookupclient.LockOptions{})
					if err != nil {
						return // the benchmark is over
					}
					mu.Lock()
					took = append(took, time.Since(released))
					if len(took) == b.N {
						b.StopTimer()
						cancel()
					}
					mu.Unlock()
					release(l)
				}
			}
			first, err := sessions[0].Acquire(ctx, "one", lookupclient.LockOptions{})
			if err != nil {
				b.Fatal(err)
			}
			var tasks sync.WaitGroup
			for _, s := range sessions[1:] {
				tasks.Go(func() { cycle(s) })
			}
			awaitWaiters(b, client, waiters)
			b.ResetTimer()
			release(first)
			tasks.Go(func() { cycle(sessions[0]) })
			tasks.Wait()
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "hand-overs/s")
			reportPercentile(b, took, 50, time.Microsecond, "us")
			reportPercentile(b, took, 99, time.Microsecond, "us")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// awaitWaiters waits until so many wait for the lock.
func awaitWaiters(b *testing.B, client *lookupclient.Client, n int) {
	for {
		resp, err := apiv1.NewLocksClient(client.Conn()).GetLock(context.Background(), &apiv1.GetLockRequest{Name: "one"})
		if err != nil {
			b.Error(err)
			return
		}
		if int(resp.Lock.Waiting) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// cpuOf is the time on processors that a process has used.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:13] { // in user mode, and in the kernel
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// BenchmarkSessionsKept is keepalives of sessions, each in a call of its own, by the time on processors that the leader's
// process uses; and for how many sessions of 15 s, which ask every 3.75 s, one processor is enough.
func BenchmarkSessionsKept(b *testing.B) {
	var processes []*process
	for _, s := range benchServers(b) {
		p := &process{benchServer: s}
		p.start(b)
		defer p.kill()
		processes = append(processes, p)
	}
	leader, _ := leaderOf(b, processes)
	api := apiv1.NewSessionsClient(leader.conn)
	const callers = 4096
	ids := make([]uint64, callers)
	var tasks sync.WaitGroup
	for i := range ids {
		tasks.Go(func() {
			resp, err := api.OpenSession(context.Background(), &apiv1.OpenSessionRequest{Holder: "h", Ttl: durationpb.New(5 * time.Minute)})
			if err != nil {
				b.Error(err)
				return
			}
			ids[i] = resp.Session.Id
		})
	}
	tasks.Wait()
	if b.Failed() {
		return
	}
	var next atomic.Int64
	before := cpuOf(b, leader.cmd.Process.Pid)
	b.ResetTimer()
	for i := range ids {
		tasks.Go(func() {
			for next.Add(1) <= int64(b.N) {
				if _, err := api.KeepSession(context.Background(), &apiv1.KeepSessionRequest{Session: ids[i]}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	tasks.Wait()
	b.StopTimer()
	used := max(cpuOf(b, leader.cmd.Process.Pid)-before, 10*time.Millisecond)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "keeps/s")
	b.ReportMetric(float64(b.N)/used.Seconds(), "keeps/cpu-s")
	b.ReportMetric(float64(b.N)/used.Seconds()*3.75, "sessions/core")
	b.ReportMetric(0, "ns/op")
}
