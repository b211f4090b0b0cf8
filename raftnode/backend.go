package raftnode

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/raftnode/internal/api"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// backend is the Node as its API sees it.
type backend struct{ node *Node }

var _ api.Backend = backend{}

// Self is what is fixed about the server.
func (b backend) Self() api.Self {
	n := b.node
	return api.Self{
		Name: n.config.Name, Incarnation: n.identity().Incarnation, RaftAddress: n.raftAddress, GRPCAddress: n.grpcAddress,
		HTTPAddress: n.httpAddress, Version: n.config.Version, Started: n.started,
	}
}

// Cluster is the cluster's id.
func (b backend) Cluster() string { return b.node.Cluster() }

// Group is the server's part in the group.
func (b backend) Group() *group.Group { return b.node.group() }

// Driver does the work of the server's tenure.
func (b backend) Driver() *leader.Driver { return b.node.driver() }

// ReadView returns a view that has everything that was acknowledged before the call.
func (b backend) ReadView(ctx context.Context) (*snapshot.View, error) { return b.node.reads.view(ctx) }

// Leased is the newest state, and the lease that it may be read under.
func (b backend) Leased() (*snapshot.View, *group.ReadLease, lease.Instant) {
	g := b.node.group()
	if g == nil || b.node.config.NoReadLeases {
		return snapshot.Empty(), nil, 0
	}
	v, l, now := g.Leased()
	b.node.holding.want(now)
	if l == nil {
		b.node.holding.miss()
	}
	return v, l, now
}

// Looked counts a look-up.
func (b backend) Looked(p api.Path) { b.node.metrics.lookups[p].Inc() }

// Peer is a connection to another server.
func (b backend) Peer(name string) (grpc.ClientConnInterface, error) { return b.node.peers.get(name) }

// Quorum asks every voter whether it is there.
func (b backend) Quorum(ctx context.Context) bool {
	g := b.node.group()
	if g == nil {
		return false
	}
	voters, up := 0, atomic.Int64{}
	var tasks sync.WaitGroup
	for _, s := range g.Servers() {
		if !s.Voter {
			continue
		}
		voters++
		if s.Name == b.node.config.Name {
			up.Add(1)
			continue
		}
		tasks.Go(func() {
			address, err := b.node.Resolve(s.Name)
			if err != nil {
				return
			}
			if reply, err := b.node.port.Hello(ctx, address, nil); err == nil && reply.Server == s.Name {
				up.Add(1)
			}
		})
	}
	tasks.Wait()
	return int(up.Load()) > voters/2
}

// RemoveServer takes a server out of the group.
func (b backend) RemoveServer(ctx context.Context, name string) error {
	return b.node.removeServer(ctx, name)
}

// Transfer hands the leadership over.
func (b backend) Transfer(ctx context.Context, to string) (string, error) {
	n := b.node
	g := n.group()
	if g == nil || g.Tenure() == nil {
		return "", group.ErrNotLeader
	}
	candidates, err := n.candidates(ctx, g, to)
	if err != nil {
		return "", err
	}
	for _, name := range candidates {
		err = g.Transfer(ctx, name, func(ctx context.Context) (uint64, error) { return n.progress(ctx, name) })
		if err == nil {
			return awaitLeader(ctx, g, n.config.Name)
		}
	}
	return "", err
}

// awaitLeader is who leads once this server does not.
func awaitLeader(ctx context.Context, g *group.Group, self string) (string, error) {
	for {
		if name, _ := g.Leader(); name != "" && name != self {
			return name, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return "", fmt.Errorf("%w: nobody leads after the transfer yet", ctx.Err())
		}
	}
}

// candidates are the voters that may lead next, the furthest first; or the one that is named.
func (n *Node) candidates(ctx context.Context, g *group.Group, to string) ([]string, error) {
	type candidate struct {
		name  string
		index uint64
	}
	var list []candidate
	for _, s := range g.Servers() {
		if !s.Voter || s.Name == n.config.Name || to != "" && s.Name != to {
			continue
		}
		if index, err := n.progress(ctx, s.Name); err == nil {
			list = append(list, candidate{s.Name, index})
		}
	}
	if len(list) == 0 {
		if to != "" {
			return nil, fmt.Errorf("%q is no other voter that answers", to)
		}
		return nil, errors.New("no other voter answers")
	}
	slices.SortFunc(list, func(a, b candidate) int {
		if a.index != b.index {
			if a.index > b.index {
				return -1
			}
			return 1
		}
		return strings.Compare(a.name, b.name)
	})
	var names []string
	for _, c := range list {
		names = append(names, c.name)
	}
	return names, nil
}
