package raftnode

import (
	"context"
	"os"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// SetExit has f called in the place of the end of the process, until the returned function is called.
func SetExit(f func(code int)) (reset func()) {
	exit = f
	return func() { exit = os.Exit }
}

// Group is the server's part in the Raft group; nil while it has none.
func (n *Node) Group() *group.Group { return n.group() }

// FreshView returns a view as a linearizable read gets it.
func (n *Node) FreshView(ctx context.Context) (*snapshot.View, error) { return n.reads.view(ctx) }

// FounderAddresses are where the servers that formed the cluster were then, when this one was among them.
func (n *Node) FounderAddresses() (list []string) {
	for _, f := range n.identity().Founders {
		list = append(list, f.Address)
	}
	return list
}

// Founders are the names of the servers that formed the cluster, when this one was among them.
func (n *Node) Founders() (names []string) {
	for _, f := range n.identity().Founders {
		names = append(names, f.Server)
	}
	return names
}
