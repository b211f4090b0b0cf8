package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// locks are contended for at once, and for as long as identities are in use.
const locks = 2

// lockNow draws one of them.
func (c *caller) lockNow() string {
	return fmt.Sprintf("lock-%d-%d", time.Duration(c.w.journal.now())/useFor, c.random.IntN(locks))
}

// contend opens sessions, and acquires and releases locks until the context ends.
func (c *caller) contend(ctx context.Context) {
	clock := c.w.clock(c.name, c.host)
	for ctx.Err() == nil {
		s, err := c.client.OpenSession(ctx, lookupclient.SessionConfig{Holder: c.name, TTL: ttl, Now: clock})
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		for ctx.Err() == nil && s.Context().Err() == nil && c.hold(ctx, s) {
			c.think()
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = s.Close(end)
		cancel()
	}
}

// hampered says whether the caller, or the server that it asks, is cut off from most servers, or has slow links.
func (c *caller) hampered() bool {
	host := cmp.Or(c.server, c.host)
	c.w.mu.Lock()
	slow := c.w.slow[host] > 0
	c.w.mu.Unlock()
	return slow || c.w.links.alone(host, c.w.servers())
}

// hold acquires a lock, holds it for a while or as long as it may, and releases it. It says no when the lock may be the session's until
// that is closed: when the release failed, or the lock is refused to it.
func (c *caller) hold(ctx context.Context, s *lookupclient.Session) bool {
	call, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	name := c.lockNow()
	op := c.w.journal.Invoke(history.Call{Client: c.name, F: history.Acquire, Lock: name, Session: uint64(s.ID())})
	l, err := s.Acquire(call, name, lookupclient.LockOptions{})
	if err != nil {
		c.w.journal.Record(history.Event{Unknown: failed(op, err)})
		// A session that may not have given the lock up asks for it no more, and says that it holds it.
		return !errors.Is(err, lookupclient.ErrLockHeld)
	}
	if l.Check() != nil { // it is lost before it was used
		c.w.journal.Record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token), Held: true}})
		return true
	}
	over := c.w.believes(history.Hold{Lock: name, Member: c.name, Epoch: uint64(l.Token)})
	c.w.journal.Record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token), Held: true}})
	c.w.guard.write(c.w, name, c.name, uint64(l.Token))
	select {
	case <-time.After(c.below([]time.Duration{100 * time.Millisecond, 3 * time.Second}[c.random.IntN(2)])):
	case <-l.Context().Done():
	}
	for l.Check() == nil && c.hampered() { // who is not heard could not give it up
		time.Sleep(20 * time.Millisecond)
	}
	over(l.Context())
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	op = c.w.journal.Invoke(history.Call{Client: c.name, F: history.Release, Lock: name, Session: uint64(s.ID()), Token: uint64(l.Token)})
	if err := l.Release(end); err != nil {
		c.w.journal.Record(history.Event{Unknown: failed(op, err)})
		return false
	}
	c.w.journal.Record(history.Event{OK: &history.Answer{Op: op, Session: uint64(s.ID()), Token: uint64(l.Token)}})
	return true
}
