package leader

import (
	"context"
	"errors"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// ErrSessionOver: the session is over, or about to be expired.
var ErrSessionOver = errors.New("the session is over")

// lockWork is what a driver has to do about sessions and locks.
type lockWork struct {
	leases   *lease.Sessions
	delays   lease.Timers[claimKey] // lost claims that keep their places
	patience lease.Timers[claimKey] // claims that wait, and not for as long as their session lasts
	watches  map[claimKey]map[*ClaimWatch]struct{}
}

// claimKey names one claim to one lock.
type claimKey struct {
	name  string
	token placement.Epoch
}

func newLockWork() lockWork {
	return lockWork{leases: lease.NewSessions(), watches: map[claimKey]map[*ClaimWatch]struct{}{}}
}

// lookLocksLocked finds all there is to do in a view. What was known keeps its times; a lock-delay or a patience that is seen
// for the first time is counted from now, as in a new tenure.
func (d *Driver) lookLocksLocked(v *snapshot.View, now lease.Instant) {
	w := &d.mu.locks
	for s := range v.Sessions(0) {
		w.leases.Opened(s.ID, s.TTL, now)
	}
	for _, id := range w.leases.All() {
		if _, open := v.Session(id); !open {
			w.leases.Ended(id)
		}
	}
	var delays, patience lease.Timers[claimKey]
	keep := func(k claimKey, from *lease.Timers[claimKey], to *lease.Timers[claimKey], d time.Duration) {
		at, ok := from.At(k)
		if !ok {
			at = now.Add(d)
		}
		to.Set(k, at)
	}
	for l := range v.Locks("") {
		for c, held := range l.Claims() {
			k := claimKey{l.Name, c.Token}
			if c.Lost != placement.LockKept {
				keep(k, &w.delays, &delays, lease.Stretch(c.Delay))
			} else if !held && c.Patience > 0 {
				keep(k, &w.patience, &patience, c.Patience)
			}
		}
	}
	w.delays, w.patience = delays, patience
	for k := range w.watches {
		d.wakeClaimLocked(k)
	}
}

// noteLockLocked takes a change of a session or a lock in.
func (d *Driver) noteLockLocked(c *fsm.Change, now lease.Instant) {
	w := &d.mu.locks
	switch c.Type {
	case fsm.SessionOpened:
		if s, open := d.group.View().Session(c.Session); open {
			w.leases.Opened(s.ID, s.TTL, now)
		}
		return
	case fsm.SessionEnded:
		w.leases.Ended(c.Session)
		return
	}
	k, claim := claimKey{c.Lock.Name, c.Lock.Claim.Token}, &c.Lock.Claim
	w.patience.Drop(k)
	w.delays.Drop(k)
	switch {
	case c.Type == fsm.LockQueued && claim.Patience > 0:
		w.patience.Set(k, now.Add(claim.Patience))
	case c.Type == fsm.LockLost && claim.Lost != placement.LockKept && claim.Delay > 0:
		w.delays.Set(k, now.Add(lease.Stretch(claim.Delay)))
	}
	d.wakeClaimLocked(k)
}

// KeepSession answers a session's request for more time: the TTL, to be counted from when it asked, and those of its claims
// that were broken. Who takes the time has to take the losses too: a broken lock is free to others once every lease that was
// given without saying so is over. It fails with ErrSessionOver, and with the errors of a pulse.
func (d *Driver) KeepSession(ctx context.Context, id placement.SessionID) (ttl time.Duration, lost []snapshot.Lock, err error) {
	p, err := d.group.Pulse(ctx, d.config.Patience)
	if err != nil {
		return 0, nil, err
	}
	if p.Tenure != d.tenure {
		return 0, nil, group.ErrNotLeader // the tables of this driver are another tenure's
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	// Invariant: the view is loaded under the lock, so an expiry that was decided and noted is in it.
	v := d.group.View()
	s, open := v.Session(id)
	if open {
		d.mu.locks.leases.Opened(s.ID, s.TTL, p.T0) // its change may not have been read yet
	}
	if !d.mu.locks.leases.Answer(id, open, p.T0) {
		return 0, nil, ErrSessionOver
	}
	return s.TTL, lostLocks(v, id), nil
}

// lostLocks are the locks that a session lost while it lives.
func lostLocks(v *snapshot.View, id placement.SessionID) (lost []snapshot.Lock) {
	for name := range v.SessionLocks(id) {
		if c, _, _ := v.ClaimOf(id, name); c.Lost != placement.LockKept {
			l, _ := v.Lock(name)
			lost = append(lost, l)
		}
	}
	return lost
}

// SessionLeft is how long a session's lease may last at the longest, as far as this tenure knows. The session must be open.
func (d *Driver) SessionLeft(s placement.Session) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.locks.leases.Known(s.ID) {
		return lease.Stretch(s.TTL) // it was opened just now
	}
	return d.mu.locks.leases.Left(s.ID, d.config.Now())
}

// DelayLeft is how long a lost claim keeps its place at the longest, as far as this tenure knows.
func (d *Driver) DelayLeft(name string, c placement.Claim) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	at, ok := d.mu.locks.delays.At(claimKey{name, c.Token})
	if !ok {
		return lease.Stretch(c.Delay) // it was lost just now
	}
	return max(0, at.Sub(d.config.Now()))
}

