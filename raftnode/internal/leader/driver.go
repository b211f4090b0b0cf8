package leader

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Config is what a Driver is given beside its tenure.
type Config struct {
	// MemberTTL is the lease that a keepalive is answered with.
	MemberTTL time.Duration
	// Patience is how long a keepalive waits for a batch that goes anyway before it makes one.
	Patience time.Duration
	// ActivationTimeout is how long an owner may take to confirm, for kinds that do not say.
	ActivationTimeout time.Duration
	// Level is the newest feature level that this server understands; zero when it is not to be raised.
	Level uint32
	// Now reads the clock of leases.
	Now func() lease.Instant
}

// Proposer is what a Driver needs of the group.
type Proposer interface {
	View() *snapshot.View
	ProposeAll(ctx context.Context, commands [][]byte) ([]group.Outcome, error)
	Pulse(ctx context.Context, delay time.Duration) (group.Pulse, error)
	Servers() []group.Server
}

// Driver does the work of one tenure.
type Driver struct {
	config Config
	tenure *group.Tenure
	group  Proposer
	tasks  sync.WaitGroup

	acked   chan struct{} // a holder of a read lease has said something
	pushing atomic.Bool   // a batch for the barrier's sake is on its way
	told    atomic.Uint64 // the newest removal that a batch was made for
	drain   drain
	raising raising

	mu struct {
		sync.Mutex
		members  *lease.Members
		sessions map[placement.Incarnation]*Session
		open     map[placement.Identity]*open
		watches  map[placement.Identity]map[*Watch]struct{}
		failures map[placement.Identity][]Failure
		proposed map[placement.Incarnation]bool // ends that are on their way
		locks    lockWork
		again    []placement.SessionID          // sessions whose expiry has to be proposed again
		ended    map[placement.Incarnation]bool // an operator wants them to end: they are not kept any more
	}
}

// open is a placement that its owner has to do something about.
type open struct {
	owner  placement.Incarnation
	epoch  placement.Epoch
	stop   bool
	since  lease.Instant // when this driver learned of it
	failed bool          // its failure is on its way
}

// Failure is one candidate's failure to activate.
type Failure struct {
	Member placement.MemberID
	placement.Failure
	at lease.Instant
}

// New returns the driver of a tenure; Run starts it.
func New(t *group.Tenure, g Proposer, c Config) *Driver {
	d := &Driver{config: c, tenure: t, group: g, acked: make(chan struct{}, 1)}
	d.mu.sessions = map[placement.Incarnation]*Session{}
	d.mu.open = map[placement.Identity]*open{}
	d.mu.watches = map[placement.Identity]map[*Watch]struct{}{}
	d.mu.failures = map[placement.Identity][]Failure{}
	d.mu.proposed = map[placement.Incarnation]bool{}
	d.mu.locks = newLockWork()
	d.mu.ended = map[placement.Incarnation]bool{}
	var alive []placement.Incarnation
	for m := range t.View.Members() {
		if m.State.Alive() {
			alive = append(alive, m.Incarnation)
		}
	}
	d.mu.members = lease.NewMembers(t.Begun, time.Duration(t.View.Cluster.MaxMemberTTL), alive)
	d.lookLocksLocked(t.View, t.Begun) // nobody else knows of the driver yet
	return d
}

// Tenure is the tenure whose work it does.
func (d *Driver) Tenure() *group.Tenure { return d.tenure }

// Run works until the tenure ends.
func (d *Driver) Run(feed *group.Feed) {
	ctx := d.tenure.Context()
	d.look(d.tenure.View)
	d.tasks.Go(func() { d.watchClock(ctx) })
	for {
		d.pushBarrier(ctx)
		changes, view, gap, err := feed.Next(ctx)
		if err != nil {
			break
		}
		if gap {
			d.look(view)
		} else {
			d.note(changes)
		}
	}
	d.endSessions()
	d.tasks.Wait()
}

