package workload

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
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
	config ClientsConfig
	pools  []*pool
	done   atomic.Int64 // operations that ended ok
	asked  atomic.Int64
}

// NewClients returns clients that have not begun.
func NewClients(c ClientsConfig) *Clients {
	w := &Clients{config: c}
	for i := range (c.Count + ClientsMax - 1) / ClientsMax {
		w.pools = append(w.pools, newPool(c.Kind, fmt.Sprintf("g%d", i+1), c.Identities))
	}
	return w
}

// Done is how many operations ended ok so far, and Asked how many were begun.
func (w *Clients) Done() int64 { return w.done.Load() }

// Asked is how many operations were begun so far.
func (w *Clients) Asked() int64 { return w.asked.Load() }

// Keys are the keys of all identities that were ever asked about.
func (w *Clients) Keys() []string {
	var list []string
	for _, p := range w.pools {
		list = append(list, p.keys()...)
	}
	return list
}

// Run has the clients ask until ctx ends, and waits until their last operations have. Errors are those of opening them.
func (w *Clients) Run(ctx context.Context) error {
	var all []*asker
	var errs []error
	for i := range w.config.Count {
		servers, server := w.config.Servers, ""
		if i%2 == 0 {
			one := servers[i/2%len(servers)]
			servers, server = []Server{one}, one.Name
		}
		client, err := open(servers, w.config.Dial)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, &asker{Clients: w, name: fmt.Sprintf("c%d", i+1), server: server, pool: w.pools[i/ClientsMax],
			client: client, api: apiv1.NewPlacementsClient(client.Conn()), seen: map[string]uint64{}, rng: rand.New(rand.NewPCG(w.config.Seed, uint64(i)))})
	}
	var group sync.WaitGroup
	if len(errs) == 0 {
		for _, a := range all {
			group.Go(func() { a.run(ctx) })
		}
	}
	group.Wait()
	for _, a := range all {
		errs = append(errs, a.client.Close())
	}
	return errors.Join(errs...)
}

// giveUpAfter is when a client gives an operation up that no server can be reached for.
const giveUpAfter = 300 * time.Millisecond

// open returns a client of some servers.
func open(servers []Server, dial func(ctx context.Context, network, address string) (net.Conn, error)) (*lookupclient.Client, error) {
	c := lookupclient.Config{GiveUpAfter: giveUpAfter}
	for _, s := range servers {
		c.Servers = append(c.Servers, s.Address)
	}
	if dial != nil {
		c.Dial = func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	}
	return lookupclient.Open(c)
}
