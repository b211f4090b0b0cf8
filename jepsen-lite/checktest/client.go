package checktest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// client asks one thing after the other.
type client struct {
	*world
	name string
	lock string          // that it holds
	held placement.Epoch // its token
	from int64           // since when it believes so
}

func identity(i int) placement.Identity {
	return placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}
}

// request is the name of an operation's request.
func (w *world) request(op uint64) (snapshot.RequestID, string) {
	var id snapshot.RequestID
	binary.BigEndian.PutUint64(id[8:], op)
	return id, ulid.ULID(id).String()
}

// call begins an operation.
func (c *client) call(x history.Call) uint64 {
	c.calls++
	c.op++
	x.Op, x.Client = c.op, c.name
	if x.F == history.Place || x.F == history.Remove || x.F == history.Acquire || x.F == history.Release {
		_, x.Request = c.request(c.op)
	}
	c.record(history.Event{Invoke: &x})
	return c.op
}

// answer gives an operation its answer, and goes on; now and then a change gets none, and the client goes on as another.
func (c *client) answer(a history.Answer, changes bool) {
	if changes && !c.final && c.rand.IntN(100) < c.Unknown {
		c.record(history.Event{Unknown: &history.Answer{Op: a.Op, Reason: "OUTCOME_UNKNOWN"}})
	} else {
		c.record(history.Event{OK: &a})
	}
	c.in(c.soon(100*us), c.next)
}

func (c *client) fail(op uint64, reason string) {
	c.record(history.Event{Fail: &history.Answer{Op: op, Reason: reason}})
	c.in(c.soon(100*us), c.next)
}

func proof(s *server, v *snapshot.View, role string) *history.Proof {
	return &history.Proof{Server: s.name, Role: role, Term: term, Index: v.Index}
}

// next has the client ask for something.
func (c *client) next() {
	if c.lock != "" {
		c.release()
		return
	}
	if c.done() {
		return
	}
	// Some identities are asked about at a time, and others later.
	at := min(c.calls*c.Identities/c.Ops, c.Identities-1)
	id := identity(max(0, at-c.rand.IntN(3)))
	switch n := c.rand.IntN(100); {
	case n < 60:
		c.lookup(id, c.servers[c.rand.IntN(len(c.servers))], history.Leased, false)
	case n < 80:
		c.place(id)
	case n < 88:
		c.remove(id)
	case n < 97:
		c.acquire(fmt.Sprintf("l%d", c.rand.IntN(2)))
	default:
		c.export(c.servers[c.rand.IntN(len(c.servers))])
	}
}

// lookup asks a server, which answers alone for what it sees settled, or asks the leader.
func (c *client) lookup(id placement.Identity, s *server, level string, final bool) {
	op := c.call(history.Call{F: history.Lookup, Identity: id.String(), Server: s.name, Level: level, Final: final})
	answer := func() {
		from, v, role := s, s.view, "follower"
		if e, _ := v.Lookup(id); e.Phase != placement.Settled || s == c.servers[0] {
			from, v, role = c.servers[0], c.view, "leader"
		}
		e, owner := v.Lookup(id)
		a := history.Answer{Op: op, Phase: history.Unsettled, Read: proof(from, v, role)}
		switch e.Phase {
		case placement.Settled:
			a.Phase, a.Member, a.Epoch, a.Incarnation = history.Settled, string(owner.ID), uint64(e.Epoch), uint64(e.Owner)
		case placement.Absent:
			a.Phase = history.Absent
			if op%2 == 0 {
				a.Read = nil // an error has no proof
			}
		}
		if final {
			c.now += us
			c.record(history.Event{OK: &a})
			return
		}
		c.in(c.soon(100*us), func() { c.answer(a, false) })
	}
	if final {
		answer()
		return
	}
	c.in(c.soon(100*us), answer)
}