// look finds all there is to do in a view.
func (d *Driver) look(v *snapshot.View) {
	now := d.config.Now()
	d.drain.changed.Store(true)
	alive := map[placement.Incarnation]bool{}
	for m := range v.Members() {
		if m.State.Alive() {
			alive[m.Incarnation] = true
		}
	}
	found := map[placement.Identity]*open{}
	for p := range v.Placements() {
		if p.Entry.Phase == placement.Pending || p.Entry.Draining {
			found[p.Identity] = &open{owner: p.Entry.Owner, epoch: p.Entry.Epoch, stop: p.Entry.Draining, since: now}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for inc := range alive {
		d.mu.members.Joined(inc, now)
	}
	for _, inc := range d.mu.members.All() {
		if !alive[inc] {
			d.memberEndedLocked(inc)
		}
	}
	for id, o := range found {
		if was := d.mu.open[id]; was != nil && was.epoch == o.epoch && was.stop == o.stop {
			found[id] = was
		} else if s := d.mu.sessions[o.owner]; s != nil {
			s.add(Order{id, o.epoch, o.stop})
		}
	}
	d.mu.open = found
	d.lookLocksLocked(v, now)
	d.wakeAllLocked()
}

// note takes changes in.
func (d *Driver) note(changes []fsm.Change) {
	now := d.config.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range changes {
		c := &changes[i]
		switch c.Type {
		case fsm.MemberJoined:
			d.drain.changed.Store(true)
			d.mu.members.Joined(c.Member.Incarnation, now)
		case fsm.MemberChanged:
			d.drain.changed.Store(true)
		case fsm.MemberEnded:
			d.memberEndedLocked(c.Member.Incarnation)
		case fsm.PlacementChanged:
			delete(d.mu.open, c.Identity)
			next, none := c.Entry.Phase == placement.Pending && c.Entry.Attempt > 0, c.Entry.Phase == placement.Absent && c.Cause == fsm.CauseFail
			if !next && !none { // it is not about another candidate
				delete(d.mu.failures, c.Identity)
			}
			if c.Entry.Phase == placement.Pending || c.Entry.Draining {
				d.orderLocked(c.Identity, c.Entry, now)
			}
			d.wakeLocked(c.Identity)
		case fsm.RemovalsCompleted:
			d.wakeAllLocked()
		case fsm.SessionOpened, fsm.SessionEnded, fsm.LockQueued, fsm.LockGranted, fsm.LockReleased, fsm.LockLost:
			d.noteLockLocked(c, now)
		}
	}
}

// orderLocked notes what an owner has to do, and tells it when it is there.
func (d *Driver) orderLocked(id placement.Identity, e placement.Entry, now lease.Instant) {
	d.mu.open[id] = &open{owner: e.Owner, epoch: e.Epoch, stop: e.Draining, since: now}
	if s := d.mu.sessions[e.Owner]; s != nil {
		s.add(Order{id, e.Epoch, e.Draining})
	}
}

func (d *Driver) memberEndedLocked(inc placement.Incarnation) {
	d.mu.members.Ended(inc)
	d.drain.changed.Store(true)
	delete(d.mu.proposed, inc)
	delete(d.mu.ended, inc)
	if s := d.mu.sessions[inc]; s != nil {
		s.end(ErrGone)
	}
	for id, o := range d.mu.open {
		if o.owner == inc {
			delete(d.mu.open, id)
			delete(d.mu.failures, id)
		}
	}
	d.wakeAllLocked() // whoever waits for something that it owned
}

// Attach opens the session of an incarnation; one that it had before ends. Everything that the member has to do is
// ordered anew. It fails with ErrGone when the incarnation is not alive.
func (d *Driver) Attach(inc placement.Incarnation) (*Session, error) {
	if m := d.group.View().Incarnation(inc); m == nil || !m.State.Alive() {
		return nil, ErrGone
	}
	s := newSession(inc)
	d.mu.Lock()
	defer d.mu.Unlock()
	if old := d.mu.sessions[inc]; old != nil {
		old.end(ErrReplaced)
	}
	d.mu.sessions[inc] = s
	for id, o := range d.mu.open {
		if o.owner == inc {
			s.add(Order{id, o.epoch, o.stop})
		}
	}
	return s, nil
}

// Detach ends a session, unless it was replaced.
func (d *Driver) Detach(s *Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.sessions[s.Incarnation] == s {
		delete(d.mu.sessions, s.Incarnation)
	}
}

func (d *Driver) endSessions() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.mu.sessions {
		s.end(group.ErrNotLeader)
	}
}

// Keepalive answers a member's request for more time: the TTL, to be counted from when the member asked. Zero is no more
// time than it has: that is what a member gets from the entry on that blocked it, until it ends. It fails with ErrGone when the incarnation
// cannot be kept, and with the errors of a pulse.
func (d *Driver) Keepalive(ctx context.Context, inc placement.Incarnation) (time.Duration, error) {
	return d.keep(ctx, inc, d.config.Patience)
}

// Resume is Keepalive for a member that comes back: what it has to do waits for that, so the answer waits for nothing.
func (d *Driver) Resume(ctx context.Context, inc placement.Incarnation) (time.Duration, error) {
	return d.keep(ctx, inc, 0)
}

func (d *Driver) keep(ctx context.Context, inc placement.Incarnation, patience time.Duration) (time.Duration, error) {
	p, err := d.group.Pulse(ctx, patience)
	if err != nil {
		return 0, err
	}
	if p.Tenure != d.tenure {
		return 0, group.ErrNotLeader // the tables of this driver are another tenure's
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Invariant: the view is loaded under the lock. An expiry that was decided, carried out and noted would be forgotten
	// by the table, and must be in the view then.
	v := d.group.View()
	m := v.Incarnation(inc)
	if d.mu.ended[inc] {
		return 0, ErrGone
	}
	if m != nil && m.State.Barred() {
		return 0, nil
	}
	if !d.mu.members.Answer(inc, m != nil && m.State.Alive(), p.T0) {
		return 0, ErrGone
	}
	return d.config.MemberTTL, nil
}

// MemberTTL is the lease that members are granted.
func (d *Driver) MemberTTL() time.Duration { return d.config.MemberTTL }

// LeaseLeft is how long an incarnation's lease may last at the longest, as far as this tenure knows.
func (d *Driver) LeaseLeft(inc placement.Incarnation) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.members.Left(inc, d.config.Now())
}

// Attached says whether an incarnation has a session.
func (d *Driver) Attached(inc placement.Incarnation) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.sessions[inc] != nil
}

