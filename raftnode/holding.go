package raftnode

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/peerv1"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// holding keeps this server's read lease while reads want it, and acknowledges removals. A leader needs neither: its own
// lease comes with each batch.
type holding struct {
	node   *Node
	wanted atomic.Int64  // the instant of the newest read that a lease could have served
	wake   chan struct{} // a read wants a lease that is not there

	mu     sync.Mutex
	holder *lease.Holder
	told   string // the refusal that was logged last
}

const (
	// holdIdle is how long a server keeps its lease when nobody reads. Without a reader nobody has to wait for it at a
	// removal, and an idle cluster writes nothing for it.
	holdIdle = time.Minute
	// holdLook is how often the clock is looked at: a small part of a lease.
	holdLook = 50 * time.Millisecond
	// holdRetry is how long it waits after a request that brought nothing, however many reads want a lease.
	holdRetry = 100 * time.Millisecond
	// holdTimeout bounds one request: then it is forgotten, and made again.
	holdTimeout = time.Second
	// ackTimeout bounds one acknowledgement. It is repeated with what is published by then.
	ackTimeout = 500 * time.Millisecond
)

func newHolding(n *Node) *holding {
	return &holding{node: n, wake: make(chan struct{}, 1), holder: lease.NewHolder(max(1, rand.Uint64()))}
}

// want is called by each read that a lease could serve, before it looks for one.
func (h *holding) want(now lease.Instant) { h.wanted.Store(int64(now)) }

// miss is called by a read that found no lease.
func (h *holding) miss() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run keeps the lease until ctx ends.
func (h *holding) run(ctx context.Context, g *group.Group) {
	tick := time.NewTicker(holdLook)
	defer tick.Stop()
	last := h.node.config.Seams.Now()
	for {
		select {
		case <-tick.C:
		case <-h.wake:
		case <-ctx.Done():
			return
		}
		now := h.node.config.Seams.Now()
		if now < last { // what was counted by this clock would last longer than it may
			h.node.config.Logger.Warn("the clock of leases went back", "by", last.Sub(now))
			g.Drop()
			h.forget()
		}
		last = now
		if h.due() && !h.ask(ctx, g) {
			select {
			case <-time.After(holdRetry):
			case <-ctx.Done():
			}
		}
	}
}

// due says whether to ask for a lease now.
func (h *holding) due() bool {
	wanted := lease.Instant(h.wanted.Load())
	now := h.node.config.Seams.Now()
	if wanted == 0 || now.Sub(wanted) > holdIdle {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.holder.Due(now)
}

// forget begins anew, after the clock went back: when to renew was counted by it.
func (h *holding) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.holder.Again()
	h.wanted.Store(int64(h.node.config.Seams.Now()))
}

// ask asks the leader for a lease, or for more of it, and says whether it got one.
func (h *holding) ask(ctx context.Context, g *group.Group) bool {
	leader, _ := g.Leader()
	if g.Tenure() != nil || leader == "" || leader == h.node.config.Name {
		return false
	}
	conn, err := h.node.peers.get(leader)
	if err != nil {
		return false
	}
	ctx, cancel := g.WhileLeads(ctx, leader)
	defer cancel()
	ctx, cancelTime := context.WithTimeout(ctx, holdTimeout)
	defer cancelTime()
	h.mu.Lock()
	asked := h.node.config.Seams.Now()
	nonce, ok := h.holder.Request(asked) // H1: the clock is read before the request is sent
	h.mu.Unlock()
	if !ok {
		return false
	}
	resp, err := peerv1.NewPeerClient(conn).Lease(ctx, &peerv1.LeaseRequest{
		Holder: h.holder.Incarnation(), Name: h.node.config.Name, Nonce: nonce, Index: g.View().Index,
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || resp.ReadLease == 0 {
		h.holder.GiveUp()
		if why := resp.GetRefusal(); err == nil && why != h.told {
			h.told = why
			h.node.config.Logger.Info("gets no read lease, and asks the leader at each look-up", "leader", leader, "reason", why)
		}
		return false
	}
	l, ok := h.holder.Granted(lease.Grant{Nonce: resp.Nonce, ReadLease: time.Duration(resp.ReadLease), Floor: resp.Floor})
	if !ok {
		return false
	}
	h.told = ""
	g.Hold(&group.ReadLease{Lease: l, By: leader, Term: resp.Term, Asked: asked})
	g.Prove(resp.Index, asked)
	return true
}

// acknowledge tells the leader of removals that this server has published, until ctx ends. While a message is on its way
// more of them come together, and the next one tells of all.
func (h *holding) acknowledge(ctx context.Context, g *group.Group) {
	for {
		select {
		case <-g.Removals():
		case <-ctx.Done():
			return
		}
		if g.Tenure() != nil || g.LeaseLeft() == 0 {
			continue // nobody waits for it
		}
		leader, _ := g.Leader()
		if leader == "" || leader == h.node.config.Name {
			continue
		}
		if conn, err := h.node.peers.get(leader); err == nil {
			ctx, cancel := context.WithTimeout(ctx, ackTimeout)
			// One that is lost is made up for by the next request for the lease, which says as much.
			_, _ = peerv1.NewPeerClient(conn).Ack(ctx, &peerv1.AckRequest{Holder: h.holder.Incarnation(), Index: g.View().Index})
			cancel()
		}
	}
}

// Lease grants a read lease, behind a proof of this server's tenure.
func (s *peerService) Lease(ctx context.Context, req *peerv1.LeaseRequest) (*peerv1.LeaseResponse, error) {
	g := s.node.group()
	if g == nil || req.Holder == 0 || req.Name == "" {
		return nil, errNoTenure
	}
	t := g.Tenure()
	if t == nil {
		return nil, errNoTenure
	}
	if s.node.config.readLease() == 0 {
		return &peerv1.LeaseResponse{Refusal: lease.NoLeases.String()}, nil
	}
	patience := min(keepalivePatience, s.node.config.readLease()/8)
	if !t.Holds(req.Holder) {
		patience = 0 // somebody waits for it
	}
	p, err := g.Pulse(ctx, patience)
	if err != nil {
		return nil, errNoTenure
	}
	grant, refusal := p.Tenure.Grant(lease.Request{Holder: req.Holder, Name: req.Name, Nonce: req.Nonce, Index: req.Index}, p, g.View())
	if d := s.node.driver(); d != nil {
		d.Acknowledged()
	}
	if refusal != lease.None {
		return &peerv1.LeaseResponse{Refusal: refusal.String()}, nil
	}
	return &peerv1.LeaseResponse{
		Nonce: grant.Nonce, ReadLease: uint64(grant.ReadLease), Floor: grant.Floor, Term: p.Tenure.Term, Index: p.Index,
	}, nil
}

// Ack notes what a holder has published.
func (s *peerService) Ack(_ context.Context, req *peerv1.AckRequest) (*peerv1.AckResponse, error) {
	g := s.node.group()
	if g == nil {
		return nil, errNoTenure
	}
	t := g.Tenure()
	if t == nil {
		return nil, errNoTenure
	}
	t.Ack(req.Holder, req.Index)
	if d := s.node.driver(); d != nil {
		d.Acknowledged()
	}
	return &peerv1.AckResponse{}, nil
}
