package raftnode_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

// The benchmarks run in real time, over TCP on the loopback interface, on the disk of the temporary directory.

// benchServer is what a server of a benchmark is started with.
type benchServer struct {
	Name, Dir, Raft, GRPC, HTTP string
	Join                        []string
	MemberTTL                   time.Duration // an hour when it is zero
}

func (s *benchServer) config() raftnode.Config {
	ttl := s.MemberTTL
	if ttl == 0 {
		ttl = time.Hour
	}
	return raftnode.Config{
		Name: s.Name, DataDir: s.Dir, RaftAddress: s.Raft, GRPCAddress: s.GRPC, HTTPAddress: s.HTTP,
		Join: s.Join, Expect: len(s.Join), MemberTTL: ttl,
	}
}

func benchServers(b *testing.B) []*benchServer {
	b.Helper()
	var servers []*benchServer
	var join []string
	for i := range 3 {
		s := &benchServer{Name: fmt.Sprint("s", i+1), Dir: b.TempDir(), Raft: freeport.Address(b), GRPC: freeport.Address(b), HTTP: freeport.Address(b)}
		servers, join = append(servers, s), append(join, s.Raft)
	}
	for _, s := range servers {
		s.Join = join
	}
	return servers
}

func dial(b *testing.B, address string) *grpc.ClientConn {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	return conn
}

const processEnv = "BERTH_TEST_SERVER"

// TestMain makes this binary a server in a process of its own when a benchmark, which kills it, has started it as one. In
// tests servers keep their files in memory where that can be.
func TestMain(m *testing.M) {
	if given := os.Getenv(processEnv); given != "" {
		if err := serveProcess(given); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(scratch.Tests(m))
}

// serveProcess serves until the end of standard input.
func serveProcess(given string) error {
	var s benchServer
	if err := json.Unmarshal([]byte(given), &s); err != nil {
		return err
	}
	n, err := raftnode.Open(s.config())
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return n.Wait()
}

// process is a server that runs in a process of its own.
type process struct {
	*benchServer
	cmd  *exec.Cmd
	conn *grpc.ClientConn
}

func (p *process) start(b *testing.B) {
	b.Helper()
	given, err := json.Marshal(p.benchServer)
	if err != nil {
		b.Fatal(err)
	}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), processEnv+"="+string(given))
	if _, err := p.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p.conn = dial(b, p.GRPC)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.conn.Close()
}

// leaderOf waits until the servers agree, and returns the one that leads and the others.
func leaderOf(b *testing.B, processes []*process) (leader *process, others []*process) {
	b.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		resp, err := apiv1.NewClusterClient(processes[0].conn).Status(ctx, &apiv1.StatusRequest{})
		cancel()
		if err != nil || !resp.Healthy || len(resp.Servers) != len(processes) {
			continue
		}
		level := 0
		for _, s := range resp.Servers {
			if s.Index == resp.Servers[0].Index {
				level++
			}
		}
		if level != len(processes) {
			continue
		}
		for _, p := range processes {
			if p.Name == resp.Leader {
				leader = p
			} else {
				others = append(others, p)
			}
		}
		return leader, others
	}
	b.Fatal("the servers do not agree within a minute")
	return nil, nil
}

// acknowledged writes until a write is acknowledged by either server. The cluster has no members, so the placement that
// is asked for is refused; but it is refused by the state machine, with an entry that is committed as any other.
func acknowledged(b *testing.B, servers []*process) (at time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var tasks sync.WaitGroup
	var done atomic.Bool
	for _, s := range servers {
		tasks.Go(func() {
			for ctx.Err() == nil {
				_, err := apiv1.NewPlacementsClient(s.conn).Place(ctx, &apiv1.PlaceRequest{Kind: "cart", Key: "1"})
				if r, _, _ := apiv1.ReasonOf(err); r == apiv1.ReasonNoEligibleMember {
					done.Store(true)
					cancel()
				}
			}
		})
	}
	<-ctx.Done()
	at = time.Now()
	tasks.Wait()
	if !done.Load() {
		b.Error("nothing was acknowledged for a minute")
	}
	return at
}

