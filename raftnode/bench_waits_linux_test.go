package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// The benchmarks of this file have three servers in processes of their own, and a member in this one.

// benchProcesses starts three servers, and waits until they agree.
func benchProcesses(b *testing.B, memberTTL time.Duration) (all []*process, leader *process, others []*process, servers []string) {
	b.Helper()
	for _, s := range benchServers(b) {
		s.MemberTTL = memberTTL
		p := &process{benchServer: s}
		p.start(b)
		b.Cleanup(p.kill)
		all, servers = append(all, p), append(servers, s.GRPC)
	}
	leader, others = leaderOf(b, all)
	return all, leader, others, servers
}

func benchClient(b *testing.B, c lookupclient.Config) *lookupclient.Client {
	b.Helper()
	client, err := lookupclient.Open(c)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return client
}

// benchMember joins a member that hosts carts and does nothing in them.
func benchMember(b *testing.B, client *lookupclient.Client, run func(*lookupclient.Activation)) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	m, err := client.Join(ctx, lookupclient.MemberConfig{Name: "m1", Address: "h:1", Kinds: map[string]lookupclient.Kind{"cart": {Run: run}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = m.Leave(ctx)
	})
}

func untilEnd(a *lookupclient.Activation) { <-a.Context().Done() }

// benchLease looks up at a server until it answers under its own read lease.
func benchLease(b *testing.B, p *process, id placement.Identity) {
	b.Helper()
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(5 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		resp, err := apiv1.NewPlacementsClient(p.conn).Lookup(ctx, &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key})
		cancel()
		if err == nil && resp.Read.Level == apiv1.Level_LEASED && resp.Read.ServedBy == p.Name {
			return
		}
	}
	b.Fatalf("%s has no read lease after 30 seconds", p.Name)
}