// failuresKept is how long the reasons of failures are kept for whoever asked for the placement. They are over when another placement
// begins, and when anything but a failure ends it: then another candidate may take the identity, and nobody is to be told that none may.
const failuresKept = 30 * time.Second

// Failed notes why an incarnation could not activate something.
func (d *Driver) Failed(id placement.Identity, inc placement.Incarnation, why placement.Failure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failureLocked(id, inc, why)
}

func (d *Driver) failureLocked(id placement.Identity, inc placement.Incarnation, why placement.Failure) {
	f := Failure{Failure: why, at: d.config.Now()}
	if m := d.group.View().Incarnation(inc); m != nil {
		f.Member = m.ID
	}
	list := append(d.mu.failures[id], f)
	d.mu.failures[id] = list[max(0, len(list)-placement.AttemptsMax):]
}

// Failures returns why candidates for an identity failed lately, in one placement: the one that goes on, or the newest, which came to nothing.
func (d *Driver) Failures(id placement.Identity) []Failure {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.mu.failures[id])
}

// Acknowledged is called when a holder of a read lease has said what it has published: the barrier may move.
func (d *Driver) Acknowledged() {
	select {
	case d.acked <- struct{}{}:
	default:
	}
}

// pushBarrier makes a batch when the barrier may pass a removal that it has not passed yet. While holders of read leases keep
// it back it makes one for each removal that is new: an entry says what is committed before it, so they publish the removal and
// acknowledge it at once, and not after the next heartbeat.
func (d *Driver) pushBarrier(ctx context.Context) {
	v := d.group.View()
	oldest, newest := v.OldestRemoval(), d.tenure.NewestRemoval()
	if oldest == 0 || d.tenure.Barrier(v) < oldest && newest <= d.told.Load() || !d.pushing.CompareAndSwap(false, true) {
		return
	}
	d.told.Store(newest)
	d.tasks.Go(func() {
		_, err := d.group.Pulse(ctx, 0)
		d.pushing.Store(false)
		if err == nil {
			d.pushBarrier(ctx) // for what was removed meanwhile
		}
	})
}