// place proposes, has the owner activate, and waits until it is settled.
func (c *client) place(id placement.Identity) {
	op := c.call(history.Call{F: history.Place, Identity: id.String()})
	request, _ := c.request(op)
	var propose func()
	propose = func() {
		r := c.commit(&fsm.Place{Identity: id}, request)
		switch r.Verdict {
		case placement.Done:
			if m := c.of(r.Entry.Owner); m != nil {
				c.in(c.soon(100*us), func() { m.activate(id, r.Entry.Epoch) })
			}
			fallthrough
		case placement.Already:
			c.settle(op, id, r.Entry.Epoch, r.Verdict == placement.Done)
		case placement.Unsettled:
			c.await(func(v *snapshot.View) bool { e, _ := v.Lookup(id); return e.Phase != placement.Tombstone }, propose)
		default:
			c.fail(op, "NO_ELIGIBLE_MEMBER")
		}
	}
	c.in(c.soon(100*us), propose)
}

// settle waits for what a place has made or found.
func (c *client) settle(op uint64, id placement.Identity, epoch placement.Epoch, created bool) {
	seen := c.view
	c.await(func(v *snapshot.View) bool {
		e, _ := v.Lookup(id)
		seen = v
		return e.Epoch != epoch || e.Phase != placement.Pending
	}, func() {
		e, owner := seen.Lookup(id)
		if e.Epoch != epoch || e.Phase != placement.Settled {
			c.fail(op, "UNSETTLED") // it came to nothing
			return
		}
		c.answer(history.Answer{
			Op: op, Phase: history.Settled, Member: string(owner.ID), Incarnation: uint64(e.Owner), Epoch: uint64(epoch), Created: created, Read: proof(c.servers[0], seen, "leader"),
		}, true)
	})
}

// remove has the owner stop, and waits until nobody can see the placement.
func (c *client) remove(id placement.Identity) {
	op := c.call(history.Call{F: history.Remove, Identity: id.String()})
	request, _ := c.request(op)
	c.in(c.soon(100*us), func() {
		e, _ := c.view.Lookup(id)
		if e.Phase != placement.Settled {
			c.fail(op, "NOT_PLACED")
			return
		}
		epoch := e.Epoch
		c.commit(&fsm.Evict{Identity: id, Epoch: epoch}, request)
		if m := c.of(e.Owner); m != nil {
			c.in(c.soon(100*us), func() { m.stop(id, epoch) })
		}
		seen, gone := c.view, false
		c.await(func(v *snapshot.View) bool {
			e, _ := v.Lookup(id)
			seen, gone = v, gone || e.Phase != placement.Settled || e.Epoch != epoch
			return gone && (e.Phase == placement.Absent || e.Phase == placement.Pending || e.Epoch != epoch && e.Phase == placement.Settled)
		}, func() {
			c.answer(history.Answer{Op: op, Phase: history.Absent, Epoch: uint64(epoch), Read: proof(c.servers[0], seen, "leader")}, true)
		})
	})
}

// acquire asks for a lock and waits for it.
func (c *client) acquire(name string) {
	session := c.session[c.name]
	op := c.call(history.Call{F: history.Acquire, Lock: name, Session: uint64(session)})
	request, _ := c.request(op)
	c.in(c.soon(100*us), func() {
		r := c.commit(&fsm.AcquireLock{Name: name, Session: session, Mode: placement.LockExclusive, Wait: true}, request)
		if !r.Verdict.OK() {
			panic(fmt.Sprintf("checktest: acquire: %v", r.Verdict))
		}
		seen := c.view
		c.await(func(v *snapshot.View) bool { seen = v; _, held, ok := v.ClaimOf(session, name); return ok && held }, func() {
			c.lock, c.held, c.from = name, r.Token, c.now+1
			a := history.Answer{Op: op, Token: uint64(r.Token), Session: uint64(session), Held: true, Read: proof(c.servers[0], seen, "leader")}
			c.record(history.Event{OK: &a})
			c.in(c.soon(200*us), c.next)
		})
	})
}

