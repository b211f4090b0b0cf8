package sim

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// faults has the faults of the plan come and go, each at its time, and returns when all are over.
func (w *world) faults(begin time.Time) {
	var all sync.WaitGroup
	for _, f := range w.Faults {
		all.Go(func() {
			time.Sleep(time.Until(begin.Add(f.At)))
			f = w.named(f)
			over := w.journal.fault(f)
			w.fault(f)
			over()
		})
	}
	all.Wait()
}

// named is a fault with the names of the servers that it is about as it begins.
func (w *world) named(f Fault) Fault {
	f.Hosts = slices.Clone(f.Hosts)
	for i := range f.Hosts {
		f.Hosts[i] = w.name(f.Hosts[i])
	}
	if side, ok := f.Side[leaderNow]; ok {
		f.Side = maps.Clone(f.Side)
		delete(f.Side, leaderNow)
		f.Side[w.name(leaderNow)] = side
	}
	return f
}

// fault has a fault come, and go.
func (w *world) fault(f Fault) {
	last := func() { time.Sleep(f.For) }
	var asked sync.WaitGroup
	defer asked.Wait()
	switch {
	case f.Read:
		w.readAll(f, &asked)
	case f.Kind == Deaf && f.Delay > 0:
		w.unheard(f, &asked)
	}
	if f.cutsOff() && f.Delay > 0 {
		w.slower(f.Hosts[0], f.Delay)
		time.Sleep(slowFor)
		w.slower(f.Hosts[0], -f.Delay)
	}
	switch f.Kind {
	case Partition:
		w.part(f.Side, true)
		last()
		w.part(f.Side, false)
	case OneWay:
		w.oneWay(func(server string) (from, to string) { return f.Hosts[0], server }, true)
		last()
		w.oneWay(func(server string) (from, to string) { return f.Hosts[0], server }, false)
	case Deaf:
		w.oneWay(func(server string) (from, to string) { return server, f.Hosts[0] }, true)
		last()
		w.oneWay(func(server string) (from, to string) { return server, f.Hosts[0] }, false)
	case Isolate:
		w.links.isolate(f.Hosts[0], w.all(), true)
		last()
		w.links.isolate(f.Hosts[0], w.all(), false)
	case Strand:
		w.links.isolate(f.Hosts[0], w.servers(), true)
		last()
		w.links.isolate(f.Hosts[0], w.servers(), false)
	case Kill, KillAll:
		w.killed(f)
	case Hold:
		w.mu.Lock()
		w.held[f.Hosts[0]] = time.Now().Add(f.For)
		w.mu.Unlock()
		last()
	case Reset:
		w.cluster.Network.Break(f.Hosts[0])
	case Slow:
		w.slower(f.Hosts[0], f.Delay)
		last()
		w.slower(f.Hosts[0], -f.Delay)
	case Lag:
		w.lags(f.Hosts[0], f.Delay)
		last()
		w.lags(f.Hosts[0], -f.Delay)
	case SlowDisk:
		w.disks[f.Hosts[0]].Add(int64(f.Delay))
		last()
		w.disks[f.Hosts[0]].Add(-int64(f.Delay))
	case Transfer:
		if len(f.Hosts) > 0 && f.Hosts[0] == w.leads() {
			return // it does already
		}
		c := w.caller("operator", "operator", "")
		c.transfer(f.Hosts...)
		_ = c.client.Close()
	case Replace:
		w.replace(f)
	case Crash:
		if w.crash(f.Hosts[0]) { // else it is another fault's
			last()
			w.revive(f.Hosts[0])
		}
	case Shuffle:
		w.shuffle(f)
	case Gather:
		w.gather(f)
	case Block, BlockIdentity:
		w.block(f)
	case Jump:
		w.jumped[f.Hosts[0]].Add(int64(f.Delay))
	}
}

