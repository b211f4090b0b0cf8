package group

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Server is one server of the group's configuration.
type Server struct {
	Name  string
	Voter bool
}

// Servers are the servers of the newest configuration that this server knows.
func (g *Group) Servers() []Server {
	var out []Server
	f := g.raft.GetConfiguration() // from memory: its future is done
	for _, s := range f.Configuration().Servers {
		out = append(out, Server{Name: string(s.ID), Voter: s.Suffrage == raft.Voter})
	}
	return out
}

// AddServer adds a server that takes part without a vote. Promote gives it one when it has caught up; a blank server
// with a vote could stall the group.
func (g *Group) AddServer(ctx context.Context, name string) error {
	return g.change(ctx, func(d time.Duration) raft.IndexFuture {
		return g.raft.AddNonvoter(raft.ServerID(name), raft.ServerAddress(name), 0, d)
	})
}

// Promote gives a server a vote.
func (g *Group) Promote(ctx context.Context, name string) error {
	return g.change(ctx, func(d time.Duration) raft.IndexFuture {
		return g.raft.AddVoter(raft.ServerID(name), raft.ServerAddress(name), 0, d)
	})
}

// RemoveServer takes a server out of the group. The leader must not remove itself: it transfers its leadership first.
func (g *Group) RemoveServer(ctx context.Context, name string) error {
	if name == g.config.Server {
		return errors.New("the leader does not remove itself")
	}
	return g.change(ctx, func(d time.Duration) raft.IndexFuture {
		return g.raft.RemoveServer(raft.ServerID(name), 0, d)
	})
}

// change makes one change of the configuration in the current tenure.
func (g *Group) change(ctx context.Context, f func(time.Duration) raft.IndexFuture) error {
	t := g.Tenure()
	if t == nil || !g.batcher.takeOff() {
		return ErrNotLeader
	}
	defer g.batcher.landed()
	d := g.config.Timing.Transport
	if at, ok := ctx.Deadline(); ok {
		d = min(d, time.Until(at))
	}
	err := f(max(d, time.Millisecond)).Error()
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrEnqueueTimeout), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	case err != nil:
		return &UnknownError{Term: t.Term, Err: err}
	}
	return nil
}

// transfers remembers which transfers were tried: two to a server that does not answer leave the library refusing all
// writes for good, even when it is elected again (hashicorp/raft#696).
type transfers struct {
	mu    sync.Mutex
	term  uint64
	tried map[string]bool
}

// first says whether it is the first transfer to the server in the term.
func (t *transfers) first(term uint64, server string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.term != term || t.tried == nil {
		t.term, t.tried = term, map[string]bool{}
	}
	if t.tried[server] {
		return false
	}
	t.tried[server] = true
	return true
}

// Transfer hands leadership to a voter. progress asks that server how far it has come: nothing is begun unless it has
// every entry. While the transfer lasts, commands wait. It fails with ErrNotLeader when this server does not lead.
func (g *Group) Transfer(ctx context.Context, server string, progress func(context.Context) (uint64, error)) error {
	t := g.Tenure()
	if t == nil {
		return ErrNotLeader
	}
	pulse, err := g.Pulse(ctx, 0) // an entry that the server must get
	if err != nil {
		return err
	}
	if err := g.batcher.drained(ctx); err != nil {
		g.batcher.resume()
		return err
	}
	defer g.batcher.resume()
	if err := g.caughtUp(ctx, max(pulse.Index, g.View().Index), progress); err != nil {
		return fmt.Errorf("%s is not ready to lead: %w", server, err)
	}
	if !g.transfers.first(t.Term, server) {
		return fmt.Errorf("leadership was to be transferred to %s in this term before", server)
	}
	return g.transfer(ctx, t, server)
}

func (g *Group) caughtUp(ctx context.Context, index uint64, progress func(context.Context) (uint64, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, g.config.Timing.Election, errors.New("it does not keep up"))
	defer cancel()
	for {
		at, err := progress(ctx)
		if err != nil {
			return err
		}
		if at >= index {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// transfer waits for the library's transfer, which bounds itself by the election timeout and one message, and opens the
// group again when it is stuck.
func (g *Group) transfer(ctx context.Context, t *Tenure, server string) error {
	if !g.batcher.takeOff() {
		return ErrClosed
	}
	done := make(chan error, 1)
	future := g.raft.LeadershipTransferToServer(raft.ServerID(server), raft.ServerAddress(server))
	g.tasks.Go(func() {
		defer g.batcher.landed()
		done <- future.Error()
	})
	stuck := 2 * (g.config.Timing.Election + g.config.Timing.Transport)
	select {
	case err := <-done:
		return err
	case <-t.ctx.Done(): // it leads no more, to whomever the leadership went
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(stuck):
		err := fmt.Errorf("a leadership transfer is stuck for %v", stuck)
		g.config.Reopen(err)
		return err
	}
}
