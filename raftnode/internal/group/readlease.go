package group

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// ReadLease is this server's right to answer settled reads by itself. It is never changed.
type ReadLease struct {
	lease.Lease
	// By is the server that granted it, this one for a leader's own, and Term its tenure's.
	By   string
	Term uint64
	// Asked is when it is counted from. A clock that shows less has gone back, and may not count it.
	Asked lease.Instant
}

// Left is how long the lease still lasts; nil has ended.
func (l *ReadLease) Left(now lease.Instant) time.Duration {
	if l == nil || now < l.Asked {
		return 0
	}
	return l.Lease.Left(now)
}

// Leased returns the newest published state, and the read lease under which what is settled in it may be answered now;
// the lease is nil when there is none that serves it. now is when the clock was read. The caller's request has arrived before the call (H3).
func (g *Group) Leased() (v *snapshot.View, l *ReadLease, now lease.Instant) {
	v, l = g.View(), g.lease.Load()
	now = g.config.Now()
	if l == nil || !l.Serves(v.Index, now) || now < l.Asked {
		return v, nil, now
	}
	return v, l, now
}

// ReadLease is the newest read lease of this server, which may be over; nil when it never had one.
func (g *Group) ReadLease() *ReadLease { return g.lease.Load() }

// LeaseLeft is how long this server's read lease still lasts; zero when it has none.
func (g *Group) LeaseLeft() time.Duration { return g.lease.Load().Left(g.config.Now()) }

// Drop ends this server's read lease: its clock cannot be believed.
func (g *Group) Drop() { g.lease.Store(nil) }

// Hold takes in what this server was granted (H2).
func (g *Group) Hold(l *ReadLease) { g.lease.Store(l) }

// proved takes in that a tenure of this server was proved: it renews the leader's own lease (S8).
func (g *Group) proved(p Pulse) {
	g.fresh.prove(p.Index, p.T0)
	own, ok := p.Tenure.own(p.T0)
	if !ok {
		return
	}
	next := &ReadLease{Lease: own, By: g.config.Server, Term: p.Tenure.Term, Asked: p.T0}
	for {
		old := g.lease.Load()
		if old != nil && old.Asked >= p.T0 && old.Left(g.config.Now()) > 0 { // pulses overlap, so their instants may come out of order
			return
		}
		if g.lease.CompareAndSwap(old, next) {
			return
		}
	}
}

// removed notes the newest removal of a state that is being published; a holder acknowledges it, and a leader remembers
// since when it waits.
func (g *Group) removed(index uint64) {
	g.newestRemoval.Store(index)
	select {
	case g.removals <- struct{}{}:
	default:
	}
	if t := g.leader.tenure(); t != nil {
		t.removed(index)
	}
}

// NewestRemoval is the log index of the newest removal that this server has published; zero when there was none since the
// group was opened.
func (g *Group) NewestRemoval() uint64 { return g.newestRemoval.Load() }

// Removals has a token when there may be a newer removal. There is one reader.
func (g *Group) Removals() <-chan struct{} { return g.removals }

// removalIn is the index of the newest removal that entries led to and that the barrier has not passed; zero when there is
// none. Without outputs the state came from a snapshot, and may hold removals up to its own index.
func removalIn(v *snapshot.View, outputs []*fsm.Output) uint64 {
	if v.OldestRemoval() == 0 {
		return 0
	}
	if len(outputs) == 0 {
		return v.Index
	}
	for _, out := range slices.Backward(outputs) {
		if slices.ContainsFunc(out.Changes, removes) {
			return out.Index
		}
	}
	return 0
}

func removes(c fsm.Change) bool {
	return c.Type == fsm.MemberEnded || c.Type == fsm.PlacementChanged && c.Entry.Phase == placement.Tombstone
}

// Age is how old the newest published state may be at most: it had everything that was acknowledged so long ago. ok is
// false when that is not known.
func (g *Group) Age(v *snapshot.View) (age time.Duration, ok bool) {
	return g.fresh.age(v.Index, g.config.Now())
}

// Prove notes that whoever has published the index has everything that was acknowledged before an instant of this
// server's clock.
func (g *Group) Prove(index uint64, at lease.Instant) { g.fresh.prove(index, at) }