// BenchmarkRemoval is the time of Client.Remove: the owner is asked to stop, releases, and the removal is complete when no
// server can answer the placement any more. All servers that follow have read leases; "stopped" stops one of them right before
// (SIGSTOP), so the removal waits for the rest of its lease. Each is one removal; b.N are made.
func BenchmarkRemoval(b *testing.B) {
	_, leader, others, _ := benchProcesses(b, 0)
	client := benchClient(b, lookupclient.Config{Servers: []string{leader.GRPC}, Timeout: 30 * time.Second})
	benchMember(b, client, untilEnd)
	ctx := context.Background()
	stay := placement.Identity{Kind: "cart", Key: "stays"}
	if _, _, err := client.Place(ctx, stay); err != nil {
		b.Fatal(err)
	}
	number := 0
	for _, stopped := range []bool{false, true} {
		name := "live"
		if stopped {
			name = "stopped"
		}
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for range b.N {
				number++
				id := placement.Identity{Kind: "cart", Key: fmt.Sprint("goes-", number)}
				if _, _, err := client.Place(ctx, id); err != nil {
					b.Fatal(err)
				}
				for _, p := range others {
					benchLease(b, p, stay)
				}
				if stopped {
					_ = others[0].cmd.Process.Signal(syscall.SIGSTOP)
				}
				begin := time.Now()
				err := client.Remove(ctx, id, 0, nil)
				took = append(took, time.Since(begin))
				if stopped {
					_ = others[0].cmd.Process.Signal(syscall.SIGCONT)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			for _, p := range []int{50, 99, 100} {
				reportPercentile(b, took, p, time.Millisecond, "ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// cutNetwork is connections over TCP that can be cut: then nothing comes or goes any more, and nobody is told.
type cutNetwork struct {
	mu  sync.Mutex
	cut chan struct{} // closed when cut; nothing passes until it is mended
}

func (n *cutNetwork) gate() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut
}

func (n *cutNetwork) sever() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = make(chan struct{})
}

func (n *cutNetwork) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.cut)
	n.cut = nil
}

func (n *cutNetwork) dial(ctx context.Context, address string) (net.Conn, error) {
	if g := n.gate(); g != nil {
		select {
		case <-g:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	return &cutConn{Conn: c, network: n, closed: make(chan struct{})}, err
}

type cutConn struct {
	net.Conn
	network *cutNetwork
	once    sync.Once
	closed  chan struct{}
}

func (c *cutConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// pass waits while the network is cut.
func (c *cutConn) pass() error {
	for {
		g := c.network.gate()
		if g == nil {
			return nil
		}
		select {
		case <-g:
		case <-c.closed:
			return net.ErrClosed
		}
	}
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if gate := c.pass(); gate != nil {
		return 0, gate
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	if err := c.pass(); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// BenchmarkCut cuts a member's network at any moment, and reports when the Context of its activation ended. The bound is
// the TTL less the margin, counted from when the last keepalive that was answered was sent, so a cut ends it earlier by what had passed since.
func BenchmarkCut(b *testing.B) {
	round := 0
	for _, ttl := range []time.Duration{time.Second, 2 * time.Second, 5 * time.Second} {
		b.Run(fmt.Sprint("ttl=", ttl), func(b *testing.B) {
			_, _, _, servers := benchProcesses(b, ttl)
			network := &cutNetwork{}
			client := benchClient(b, lookupclient.Config{Servers: servers, Dial: network.dial})
			started := make(chan *lookupclient.Activation, 1)
			benchMember(b, client, func(a *lookupclient.Activation) {
				select {
				case started <- a:
				default:
				}
				<-a.Context().Done()
			})
			var took []time.Duration
			least := time.Hour
			for range b.N {
				round++
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				_, _, err := client.Place(ctx, placement.Identity{Kind: "cart", Key: fmt.Sprint(round)})
				cancel()
				if err != nil {
					b.Fatal(err)
				}
				a := <-started
				time.Sleep(ttl + rand.N(ttl)) // anywhere between two keepalives
				begin := time.Now()
				network.sever()
				<-a.Context().Done()
				d := time.Since(begin)
				network.mend()
				if cause := context.Cause(a.Context()); !errors.Is(cause, lookupclient.ErrLeaseLost) {
					b.Fatalf("ended for %v", cause)
				}
				took, least = append(took, d), min(least, d)
			}
			b.ReportMetric(float64(least.Milliseconds()), "min-ms")
			for _, p := range []int{50, 100} {
				reportPercentile(b, took, p, time.Millisecond, "ms")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkNoHop is look-ups of settled identities at a server that follows, while others are placed and removed at a rate:
// which part was answered under its read lease, without a word to another server.
func BenchmarkNoHop(b *testing.B) {
	_, leader, others, _ := benchProcesses(b, 0)
	client := benchClient(b, lookupclient.Config{Servers: []string{leader.GRPC}})
	benchMember(b, client, untilEnd)
	ctx := context.Background()
	var ids []placement.Identity
	for i := range 1000 {
		ids = append(ids, placement.Identity{Kind: "cart", Key: fmt.Sprint("stays-", i)})
	}
	if _, err := client.PlaceAll(ctx, ids); err != nil {
		b.Fatal(err)
	}
	for _, rate := range []int{0, 10, 100} {
		b.Run(fmt.Sprint("removals=", rate), func(b *testing.B) {
			benchLease(b, others[0], ids[0])
			ctx, cancel := context.WithCancel(ctx)
			var tasks sync.WaitGroup
			var removed, leased, failed atomic.Int64
			for i := range rate {
				tasks.Go(func() { // each places and removes about once a second
					for n := 0; ctx.Err() == nil; n++ {
						id := placement.Identity{Kind: "cart", Key: fmt.Sprintf("goes-%d-%d", i, n)}
						begin := time.Now()
						if _, _, err := client.Place(ctx, id); err == nil && client.Remove(ctx, id, 0, nil) == nil {
							removed.Add(1)
						}
						select {
						case <-time.After(time.Second - time.Since(begin)):
						case <-ctx.Done():
						}
					}
				})
			}
			lookups := apiv1.NewPlacementsClient(others[0].conn)
			load(b, 16, 1, func(n int) error {
				id := ids[n%len(ids)]
				resp, err := lookups.Lookup(ctx, &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key})
				if err != nil {
					failed.Add(1)
					return err
				}
				if resp.Read.Level == apiv1.Level_LEASED && resp.Read.ServedBy == others[0].Name {
					leased.Add(1)
				}
				return nil
			})
			cancel()
			tasks.Wait()
			b.ReportMetric(100*float64(leased.Load())/float64(b.N), "leased-%")
			b.ReportMetric(float64(removed.Load())/b.Elapsed().Seconds(), "removals/s")
		})
	}
}