// ClaimWatch tells when a claim may have changed. While there is one, somebody asks for the claim, and its patience does not
// end.
type ClaimWatch struct {
	// C has an element when the claim has changed since it was received from, or changes were lost.
	C       chan struct{}
	key     claimKey
	lingers bool // nobody asks
	joined  bool // another watch of the claim was made since it lingers
}

// WatchClaim watches a claim. Look at the state after making it and after each element of C, and call UnwatchClaim when it is not
// needed any more.
func (d *Driver) WatchClaim(name string, token placement.Epoch) *ClaimWatch {
	w := &ClaimWatch{C: make(chan struct{}, 1), key: claimKey{name, token}}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.mu.locks.watches[w.key]
	if all == nil {
		all = map[*ClaimWatch]struct{}{}
		d.mu.locks.watches[w.key] = all
	}
	for other := range all {
		other.joined = true
	}
	all[w] = struct{}{}
	return w
}

// LingerOnClaim says that whoever asked for a watch's claim has gone, and may come again.
func (d *Driver) LingerOnClaim(w *ClaimWatch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w.lingers, w.joined = true, false
}

// UnwatchClaim ends a watch. The claim's patience is counted from the end of the last one. It says whether the claim is to be left to others:
// one of them asks for it now, or has done so since the watch lingers. Ending a watch again does nothing.
func (d *Driver) UnwatchClaim(w *ClaimWatch) (left bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.mu.locks.watches[w.key]
	_, there := all[w]
	delete(all, w)
	left = w.lingers && w.joined
	for other := range all {
		left = left || !other.lingers
	}
	if !there || len(all) > 0 {
		return left
	}
	delete(d.mu.locks.watches, w.key)
	if _, waits := d.mu.locks.patience.At(w.key); waits {
		l, _ := d.group.View().Lock(w.key.name)
		if c, held, ok := l.Claim(w.key.token); ok && !held {
			d.mu.locks.patience.Set(w.key, d.config.Now().Add(c.Patience))
		}
	}
	return left
}

func (d *Driver) wakeClaimLocked(k claimKey) {
	for w := range d.mu.locks.watches[k] {
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}

// lockBatch is how many commands of one kind the driver proposes with one tick at most, so that many that are due together
// leave room in the queue.
const lockBatch = placement.BatchCommandsMax

// dueLocks is what is to be proposed about sessions and locks.
type dueLocks struct {
	sessions  []placement.SessionID
	delays    []claimKey
	withdrawn []claimKey
}

// dueLocks takes out what is due. Claims that somebody asks for stay.
func (d *Driver) dueLocks(now lease.Instant) (due dueLocks) {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &d.mu.locks
	due.sessions = append(w.leases.Expire(now, lockBatch), d.mu.again...)
	d.mu.again = nil
	due.delays = w.delays.Due(now, lockBatch)
	for _, k := range w.patience.Due(now, lockBatch) {
		if len(w.watches[k]) > 0 {
			w.patience.Set(k, now.Add(placement.LockPatienceMax)) // the end of the watch sets it anew
			continue
		}
		due.withdrawn = append(due.withdrawn, k)
	}
	return due
}

// proposeLocks proposes what is due. What fails is due again.
func (d *Driver) proposeLocks(ctx context.Context, due dueLocks) {
	v := d.group.View()
	retry := func(n int, outcomes []group.Outcome, err error, again func(i int, now lease.Instant)) {
		d.mu.Lock()
		defer d.mu.Unlock()
		for i := range n {
			if err != nil || outcomes[i].Err != nil {
				again(i, d.config.Now())
			}
		}
	}
	if len(due.sessions) > 0 {
		out, err := proposeEach(ctx, d.group, due.sessions, func(id placement.SessionID) fsm.Body { return &fsm.ExpireSession{Session: id} })
		retry(len(due.sessions), out, err, func(i int, _ lease.Instant) { d.mu.again = append(d.mu.again, due.sessions[i]) })
	}
	if len(due.delays) > 0 {
		out, err := proposeEach(ctx, d.group, due.delays, func(k claimKey) fsm.Body { return &fsm.EndLockDelay{Name: k.name, Token: k.token} })
		retry(len(due.delays), out, err, func(i int, now lease.Instant) { d.mu.locks.delays.Set(due.delays[i], now) })
	}
	if len(due.withdrawn) > 0 {
		out, err := proposeEach(ctx, d.group, due.withdrawn, func(k claimKey) fsm.Body {
			l, _ := v.Lock(k.name)
			c, _, _ := l.Claim(k.token)
			return &fsm.ReleaseLock{Name: k.name, Session: max(1, c.Session), Token: k.token, WaitingAlone: true}
		})
		retry(len(due.withdrawn), out, err, func(i int, now lease.Instant) { d.mu.locks.patience.Set(due.withdrawn[i], now) })
	}
}
