package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// ClientsConfig says who the clients are.
type ClientsConfig struct {
	// Count is how many there are.
	Count int
	// Servers are the names and gRPC addresses of the servers. Every other client asks one of them alone, so that each
	// server's answers are judged; the others choose as they like.
	Servers []Server
	// Members are the names to which identities are moved.
	Members []string
	// Kind is that of the identities, and Identities how many a group of ClientsMax clients asks about at a time.
	Kind       string
	Identities int
	// Readers has one more client for each server, which asks that one alone, looks up, and does nothing else.
	Readers bool
	// Stale has all look-ups take what the asked server has, however old, and be recorded as if they did not.
	Stale bool
	// Common is the clock of all histories of the run, when others ask in processes of their own (RunAsker): one client more asks about what those
	// ask about. Nil for none.
	Common func() int64
	// Every is how long a client rests between two operations, at the mean.
	Every time.Duration
	Seed  uint64
	// Dial is how they connect.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Recorder *history.Recorder
}

// Server is where a server is asked.
type Server struct{ Name, Address string }

// Clients are clients of the cluster. Begin them with Run.
type Clients struct {
	config  ClientsConfig
	pools   []identities
	done    atomic.Int64 // operations that ended ok
	asked   atomic.Int64
	streams atomic.Uint64 // of watchers, that were begun

	coverage coverage

	mu    sync.Mutex
	kept  map[string]bool // of a member: it owned what is kept there when that was looked at last
	saved struct {        // the newest state
		index uint64
		file  []byte
	}
}

// NewClients returns clients that have not begun.
func NewClients(c ClientsConfig) *Clients {
	w := &Clients{config: c, kept: map[string]bool{}}
	for i := range (c.Count + ClientsMax - 1) / ClientsMax {
		w.pools = append(w.pools, newPool(fmt.Sprintf("g%d", i+1), c.Identities))
	}
	return w
}

// Done is how many operations ended ok so far, and Asked how many were begun.
func (w *Clients) Done() int64 { return w.done.Load() }

// Asked is how many operations were begun so far.
func (w *Clients) Asked() int64 { return w.asked.Load() }

// Again has each kind of operation that ended ok so far be done again, soon, and Covered says whether each has ended ok that began since.
func (w *Clients) Again() { w.coverage.anew() }

// Covered says so; see Again.
func (w *Clients) Covered() bool { return len(w.coverage.rest()) == 0 }

// Kept says whether each member owned the identity that is kept there when that was looked at last.
func (w *Clients) Kept() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !slices.ContainsFunc(w.config.Members, func(m string) bool { return !w.kept[m] })
}

// Keys are the keys of all identities that were ever asked about.
func (w *Clients) Keys() []string {
	var list []string
	for _, p := range w.pools {
		list = append(list, p.keys()...)
	}
	if w.config.Common != nil {
		list = append(list, common{w.config.Common}.keys()...)
	}
	for _, m := range w.config.Members {
		list = append(list, keptKey(m))
	}
	return list
}

// Current are the keys of the identities that are asked about at the moment.
func (w *Clients) Current() []string {
	var list []string
	for _, p := range w.pools {
		list = append(list, p.current()...)
	}
	return list
}

// Run has the clients ask until ctx ends, and waits until their last operations have. Beside them, one for each member keeps an
// identity there, some only read when that is wanted, some watch, and one saves the state. Errors are those of opening them, and of a saved state that cannot be read.
func (w *Clients) Run(ctx context.Context) (err error) {
	var opened []*lookupclient.Client
	defer func() {
		for _, c := range opened {
			err = errors.Join(err, c.Close())
		}
	}()
	var errs []error
	client := func(servers ...Server) *lookupclient.Client {
		c, err := open(servers, w.config.Dial)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		opened = append(opened, c)
		return c
	}
	var all []func()
	for i := range w.config.Count {
		servers, server := w.config.Servers, ""
		if i%2 == 0 {
			one := servers[i/2%len(servers)]
			servers, server = []Server{one}, one.Name
		}
		if c := client(servers...); c != nil {
			a := w.asker(c, fmt.Sprintf("c%d", i+1), i)
			a.server, a.pool = server, w.pools[i/ClientsMax]
			all = append(all, func() { a.run(ctx) })
		}
	}
	if w.config.Common != nil {
		if c := client(w.config.Servers...); c != nil {
			a := w.asker(c, "common", 5*clientsOfOne)
			a.pool = common{w.config.Common}
			all = append(all, func() { a.run(ctx) })
		}
	}
	for i, m := range w.config.Members {
		if c := client(w.config.Servers...); c != nil {
			a := w.asker(c, "k-"+m, clientsOfOne+i)
			a.pool = w.pools[0]
			all = append(all, func() { a.keep(ctx, m) })
		}
	}
	if w.config.Readers {
		for i, s := range w.config.Servers {
			if c := client(s); c != nil {
				a := w.asker(c, "r-"+s.Name, 4*clientsOfOne+i)
				a.server, a.pool = s.Name, w.pools[0]
				all = append(all, func() { a.read(ctx) })
			}
		}
	}
	for i, x := range w.watchers(client) {
		x.rng = w.random(2*clientsOfOne + i)
		all = append(all, func() { x.run(ctx) })
	}
	e := &exporter{Clients: w, rng: w.random(3 * clientsOfOne)}
	for _, s := range w.config.Servers {
		if c := client(s); c != nil {
			e.servers = append(e.servers, saver{s.Name, c.Conn()})
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	var group sync.WaitGroup
	for _, run := range all {
		group.Go(run)
	}
	err = e.run(ctx)
	group.Wait()
	return err
}

// clientsOfOne is how many clients of one sort there may be: each has a source of its own for what it draws.
const clientsOfOne = 1000

func (w *Clients) random(n int) *rand.Rand { return rand.New(rand.NewPCG(w.config.Seed, uint64(n))) }

func (w *Clients) asker(c *lookupclient.Client, name string, n int) *asker {
	return &asker{Clients: w, name: name, client: c, api: apiv1.NewPlacementsClient(c.Conn()), seen: map[string]uint64{}, rng: w.random(n)}
}

// watchers are one for each server alone, one for all that begins with what there is, and one for all that wants but the kept
// identities.
func (w *Clients) watchers(client func(...Server) *lookupclient.Client) []*watcher {
	var list []*watcher
	add := func(config lookupclient.WatchConfig, servers ...Server) {
		if c := client(servers...); c != nil {
			list = append(list, &watcher{Clients: w, client: c, config: config})
		}
	}
	for _, s := range w.config.Servers {
		add(lookupclient.WatchConfig{}, s)
	}
	add(lookupclient.WatchConfig{Snapshot: true}, w.config.Servers...)
	add(lookupclient.WatchConfig{Kind: w.config.Kind, Prefix: keptKey("")}, w.config.Servers...)
	return list
}

// giveUpAfter is when a client gives an operation up that no server can be reached for.
const giveUpAfter = 300 * time.Millisecond

// open returns a client of some servers; of one, of that alone.
func open(servers []Server, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*lookupclient.Client, error) {
	c := lookupclient.Config{GiveUpAfter: giveUpAfter, ServersOnly: len(servers) == 1}
	for _, s := range servers {
		c.Servers = append(c.Servers, s.Address)
	}
	if dial != nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	}
	return lookupclient.Open(c)
}
