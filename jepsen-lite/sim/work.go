package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

const (
	// identities are in use at once, and for so long; then there are others. Few, so that clients meet at them.
	identities = 5
	useFor     = 15 * time.Second
	// thinking is how long a client waits between two calls, at most.
	thinking = 200 * time.Millisecond
)

// identity is one of those in use at a moment.
func identity(at time.Duration, n int) placement.Identity {
	return placement.Identity{Kind: kind, Key: fmt.Sprintf("%d-%d", at/useFor, n)}
}

// caller is a client at work.
type caller struct {
	w      *world
	name   string
	client *lookupclient.Client
	server string // the one that it asks, empty for any
	random *rand.Rand
}

// work places, looks up and removes until the context ends.
func (c *caller) work(ctx context.Context) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, time.Second+time.Duration(c.random.Int64N(int64(5*time.Second))))
		id := identity(min(time.Duration(c.w.journal.now()), c.w.Length-1), c.random.IntN(identities))
		switch n := c.random.IntN(20); {
		case n < 9:
			c.lookup(call, id, false)
		case n < 17:
			c.place(call, id)
		default:
			c.remove(call, id)
		}
		cancel()
		time.Sleep(time.Duration(c.random.Int64N(int64(thinking))))
	}
}

// answer is what an operation ended with.
func (c *caller) answer(op uint64, p lookupclient.Placement) *history.Answer {
	return &history.Answer{
		Op: op, Phase: history.Settled, Member: string(p.Member), Epoch: uint64(p.Epoch),
		Read: &history.Proof{Server: p.ServedBy, Level: []string{history.Leased, history.Leader, history.Stale}[p.Level], Index: p.Index},
	}
}

// failed is the answer of an operation with an error.
func failed(op uint64, err error) *history.Answer {
	a := &history.Answer{Op: op, Message: err.Error()}
	var e *lookupclient.Error
	if errors.As(err, &e) {
		a.Reason = string(e.Reason)
	}
	return a
}

func (c *caller) lookup(ctx context.Context, id placement.Identity, final bool) error {
	op := c.w.journal.invoke(history.Call{Client: c.name, F: history.Lookup, Identity: id.String(), Server: c.server, Final: final})
	p, err := c.client.Lookup(ctx, id)
	switch {
	case err == nil:
		c.w.journal.record(history.Event{OK: c.answer(op, p)})
	case errors.Is(err, lookupclient.ErrNotPlaced):
		c.w.journal.record(history.Event{OK: &history.Answer{Op: op, Phase: history.Absent}})
		err = nil
	default:
		c.w.journal.record(history.Event{Fail: failed(op, err)})
	}
	return err
}

func (c *caller) place(ctx context.Context, id placement.Identity) error {
	op := c.w.journal.invoke(history.Call{Client: c.name, F: history.Place, Identity: id.String()})
	p, created, err := c.client.Place(ctx, id)
	switch {
	case err == nil:
		a := c.answer(op, p)
		a.Created = created
		c.w.journal.record(history.Event{OK: a})
	case refused(err):
		c.w.journal.record(history.Event{Fail: failed(op, err)})
	default:
		c.w.journal.record(history.Event{Unknown: failed(op, err)})
	}
	return err
}

// refused says whether an error means that nothing was changed. What was placed and was not settled yet may be later.
func refused(err error) bool {
	return errors.Is(err, lookupclient.ErrUnavailable) || errors.Is(err, lookupclient.ErrOverloaded) || errors.Is(err, lookupclient.ErrInvalid)
}

func (c *caller) remove(ctx context.Context, id placement.Identity) {
	op := c.w.journal.invoke(history.Call{Client: c.name, F: history.Remove, Identity: id.String()})
	err := c.client.Remove(ctx, id, 0, nil)
	switch {
	case err == nil, errors.Is(err, lookupclient.ErrNotPlaced):
		c.w.journal.record(history.Event{OK: &history.Answer{Op: op, Phase: history.Absent}})
	default: // it may have been asked for
		c.w.journal.record(history.Event{Unknown: failed(op, err)})
	}
}

// lockName is what the lockers contend for.
const lockName = "lock"

// contend opens a session, and acquires and releases the lock until the context ends.
func (c *caller) contend(ctx context.Context) {
	for ctx.Err() == nil {
		s, err := c.client.OpenSession(ctx, lookupclient.SessionConfig{Holder: c.name, TTL: 5 * time.Second, Now: func() time.Duration { return skewed(c.w.Rates[c.name]) }})
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		for ctx.Err() == nil && s.Context().Err() == nil && c.hold(ctx, s) {
			time.Sleep(time.Duration(c.random.Int64N(int64(thinking))))
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = s.Close(end)
		cancel()
	}
}

// hold acquires the lock, holds it for a while or as long as it may, and releases it. It says no when the release failed: the
// lock is the session's then until that is closed.
func (c *caller) hold(ctx context.Context, s *lookupclient.Session) bool {
	call, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	asked := c.w.journal.now()
	op := c.w.journal.invoke(history.Call{Client: c.name, F: history.Acquire, Lock: lockName, Session: uint64(s.ID())})
	l, err := s.Acquire(call, lockName, lookupclient.LockOptions{})
	if err != nil {
		c.w.journal.record(history.Event{Unknown: failed(op, err)})
		return true
	}
	if l.Check() != nil { // it is lost before it was used
		c.w.journal.record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token), Held: true}})
		return true
	}
	c.w.locked.Store(asked)
	over := c.w.believes(history.Hold{Lock: lockName, Member: c.name, Epoch: uint64(l.Token)})
	c.w.journal.record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token), Held: true}})
	select {
	case <-time.After(time.Duration(c.random.Int64N(int64(3 * time.Second)))):
	case <-l.Context().Done():
	}
	over(l.Context())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	op = c.w.journal.invoke(history.Call{Client: c.name, F: history.Release, Lock: lockName, Session: uint64(s.ID()), Token: uint64(l.Token)})
	if err := l.Release(end); err != nil {
		c.w.journal.record(history.Event{Unknown: failed(op, err)})
		return false
	}
	c.w.journal.record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token)}})
	return true
}

// transfer hands the leadership over.
func (c *caller) transfer() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = apiv1.NewClusterClient(c.client.Conn()).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{})
}
