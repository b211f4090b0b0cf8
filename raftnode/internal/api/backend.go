package api

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Backend is the server whose API it is. Its methods are safe for concurrent use.
type Backend interface {
	// Self is what is fixed about the server.
	Self() Self
	// Cluster is the id of the cluster; empty while there is none.
	Cluster() string
	// Group is the server's part in the Raft group; nil while there is none.
	Group() *group.Group
	// Driver does the work of the server's tenure; nil while it has none.
	Driver() *leader.Driver
	// ReadView returns a view that has everything that was acknowledged before the call.
	ReadView(ctx context.Context) (*snapshot.View, error)
	// Leased returns the newest published state, and the read lease under which what is settled in it may be answered now,
	// nil for none; now is when the clock was read for that. It waits for nothing.
	Leased() (v *snapshot.View, l *group.ReadLease, now lease.Instant)
	// Looked counts a look-up by its path.
	Looked(Path)
	// Peer is a connection to another server.
	Peer(name string) (grpc.ClientConnInterface, error)
	// Quorum says whether a majority of the voters can be reached.
	Quorum(ctx context.Context) bool
	// RemoveServer takes a server out of the group, as its leader.
	RemoveServer(ctx context.Context, name string) error
	// Transfer hands the leadership to a voter, or to the one that is furthest.
	Transfer(ctx context.Context, to string) (string, error)
}

// Self is what is fixed about a server.
type Self struct {
	Name, Incarnation                     string
	RaftAddress, GRPCAddress, HTTPAddress string
	Version                               string
	Started                               time.Time
}
