package raftnodetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Cluster is some servers on a network in memory, for tests in virtual time: make it, and close it, within a bubble of
// testing/synctest. Server number i is called s1, s2 …; its host has the same name.
type Cluster struct {
	// Network is what the servers are on. Clients have hosts of their own on it.
	Network *Network
	// Servers are the servers; one that is not running has a nil Node.
	Servers []*Server

	t      testing.TB
	change func(*raftnode.Config)
	conns  []*grpc.ClientConn
}

// Server is one server: what survives a restart, and what runs.
type Server struct {
	Name string
	Dir  string
	// Host is where it is on the network.
	Host string
	Node *raftnode.Node

	cluster *Cluster
}

// NewCluster starts n servers that form a cluster. change, unless it is nil, may change each server's Config before each
// of its starts.
func NewCluster(t testing.TB, n int, change func(*raftnode.Config)) *Cluster {
	t.Helper()
	c := &Cluster{Network: NewNetwork(), t: t, change: change}
	for i := range n {
		c.Add(fmt.Sprint("s", i+1))
	}
	for _, s := range c.Servers {
		s.Start()
	}
	return c
}

// Add adds a server that is not started.
func (c *Cluster) Add(name string) *Server {
	s := &Server{Name: name, Dir: c.t.TempDir(), Host: name, cluster: c}
	c.Servers = append(c.Servers, s)
	return s
}

// Config is what the server is started with.
func (s *Server) Config() raftnode.Config {
	config := raftnode.Config{
		Name: s.Name, DataDir: s.Dir, RaftAddress: s.Host + ":7421", GRPCAddress: s.Host + ":7420", HTTPAddress: s.Host + ":7422",
		Expect: len(s.cluster.Servers), Insecure: true,
		Seams: raftnode.Seams{Network: s.cluster.Network.Host(s.Host), Now: Now, KeepProcess: true},
	}
	for _, o := range s.cluster.Servers {
		config.Join = append(config.Join, o.Host+":7421")
	}
	if s.cluster.change != nil {
		s.cluster.change(&config)
	}
	return config
}

// epoch makes instants small; it is before any bubble's beginning.
var epoch = time.Unix(0, 0)

// Now is the clock of leases in virtual time.
func Now() lease.Instant { return lease.Instant(time.Since(epoch)) }

// TryStart starts the server.
func (s *Server) TryStart() error {
	n, err := raftnode.Open(s.Config())
	if err != nil {
		return err
	}
	s.Node = n
	return nil
}

// Start starts the server, which must work.
func (s *Server) Start() {
	s.cluster.t.Helper()
	if err := s.TryStart(); err != nil {
		s.cluster.t.Fatalf("start %s: %v", s.Name, err)
	}
}

// Stop closes the server in order.
func (s *Server) Stop() {
	if s.Node == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := s.Node.Close(ctx); err != nil {
		var refused *raftnode.RefusedError
		if !errors.As(err, &refused) {
			s.cluster.t.Errorf("close %s: %v", s.Name, err)
		}
	}
	s.Node = nil
}

// Kill ends the server as the end of its process would: its connections break at once, and nobody is told.
func (s *Server) Kill() {
	s.cluster.Network.Reset(s.Host)
	for _, o := range s.cluster.Servers {
		if o != s {
			s.cluster.Network.Cut(s.Host, o.Host, true)
			s.cluster.Network.Cut(o.Host, s.Host, true)
		}
	}
	s.Stop()
	for _, o := range s.cluster.Servers {
		s.cluster.Network.Cut(s.Host, o.Host, false)
		s.cluster.Network.Cut(o.Host, s.Host, false)
	}
}

// Isolate cuts the server off from the other servers, or heals it; clients reach it still.
func (s *Server) Isolate(cut bool) {
	for _, o := range s.cluster.Servers {
		if o != s {
			s.cluster.Network.Cut(s.Host, o.Host, cut)
			s.cluster.Network.Cut(o.Host, s.Host, cut)
		}
	}
}

// Close heals the network and closes everything.
func (c *Cluster) Close() {
	for _, s := range c.Servers {
		s.Isolate(false)
	}
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	for _, s := range c.Servers {
		s.Stop()
	}
}

// Leader waits, a minute at most, for a server that leads, other than the given one.
func (c *Cluster) Leader(other *Server) *Server {
	c.t.Helper()
	for range 60_000 {
		for _, s := range c.Servers {
			if s != other && s.Node != nil && s.Node.Leads() {
				return s
			}
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Fatal("no server leads after a minute")
	return nil
}

// Others are the servers that run, but for the given ones.
func (c *Cluster) Others(not ...*Server) (out []*Server) {
next:
	for _, s := range c.Servers {
		for _, x := range not {
			if s == x {
				continue next
			}
		}
		if s.Node != nil {
			out = append(out, s)
		}
	}
	return out
}

// Dial returns a gRPC connection from a client's host to a server. The cluster closes it.
func (c *Cluster) Dial(host string, s *Server) *grpc.ClientConn {
	c.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+s.Host+":7420", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, a string) (net.Conn, error) { return c.Network.Host(host).Dial(ctx, a) }))
	if err != nil {
		c.t.Fatal(err)
	}
	c.conns = append(c.conns, conn)
	return conn
}

// Save returns the cluster's state as a file holds it.
func (c *Cluster) Save() *snapshot.View {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := apiv1.NewSnapshotsClient(c.Dial("saver", c.Leader(nil))).Save(ctx, &apiv1.SaveRequest{})
	if err != nil {
		c.t.Fatal(err)
	}
	var b bytes.Buffer
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			c.t.Fatal(err)
		}
		b.Write(part.Data)
	}
	v, err := snapshot.Decode(&b)
	if err != nil {
		c.t.Fatal(err)
	}
	return v
}

// Restore kills all servers and starts them, at the same addresses, as another cluster: the first with the state, the
// others with empty disks. Sessions and locks are gone.
func (c *Cluster) Restore(v *snapshot.View) {
	c.t.Helper()
	c.restore(v, false)
}

// RestoreKeepingLocks is Restore that keeps sessions and locks.
func (c *Cluster) RestoreKeepingLocks(v *snapshot.View) {
	c.t.Helper()
	c.restore(v, true)
}

func (c *Cluster) restore(v *snapshot.View, keepLocks bool) {
	c.t.Helper()
	for _, s := range c.Servers {
		s.Kill()
		s.Dir = c.t.TempDir()
	}
	first := c.Servers[0]
	if _, err := raftnode.Restore(raftnode.RestoreConfig{Name: first.Name, DataDir: first.Dir, View: v, KeepLocks: keepLocks}); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range c.Servers {
		s.Start()
	}
}