// BenchmarkFailover kills the leader of three processes twenty times, and reports how long it takes until a client of the
// others has a write acknowledged.
func BenchmarkFailover(b *testing.B) {
	const kills = 20
	var processes []*process
	for _, s := range benchServers(b) {
		p := &process{benchServer: s}
		p.start(b)
		defer p.kill()
		processes = append(processes, p)
	}
	var took []time.Duration
	b.ResetTimer()
	for range kills {
		leader, others := leaderOf(b, processes)
		acknowledged(b, others)
		time.Sleep(rand.N(500 * time.Millisecond)) // anywhere between two heartbeats
		begin := time.Now()
		leader.kill()
		took = append(took, acknowledged(b, others).Sub(begin))
		leader.start(b)
	}
	b.StopTimer()
	leaderOf(b, processes)
	for _, p := range []int{50, 90, 100} {
		reportPercentile(b, took, p, time.Millisecond, "ms")
	}
	b.ReportMetric(0, "ns/op")
}

func reportPercentile(b *testing.B, took []time.Duration, p int, unit time.Duration, name string) {
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	d := took[(len(took)-1)*p/100]
	if name = fmt.Sprintf("p%d-%s", p, name); p == 100 {
		name = "max" + name[len("p100"):]
	}
	b.ReportMetric(float64(d)/float64(unit), name)
}

// load has callers do something b.N times between them, each one thing at a time, and reports how that went.
func load(b *testing.B, callers, each int, do func(n int) error) {
	loadOf(b, "lookups/s", callers, each, do)
}

// loadOf is load that counts something else.
func loadOf(b *testing.B, unit string, callers, each int, do func(n int) error) {
	took := make([][]time.Duration, callers)
	var next atomic.Int64
	var tasks sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		tasks.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				begin := time.Now()
				if err := do(int(n)); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	tasks.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), unit)
	all := slices.Concat(took...)
	reportPercentile(b, all, 50, time.Microsecond, "us")
	reportPercentile(b, all, 99, time.Microsecond, "us")
	b.ReportMetric(0, "ns/op")
}

const benchIdentities = 10_000

func benchKey(n int) string {
	n %= benchIdentities
	return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n*2654435761), n)
}

// BenchmarkLookup is linearizable lookups of settled identities: in the process of the server, behind a proof of leadership
// each (index), by gRPC under a read lease (grpc) and behind a proof (proved), and by gRPC 64 at once under a lease (batch).
// ping is the floor: one byte there and back over TCP.
func BenchmarkLookup(b *testing.B) {
	outer := b // whose end closes the servers
	nodes := map[string]*raftnode.Node{}
	start := func() {
		if len(nodes) > 0 {
			return
		}
		nodes["leader"], nodes["follower"] = lookupCluster(outer)
	}
	b.Run("ping/callers=1", benchPing)
	for _, at := range []string{"leader", "follower"} {
		for _, callers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("index/%s/callers=%d", at, callers), func(b *testing.B) {
				start()
				load(b, callers, 1, func(n int) error {
					v, err := nodes[at].FreshView(context.Background())
					if err != nil {
						return err
					}
					if e, _ := v.Lookup(placement.Identity{Kind: "cart", Key: benchKey(n)}); e.Phase != placement.Settled {
						return fmt.Errorf("%s is %v", benchKey(n), e.Phase)
					}
					return nil
				})
			})
		}
		for _, level := range []apiv1.Level_Name{apiv1.Level_LEASED, apiv1.Level_LEADER} {
			name := map[apiv1.Level_Name]string{apiv1.Level_LEASED: "grpc", apiv1.Level_LEADER: "proved"}[level]
			for _, callers := range []int{1, 64, 512} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", name, at, callers), func(b *testing.B) {
					start()
					conn := dial(b, nodes[at].GRPCAddr())
					defer conn.Close()
					client := apiv1.NewPlacementsClient(conn)
					load(b, callers, 1, func(n int) error {
						_, err := client.Lookup(context.Background(), &apiv1.LookupRequest{Kind: "cart", Key: benchKey(n), Level: level})
						return err
					})
				})
			}
		}
		b.Run(fmt.Sprintf("batch/%s/callers=64", at), func(b *testing.B) {
			start()
			conn := dial(b, nodes[at].GRPCAddr())
			defer conn.Close()
			client := apiv1.NewPlacementsClient(conn)
			load(b, 64, 64, func(n int) error {
				req := &apiv1.BatchLookupRequest{}
				for i := range 64 {
					req.Identities = append(req.Identities, &apiv1.Identity{Kind: "cart", Key: benchKey(n*64 + i)})
				}
				_, err := client.BatchLookup(context.Background(), req)
				return err
			})
		})
	}
}

