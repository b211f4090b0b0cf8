package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Tenure is one leadership of this server, from its committed Start on. It may be over without knowing it: whatever is
// promised in it follows a Pulse.
type Tenure struct {
	// Term names the tenure, Start is the log index of its beginning.
	Term, Start uint64
	// Begun is when this server learned that the Start is committed.
	Begun lease.Instant
	// View is the state as of the Start, or a little later. The tenure's feed begins behind it.
	View *snapshot.View

	ctx    context.Context
	cancel context.CancelCauseFunc
	now    func() lease.Instant

	mu    sync.Mutex
	last  lease.Instant // when the clock was read last
	lease *lease.Tenure
	pace  *lease.Pace

	newestRemoval uint64 // that was published
}

// clockLocked reads the clock. One that went back, which it never should, must not make anybody wait for as long.
func (t *Tenure) clockLocked() lease.Instant {
	now := t.now()
	if now < t.last {
		t.lease.Back(t.last.Sub(now))
		t.pace.Back(t.last.Sub(now))
	}
	t.last = now
	return now
}

// Context ends when the tenure is known to be over.
func (t *Tenure) Context() context.Context { return t.ctx }

// Barrier is the log index up to which removals are visible to everybody, given what this server has published.
func (t *Tenure) Barrier(v *snapshot.View) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clockLocked()
	t.pace.Note(v.Index, now)
	return t.lease.Barrier(now, v.Index, v.Term)
}

// Grant gives a holder a read lease, after a pulse of this tenure that was asked for behind the request (S4). One that is
// behind gets none, before a removal has to wait for it.
func (t *Tenure) Grant(r lease.Request, p Pulse, v *snapshot.View) (lease.Grant, lease.Refusal) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clockLocked()
	t.pace.Note(v.Index, now)
	if r.Index < t.pace.Due(now) {
		t.lease.Ack(r.Holder, r.Index, now)
		return lease.Grant{}, lease.Behind
	}
	return t.lease.Grant(r, min(p.T0, now), v.Index, now) // the clock may have gone back since
}

// Ack notes what a holder has published (S5).
func (t *Tenure) Ack(holder, index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease.Ack(holder, index, t.clockLocked())
}

// Holds says whether a holder may have a lease of this tenure.
func (t *Tenure) Holds(holder uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.lease.Holders(t.clockLocked()), func(r lease.Record) bool { return r.Holder == holder })
}

// Hold is what keeps the barrier back.
type Hold struct {
	// Server is the holder whose read lease does, Index what it has published as far as is known, and Left how long its lease
	// may still last. The server is empty when nobody's does, or when those of former leaders do.
	Server string
	Index  uint64
	Left   time.Duration
	// Waited is how long the oldest removal has waited that the barrier has not passed; zero when none does.
	Waited time.Duration
	// Former is how long the read leases that former leaders granted may still last.
	Former time.Duration
	// Holders is how many read leases there may be.
	Holders int
}

// Hold says what keeps the barrier back, given what this server has published.
func (t *Tenure) Hold(v *snapshot.View) Hold {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clockLocked()
	h := Hold{Waited: t.lease.OldestWait(now), Former: t.lease.WaitLeft(now), Holders: len(t.lease.Holders(now))}
	if r, ok := t.lease.HeldBy(v.Index, now); ok {
		h.Server, h.Index, h.Left = r.Name, r.Low, max(0, r.Until.Sub(now))
	}
	return h
}

// own is the leader's own read lease after a pulse (S8).
func (t *Tenure) own(t0 lease.Instant) (lease.Lease, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lease.Own(t0)
}

func (t *Tenure) removed(index uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lease.Removed(index, t.clockLocked())
	t.newestRemoval = max(t.newestRemoval, index)
}

// NewestRemoval is the log index of the newest removal that was published in this tenure; zero when there was none.
func (t *Tenure) NewestRemoval() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.newestRemoval
}

var errTenureOver = errors.New("the tenure is over")

// leader is the watcher of leadership: it begins tenures and ends them.
type leader struct {
	group *Group

	over  chan *Tenure // tenures that turned out to be over
	stuck time.Time    // since when Starts are refused for the sake of a transfer; zero when they are not

	mu      sync.Mutex
	current *Tenure
}

