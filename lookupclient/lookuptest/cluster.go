package lookuptest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// ServersMax is the largest number of servers.
const ServersMax = 7

// Config says what there is when a cluster starts. The zero value of a field is its default.
type Config struct {
	// Servers is how many servers there are. Default 3; 1 to ServersMax.
	Servers int
	// Members join one after the other. Address and Now need not be given.
	Members []lookupclient.MemberConfig
	// MemberTTL is how long a member's lease lasts. Default raftnode.MemberTTLDefault; at least a second.
	MemberTTL time.Duration
}

// Cluster is a running cluster. Its methods are called by one goroutine, but for Now, and end the test when what they do does not
// work. Everything ends with the test.
type Cluster struct {
	t       testing.TB
	begin   time.Time
	servers *raftnodetest.Cluster

	client  *lookupclient.Client
	clients []*lookupclient.Client
	members map[string]*lookupclient.Member
	closed  sync.Once

	hosts  []string
	cut    map[[2]string]bool // by the names in order
	paused map[string]bool
}

// Start starts a cluster, and waits until it has a leader and the members have joined. It ends with the test.
func Start(t testing.TB, c Config) *Cluster {
	t.Helper()
	if c.Servers == 0 {
		c.Servers = 3
	}
	if c.Servers < 1 || c.Servers > ServersMax {
		t.Fatalf("lookuptest: Servers %d: 1 to %d is allowed", c.Servers, ServersMax)
	}
	// Instants are small, and later than zero. Adding keeps what the clock is read by.
	x := &Cluster{t: t, begin: time.Now().Add(-time.Hour), members: map[string]*lookupclient.Member{}, cut: map[[2]string]bool{}, paused: map[string]bool{}}
	x.servers = raftnodetest.NewCluster(t, c.Servers, func(config *raftnode.Config) {
		config.Seams.Now = func() lease.Instant { return lease.Instant(x.Now()) }
		config.MemberTTL = c.MemberTTL
	})
	t.Cleanup(x.close)
	for _, s := range x.servers.Servers {
		x.hosts = append(x.hosts, s.Name)
	}
	x.WaitLeader()
	for _, m := range c.Members {
		x.Join(m)
	}
	return x
}

// close ends members, clients and servers.
func (c *Cluster) close() {
	c.closed.Do(func() {
		c.Heal()
		for _, m := range c.members {
			m.Close()
		}
		for _, x := range c.clients {
			_ = x.Close()
		}
		c.servers.Close()
	})
}

// Now is the cluster's clock. It is safe for concurrent use.
func (c *Cluster) Now() time.Duration { return time.Since(c.begin) }

// Servers are the names of all servers.
func (c *Cluster) Servers() (names []string) {
	for _, s := range c.servers.Servers {
		names = append(names, s.Name)
	}
	return names
}

// Config is what a client is opened with that knows all servers and is on the host of the given name.
func (c *Cluster) Config(host string) lookupclient.Config {
	config := lookupclient.Config{Dial: c.dial(host)}
	for _, s := range c.servers.Servers {
		config.Servers = append(config.Servers, s.Host+":7420")
	}
	return config
}

// dial makes connections from a host, which is new or not.
func (c *Cluster) dial(host string) func(context.Context, string) (net.Conn, error) {
	if !slices.Contains(c.hosts, host) {
		c.hosts = append(c.hosts, host)
		c.apply()
	}
	return c.servers.Network.Host(host).Dial
}

// Client returns a client on the host "client", always the same one. The cluster closes it.
func (c *Cluster) Client() *lookupclient.Client {
	if c.client == nil {
		c.client = c.NewClient("client")
	}
	return c.client
}

// NewClient returns another client, on the host of the given name. The cluster closes it.
func (c *Cluster) NewClient(host string) *lookupclient.Client {
	c.t.Helper()
	x, err := lookupclient.Open(c.Config(host))
	if err != nil {
		c.t.Fatalf("lookuptest: client on %s: %v", host, err)
	}
	c.clients = append(c.clients, x)
	return x
}

// patience bounds what the cluster waits for.
const patience = time.Minute

// Join joins a member, on a host of its name, and waits until it has. Address and Now need not be given. The cluster closes it.
func (c *Cluster) Join(config lookupclient.MemberConfig) *lookupclient.Member {
	c.t.Helper()
	name := string(config.Name)
	if config.Address == "" {
		config.Address = name + ":9000"
	}
	if config.Now == nil {
		config.Now = c.Now
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m, err := c.NewClient(name).Join(ctx, config)
	if err != nil {
		c.t.Fatalf("lookuptest: member %q: %v", name, err)
	}
	if old := c.members[name]; old != nil {
		old.Close()
	}
	c.members[name] = m
	return m
}

// Member returns a member that joined; nil when there is none of that name.
func (c *Cluster) Member(name string) *lookupclient.Member { return c.members[name] }

// server returns a server by its name.
func (c *Cluster) server(name string) *raftnodetest.Server {
	c.t.Helper()
	for _, s := range c.servers.Servers {
		if s.Name == name {
			return s
		}
	}
	c.t.Fatalf("lookuptest: %q is no server: there are %v", name, c.Servers())
	return nil
}

// WaitLeader waits for a server that leads, of those that run and are not paused, and returns its name.
func (c *Cluster) WaitLeader() string {
	c.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, s := range c.servers.Servers {
			if s.Node != nil && !c.paused[s.Name] && s.Node.Leads() {
				return s.Name
			}
		}
	}
	c.t.Fatalf("lookuptest: no server leads after %v", patience)
	return ""
}