// release gives the lock up.
func (c *client) release() {
	c.record(history.Event{Write: &history.Write{Resource: c.lock, Writer: c.name, Token: uint64(c.held), Accepted: true}})
	c.record(history.Event{Hold: &history.Hold{
		Lock: c.lock, Member: c.name, Epoch: uint64(c.held), Mode: history.Exclusive, From: c.from, To: max(c.from, c.now), Ended: true, Why: history.Released,
	}})
	session := c.session[c.name]
	op := c.call(history.Call{F: history.Release, Lock: c.lock, Session: uint64(session), Token: uint64(c.held)})
	request, _ := c.request(op)
	name := c.lock
	c.lock = ""
	c.in(c.soon(100*us), func() {
		c.commit(&fsm.ReleaseLock{Name: name, Session: session}, request)
		v := c.view
		c.in(c.soon(100*us), func() { c.answer(history.Answer{Op: op, Read: proof(c.servers[0], v, "leader")}, true) })
	})
}

// export saves the leader's state, through any server.
func (c *client) export(s *server) {
	op := c.call(history.Call{F: history.Export, Server: s.name})
	c.in(c.soon(100*us), func() {
		v := c.view
		h := fnv.New64a()
		if err := v.Encode(h); err != nil {
			panic(fmt.Sprintf("checktest: %v", err))
		}
		a := history.Answer{Op: op, Hash: fmt.Sprintf("%016x", h.Sum64()), Digest: replay.Digest(v.Digest()), Read: proof(s, v, "leader")}
		c.in(c.soon(100*us), func() { c.answer(a, false) })
	})
}

// once has one operation of a kind, after all others.
func (w *world) once(f history.F) {
	c := &client{world: w, name: "last"}
	call, a := history.Call{F: f}, history.Answer{Read: proof(w.servers[0], w.view, "leader")}
	id := placement.Identity{Kind: "cart", Key: "last"}
	if w.session[c.name] == 0 {
		w.session[c.name] = w.commit(&fsm.OpenSession{Session: placement.Session{TTL: 60e9, Holder: c.name}}, snapshot.RequestID{}).Session
	}
	session := w.session[c.name]
	switch f {
	case history.Place, history.Remove:
		call.Identity = id.String()
	case history.Acquire, history.Release:
		call.Lock, call.Session = "last", uint64(session)
		if _, _, held := w.view.ClaimOf(session, "last"); held && f == history.Release {
			claim, _, _ := w.view.ClaimOf(session, "last")
			call.Token = uint64(claim.Token)
		}
	}
	op := c.call(call)
	request, _ := w.request(op)
	w.now += us
	switch f {
	case history.Place:
		r := w.commit(&fsm.Place{Identity: id}, request)
		m := w.of(r.Entry.Owner)
		w.commit(&fsm.Confirm{Identity: id, Incarnation: m.inc, Epoch: r.Entry.Epoch}, snapshot.RequestID{})
		a.Phase, a.Member, a.Incarnation, a.Epoch, a.Created = history.Settled, m.name, uint64(m.inc), uint64(r.Entry.Epoch), true
	case history.Remove:
		e, _ := w.view.Lookup(id)
		w.commit(&fsm.Evict{Identity: id, Epoch: e.Epoch}, request)
		w.commit(&fsm.Release{Identity: id, Incarnation: e.Owner, Epoch: e.Epoch}, snapshot.RequestID{})
		for _, s := range w.servers {
			s.view = w.view
		}
		w.entry(fsm.AppendEntry(nil, fsm.Batch{Term: term, Barrier: w.barrier()}, nil))
		a.Phase, a.Epoch = history.Absent, uint64(e.Epoch)
	case history.Acquire:
		r := w.commit(&fsm.AcquireLock{Name: "last", Session: session, Mode: placement.LockExclusive}, request)
		a.Token, a.Session, a.Held = uint64(r.Token), uint64(session), true
	case history.Release:
		w.commit(&fsm.ReleaseLock{Name: "last", Session: session}, request)
	case history.Export:
		h := fnv.New64a()
		if err := w.view.Encode(h); err != nil {
			panic(fmt.Sprintf("checktest: %v", err))
		}
		a.Hash, a.Digest = fmt.Sprintf("%016x", h.Sum64()), replay.Digest(w.view.Digest())
	}
	for _, s := range w.servers {
		s.view = w.view
	}
	w.now += us
	a.Op, a.Read = op, proof(w.servers[0], w.view, "leader")
	w.record(history.Event{OK: &a})
}