// lookupCluster starts three servers in the process and settles identities. They end with the benchmark.
func lookupCluster(b *testing.B) (leader, follower *raftnode.Node) {
	b.Helper()
	leader, follower = benchCluster(b)
	settle(b, leader)
	return leader, follower
}

// benchCluster starts three servers in the process. They end with the benchmark. change may change the Config of each.
func benchCluster(b *testing.B, change ...func(*raftnode.Config)) (leader, follower *raftnode.Node) {
	b.Helper()
	var nodes []*raftnode.Node
	for _, s := range benchServers(b) {
		config := s.config()
		for _, f := range change {
			f(&config)
		}
		n, err := raftnode.Open(config)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = n.Close(ctx)
		})
		nodes = append(nodes, n)
	}
	for leader == nil {
		time.Sleep(time.Millisecond)
		for _, n := range nodes {
			if n.Leads() {
				leader = n
			}
		}
	}
	for _, n := range nodes {
		if n != leader {
			follower = n
		}
	}
	return leader, follower
}

func settle(b *testing.B, leader *raftnode.Node) {
	b.Helper()
	propose := func(bodies []fsm.Body) []fsm.Result {
		var commands [][]byte
		for _, body := range bodies {
			command, err := fsm.Encode(fsm.Command{Body: body})
			if err != nil {
				b.Fatal(err)
			}
			commands = append(commands, command)
		}
		outcomes, err := leader.Group().ProposeAll(context.Background(), commands)
		if err != nil {
			b.Fatal(err)
		}
		var results []fsm.Result
		for _, o := range outcomes {
			if o.Err != nil || o.Result.Verdict != placement.Done {
				b.Fatalf("%v, %v", o.Result.Verdict, o.Err)
			}
			results = append(results, o.Result)
		}
		return results
	}
	propose([]fsm.Body{&fsm.Join{Member: placement.Member{ID: "m", Address: "h:1", Kinds: []string{"cart"}}}})
	for at := 0; at < benchIdentities; at += 500 {
		var places, confirms []fsm.Body
		for n := at; n < at+500; n++ {
			places = append(places, &fsm.Place{Identity: placement.Identity{Kind: "cart", Key: benchKey(n)}})
		}
		for i, r := range propose(places) {
			id := placement.Identity{Kind: "cart", Key: benchKey(at + i)}
			confirms = append(confirms, &fsm.Confirm{Identity: id, Incarnation: r.Entry.Owner, Epoch: r.Entry.Epoch})
		}
		propose(confirms)
	}
}

func benchPing(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, struct{ io.Reader }{c}) // ends with the connection; no splice
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	load(b, 1, 1, func(int) error {
		var x [1]byte
		if _, err := c.Write(x[:]); err != nil {
			return err
		}
		_, err := io.ReadFull(c, x[:])
		return err
	})
}
