package raftnode

import (
	"context"
	"os"

	"github.com/seed13d31b7f/berth/placement"
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

// LeasedLookup looks an identity up under the server's read lease, as the API does; ok says whether it has one that serves.
func (n *Node) LeasedLookup(id placement.Identity) (e placement.Entry, ok bool) {
	v, l, now := backend{n}.Leased()
	if l == nil {
		return placement.Entry{}, false
	}
	e, _ = v.Lookup(id)
	return e, l.Left(now) > 0
}

// KeepMember renews the lease of a member, when this server leads.
func (n *Node) KeepMember(ctx context.Context, inc placement.Incarnation) {
	if d := n.driver(); d != nil {
		_, _ = d.Resume(ctx, inc)
	}
}
