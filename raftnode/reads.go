package raftnode

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

// reads finds, for reads on any server, a log index that has everything that was acknowledged before they began
// (ReadIndex). The leader proves its tenure by a pulse; another server asks the leader. All reads that wait when a round
// begins share it, and one round is on its way at a time.
type reads struct {
	node *Node

	mu      sync.Mutex
	next    *round // the round that will begin; nil when nobody waits for one
	running bool
	closed  bool
}

// close lets no read begin any more.
func (r *reads) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

type round struct {
	done  chan struct{}
	index uint64
	err   error
}

const (
	// roundTimeout bounds one round: long enough for a slow disk, short enough to try the next leader.
	roundTimeout = 2 * time.Second
	readRetry    = 20 * time.Millisecond
)

// view returns a view that has everything that was acknowledged before the call. It tries until ctx ends: the error is
// then the last one's, or the context's.
func (r *reads) view(ctx context.Context) (*snapshot.View, error) {
	last := error(group.ErrNotLeader)
	for {
		index, err := r.index(ctx)
		if err == nil {
			return r.node.group().AwaitIndex(ctx, index)
		}
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			last = err
		}
		select {
		case <-time.After(readRetry):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-r.node.ctx.Done():
			return nil, group.ErrClosed
		}
	}
}

// index joins the round that begins next.
func (r *reads) index(ctx context.Context) (uint64, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return 0, group.ErrClosed
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
	}
	mine := r.next
	if !r.running {
		r.running = true
		r.node.tasks.Go(r.run)
	}
	r.mu.Unlock()
	select {
	case <-mine.done:
		return mine.index, mine.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// run makes rounds until nobody waits for one.
func (r *reads) run() {
	for {
		r.mu.Lock()
		now := r.next
		r.next = nil
		if now == nil {
			r.running = false
			r.mu.Unlock()
			return
		}
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(r.node.ctx, roundTimeout)
		began := r.node.config.Seams.Now()
		if now.index, now.err = r.ask(ctx); now.err == nil {
			r.node.group().Prove(now.index, began)
		}
		cancel()
		close(now.done)
	}
}

// ask asks whoever leads, this server or another.
func (r *reads) ask(ctx context.Context) (uint64, error) {
	g := r.node.group()
	if g == nil {
		return 0, errors.New("the server does not belong to a cluster yet")
	}
	if g.Tenure() != nil {
		p, err := g.Pulse(ctx, 0)
		return p.Index, err
	}
	name, _ := g.Leader()
	if name == "" || name == r.node.config.Name {
		return 0, group.ErrNotLeader
	}
	conn, err := r.node.peers.get(name)
	if err != nil {
		return 0, err
	}
	ctx, cancel := g.WhileLeads(ctx, name)
	defer cancel()
	resp, err := peerv1.NewPeerClient(conn).ReadIndex(ctx, &peerv1.ReadIndexRequest{})
	return resp.GetIndex(), err
}