// startRetry is how long a leader waits before it proposes its Start again.
const startRetry = 20 * time.Millisecond

// run watches until ctx ends. Leadership is a hint: the library's channel keeps only its newest value, so that one who
// lost and won it again may see nothing, and a tenure that a batch found to be over is begun anew.
func (l *leader) run(ctx context.Context) {
	defer l.end(l.tenure(), ErrClosed)
	leading := false
	for {
		var retry <-chan time.Time
		if leading && l.tenure() == nil {
			retry = time.After(startRetry)
		}
		select {
		case leading = <-l.group.raft.LeaderCh():
			// Also when it was true already: leadership was lost in between, and another tenure has to begin.
			l.end(l.tenure(), errTenureOver)
			if leading {
				l.begin(ctx)
			}
		case t := <-l.over:
			if l.tenure() == t {
				l.end(t, errTenureOver)
			}
		case <-retry:
			if leading = l.group.raft.State() == raft.Leader; leading {
				l.begin(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *leader) tenure() *Tenure {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// lost is told that a tenure is over; it does not wait.
func (l *leader) lost(t *Tenure) {
	select {
	case l.over <- t:
	default: // one is on its way, and the hint of the library will come too
	}
}

// begin commits a Start and makes its tenure. When it fails nothing is begun; run tries again while there is leadership.
func (l *leader) begin(ctx context.Context) {
	g := l.group
	data := fsm.EncodeStart(fsm.Start{
		Server: g.config.Server, ReadLease: uint64(g.config.ReadLease), MemberTTL: uint64(g.config.MemberTTL),
		ClusterID: g.config.Cluster, Seed: g.config.Seed, Time: uint64(max(0, time.Now().UnixMilli())),
	})
	if !g.batcher.takeOff() {
		return
	}
	defer g.batcher.landed()
	future := g.raft.Apply(data, g.config.Timing.Election)
	if err := future.Error(); err != nil {
		l.refused(err)
		return
	}
	l.stuck = time.Time{}
	out, err := outputOf(future.Response())
	if err != nil || !out.Started {
		return
	}
	v := g.machine.view.Load()
	now := g.config.Now()
	t := &Tenure{
		pace: lease.NewPace(lease.GraceDefault), Term: out.Term, Start: out.Index, Begun: now, last: now, View: v, now: g.config.Now,
		lease: lease.Begin(lease.Started{
			Term: out.Term, Index: out.Index, Barrier: v.Barrier,
			FormerReadLease: time.Duration(out.FormerReadLease), MaxReadLease: time.Duration(v.Cluster.MaxReadLease), ReadLease: g.config.ReadLease,
		}, now),
	}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	l.mu.Lock()
	l.current = t
	l.mu.Unlock()
	if v := g.View(); v.OldestRemoval() != 0 {
		t.removed(v.Index)
	}
	feed := newFeed(v.Index)
	g.machine.feed.Store(feed)
	g.batcher.begin(t)
	g.config.OnTenure(t, feed)
}

// refused opens the group again when the library believes for too long that it transfers its leadership: then it refuses
// everything for good, even when it is elected again (hashicorp/raft#696).
func (l *leader) refused(err error) {
	if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		l.stuck = time.Time{}
		return
	}
	if l.stuck.IsZero() {
		l.stuck = time.Now()
	}
	if c := &l.group.config; time.Since(l.stuck) > 2*(c.Timing.Election+c.Timing.Transport) {
		c.Reopen(fmt.Errorf("a leadership transfer does not end: %w", err))
		l.stuck = time.Now()
	}
}

// end ends a tenure that may be nil.
func (l *leader) end(t *Tenure, cause error) {
	if t == nil {
		return
	}
	l.mu.Lock()
	if l.current != t {
		l.mu.Unlock()
		return
	}
	l.current = nil
	l.mu.Unlock()
	refusal := cause
	if errors.Is(cause, errTenureOver) {
		refusal = ErrNotLeader
	}
	l.group.batcher.end(t, refusal)
	l.group.machine.feed.Store(nil)
	t.cancel(cause)
}
