package group_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// The benchmarks run in real time, over TCP, on the disk of the temporary directory. What they report is only good for
// comparison within one run: DESIGN.md, "Measured", has the ratios.

// BenchmarkCommands is the throughput of a group of three in one process, with a growing number of callers that each
// place an identity, confirm it, and take the next. Beside it are the library alone, given each command as an entry of its
// own, and the floor: what three disks and two connections allow to a program that does nothing else.
func BenchmarkCommands(b *testing.B) {
	var batcher *cluster3
	var library *library
	b.Cleanup(func() {
		if batcher != nil {
			batcher.close()
		}
		if library != nil {
			library.close()
		}
	})
	for _, callers := range []int{1, 64, 512, 4096} {
		b.Run(fmt.Sprintf("batcher/callers=%d", callers), func(b *testing.B) {
			if batcher == nil {
				batcher = newCluster3(b, make([]port.Network, 3))
				batcher.joinMembers(b)
			}
			l := batcher.leader(b, nil)
			before := l.group.Counters().Batches
			loadCommands(b, callers, l.group.Propose)
			b.ReportMetric(float64(l.group.Counters().Batches-before)/b.Elapsed().Seconds(), "entries/s")
		})
		b.Run(fmt.Sprintf("library/callers=%d", callers), func(b *testing.B) {
			if library == nil {
				library = newLibrary(b)
			}
			loadCommands(b, callers, library.propose)
		})
		b.Run(fmt.Sprintf("floor/callers=%d", callers), func(b *testing.B) { benchFloor(b, callers) })
	}
}

// commands is what one caller does.
type commands struct {
	placing placement.Identity
	confirm *fsm.Confirm
}

var identities atomic.Uint64 // so that no two callers ever place the same

func (c *commands) next() ([]byte, error) {
	if c.confirm != nil {
		return fsm.Encode(fsm.Command{Body: c.confirm})
	}
	n := identities.Add(1)
	c.placing = placement.Identity{Kind: "cart", Key: fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(n*2654435761), n)}
	return fsm.Encode(fsm.Command{Body: &fsm.Place{Identity: c.placing}})
}

func (c *commands) took(r fsm.Result) error {
	if r.Verdict != placement.Done {
		return fmt.Errorf("%v: %v", c.placing, r.Verdict)
	}
	if c.confirm != nil {
		c.confirm = nil
	} else {
		c.confirm = &fsm.Confirm{Identity: c.placing, Incarnation: r.Entry.Owner, Epoch: r.Entry.Epoch}
	}
	return nil
}

func loadCommands(b *testing.B, callers int, propose func(context.Context, []byte) (fsm.Result, error)) {
	state := make([]commands, callers)
	load(b, callers, "cmds/s", func(caller int) error {
		command, err := state[caller].next()
		if err != nil {
			return err
		}
		r, err := propose(context.Background(), command)
		if err != nil {
			return err
		}
		return state[caller].took(r)
	})
}

// load has callers do something b.N times between them, each one thing at a time, and reports how that went.
func load(b *testing.B, callers int, unit string, do func(caller int) error) {
	took := make([][]time.Duration, callers)
	var next atomic.Int64
	var tasks sync.WaitGroup
	b.ResetTimer()
	for i := range callers {
		tasks.Go(func() {
			for next.Add(1) <= int64(b.N) {
				begin := time.Now()
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(begin))
			}
		})
	}
	tasks.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
	all := slices.Concat(took...)
	reportPercentile(b, all, 50, time.Microsecond, "us")
	reportPercentile(b, all, 99, time.Microsecond, "us")
	b.ReportMetric(0, "ns/op")
}

func reportPercentile(b *testing.B, took []time.Duration, p int, unit time.Duration, name string) {
	if len(took) == 0 {
		return
	}
	d := percentile(took, p)
	if name = fmt.Sprintf("p%d-%s", p, name); p == 100 {
		name = "max" + name[len("p100"):]
	}
	b.ReportMetric(float64(d)/float64(unit), name)
}