// gather has the identities that are kept go to a member, those of now.
func (w *world) gather(f Fault) {
	c := w.caller("gatherer", "operator", "")
	defer func() { _ = c.client.Close() }()
	for n := range kept {
		id := identity(min(time.Duration(w.journal.now()), w.Length-1), n)
		ctx, cancel := context.WithTimeout(context.Background(), f.For/kept)
		if c.place(ctx, id) == nil {
			c.move(ctx, id, f.Hosts[0])
		}
		cancel()
	}
}

// shuffle has an identity go to a member, away from it, and there again. Few times: each move
// whose outcome is not known may come to something at any time later, and the search for an order has to try them all.
func (w *world) shuffle(f Fault) {
	c := w.caller("shuffler", "operator", "")
	defer func() { _ = c.client.Close() }()
	there := f.Hosts[0]
	others := slices.DeleteFunc(w.hosts("m", w.Members), func(m string) bool { return m == there })
	away := others[w.below(len(others))]
	id := identity(min(time.Duration(w.journal.now()), w.Length-1), kept+w.below(identities-kept))
	for _, to := range []string{there, away, there, away, there} {
		move, cancel := context.WithTimeout(context.Background(), f.For/5)
		c.move(move, id, to)
		cancel()
	}
}

// readAll has some read from a server, and no other, what changes, one look-up after the other until a fault ends.
func (w *world) readAll(f Fault, all *sync.WaitGroup) {
	over := time.Now().Add(f.lasts())
	for i := range 2 {
		c := w.caller(fmt.Sprint("close-", f.At.Milliseconds(), "-", i), f.Hosts[0], f.Hosts[0])
		all.Go(func() {
			for time.Now().Before(over) {
				ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
				_ = c.lookup(ctx, c.changing(), false)
				cancel()
				time.Sleep(c.below(50 * time.Millisecond))
			}
			_ = c.client.Close()
		})
	}
}

// unheard has some ask a server, and no other, for placements that nobody else asks for, from shortly before it hears nothing any more
// until shortly before that is over.
func (w *world) unheard(f Fault, asked *sync.WaitGroup) {
	over := time.Now().Add(f.lasts() - 500*time.Millisecond)
	for i := range 6 {
		name := fmt.Sprint("unheard-", f.At.Milliseconds(), "-", i)
		c := w.caller(name, f.Hosts[0], f.Hosts[0])
		at := f.lasts() - f.For - time.Duration(w.below(int(4*f.Delay)))
		asked.Go(func() {
			time.Sleep(at)
			ctx, cancel := context.WithDeadline(context.Background(), over)
			defer cancel()
			_ = c.place(ctx, placement.Identity{Kind: kinds[1], Key: name})
			_ = c.client.Close()
		})
	}
}

// part cuts all links between the two sides, or takes that away.
func (w *world) part(side map[string]int, cut bool) {
	for _, a := range w.all() {
		for _, b := range w.all() {
			if side[a] == 0 && side[b] == 1 {
				w.links.cut(a, b, cut)
				w.links.cut(b, a, cut)
			}
		}
	}
}

// oneWay cuts the links between each server and somebody else, in one direction, or takes that away.
func (w *world) oneWay(link func(server string) (from, to string), cut bool) {
	for _, s := range w.servers() {
		if from, to := link(s); from != to {
			w.links.cut(from, to, cut)
		}
	}
}

// killed ends servers and starts them again; one that does not run is another fault's.
func (w *world) killed(f Fault) {
	names := f.Hosts
	if f.Kind == KillAll {
		names = w.servers()
	}
	var each sync.WaitGroup
	for _, name := range names {
		each.Go(func() {
			s := w.server(name)
			if w.kill(s) {
				time.Sleep(f.For)
				if !w.isGone(name) {
					w.start(s)
				}
			}
		})
	}
	each.Wait()
}

func (w *world) lags(host string, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lag[host] += by
}

func (w *world) slower(host string, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow[host] += by
}
