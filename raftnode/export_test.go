package raftnode

import (
	"context"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Group is the server's part in the Raft group; nil while it has none.
func (n *Node) Group() *group.Group { return n.group() }

// FreshView returns a view as a linearizable read gets it.
func (n *Node) FreshView(ctx context.Context) (*snapshot.View, error) { return n.reads.view(ctx) }