// cluster3 is three groups on real disks.
type cluster3 struct {
	servers []*server
	address map[string]string
}

// server is one of them.
type server struct {
	name   string
	port   *port.Port
	data   *storage.Dir
	stores *storage.Stores
	group  *group.Group
}

// newCluster3 starts three groups, each on a network of its own; nil stands for TCP on the loopback interface. They are
// to be closed.
func newCluster3(b *testing.B, networks []port.Network) *cluster3 {
	b.Helper()
	c := &cluster3{address: map[string]string{}}
	names := []string{"s1", "s2", "s3"}
	for i, name := range names {
		s := &server{name: name}
		network, address := networks[i], "127.0.0.1:0"
		if network == nil {
			network = port.TCP{}
		} else {
			address = ":0"
		}
		must(b, func() (err error) { s.port, err = port.Open(network, address, &benchHost{c, s}); return err })
		s.port.Start()
		c.address[name] = s.port.Address().String()
		if n, ok := network.(interface{ Address(net.Addr) string }); ok {
			c.address[name] = n.Address(s.port.Address())
		}
		c.servers = append(c.servers, s)
	}
	begin := time.Now()
	for _, s := range c.servers {
		broken := func(err error) { panic(fmt.Sprint(s.name, ": ", err)) }
		guard := storage.NewGuard(group.LAN.Stall, broken)
		must(b, func() (err error) { s.data, err = storage.OpenDir(b.TempDir()); return err })
		must(b, func() (err error) {
			s.stores, err = s.data.OpenStores(storage.Identity{}, guard, hclog.NewNullLogger())
			return err
		})
		must(b, func() (err error) {
			s.group, err = group.Open(group.Config{
				Server: s.name, Cluster: "C", Seed: 1, Founders: names, Timing: group.LAN, MemberTTL: 5 * time.Second,
				Stores: s.stores, Stream: s.port.Raft(), CloseStreams: s.port.CloseStreams,
				Now:      func() lease.Instant { return lease.Instant(time.Since(begin)) },
				OnTenure: func(*group.Tenure, *group.Feed) {}, Stop: broken, Reopen: broken, Logger: hclog.NewNullLogger(),
			})
			return err
		})
	}
	return c
}

func must(b *testing.B, f func() error) {
	b.Helper()
	if err := f(); err != nil {
		b.Fatal(err)
	}
}

func (c *cluster3) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, s := range c.servers {
		_ = s.group.Close(ctx)
		_ = s.port.Close()
		_ = s.stores.Close()
		_ = s.data.Close()
	}
}

// leader waits for a server with a tenure, other than the given one.
func (c *cluster3) leader(b *testing.B, other *server) *server {
	b.Helper()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(time.Millisecond) {
		for _, s := range c.servers {
			if s != other && s.group.Tenure() != nil {
				return s
			}
		}
	}
	b.Fatal("no leader in a minute")
	return nil
}

const benchMembers = 16

func memberJoin(i int) []byte {
	m := placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "h:1", Kinds: []string{"cart"}}
	command, err := fsm.Encode(fsm.Command{Body: &fsm.Join{Member: m}})
	if err != nil {
		panic(err)
	}
	return command
}

func (c *cluster3) joinMembers(b *testing.B) {
	b.Helper()
	for i := range benchMembers {
		must(b, func() error {
			_, err := c.leader(b, nil).group.Propose(context.Background(), memberJoin(i))
			return err
		})
	}
}

type benchHost struct {
	c *cluster3
	s *server
}

func (h *benchHost) Self() port.Greeting {
	return port.Greeting{Cluster: "C", Server: h.s.name, Incarnation: h.s.name}
}
func (h *benchHost) Greet(port.Kind, *port.Greeting) port.Greeting { return h.Self() }
func (h *benchHost) Resolve(server string) (string, error) {
	if a := h.c.address[server]; a != "" {
		return a, nil
	}
	return "", errors.New("not there")
}
func (h *benchHost) Refused(*port.RefusedError) {}
func (h *benchHost) Garbage(net.Addr, error)    {}
