package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

const (
	demoCallers = 4 // of each sort
	demoBefore  = time.Second
	demoAfter   = time.Second
)

// kill kills the leader under load, starts it again and waits until it takes part.
func (d *demo) kill(ctx context.Context) error {
	before, err := localcluster.Status(ctx, d.client)
	if err != nil {
		return err
	}
	leader := d.cluster.Server(before.Leader)
	if leader == nil {
		return fmt.Errorf("the leader, %q, is none of the servers", before.Leader)
	}
	d.result.Killed = leader.Name
	load := d.load(ctx)
	err = errors.Join(d.killUnderLoad(ctx, leader), load.end())
	if err != nil {
		return err
	}
	maps.Copy(d.placed, load.acknowledged)
	d.result.LongestLookup, d.result.LongestPlacement = load.lookups.longest.Seconds(), load.placements.longest.Seconds()
	d.result.PlacedDuringTheKill = len(load.acknowledged)
	d.say("   longest gap between two answers to one caller: lookups %v (of %d), placements %v (of %d)",
		load.lookups.longest.Round(time.Millisecond), load.lookups.n, load.placements.longest.Round(time.Millisecond), load.placements.n)
	return nil
}

func (d *demo) killUnderLoad(ctx context.Context, leader *localcluster.Process) error {
	if err := pause(ctx, demoBefore); err != nil {
		return err
	}
	d.say("   kill -9 %d  (%s, the leader)", leader.PID(), leader.Name)
	if err := leader.Kill(); err != nil {
		return err
	}
	killed := time.Now()
	next, err := d.awaitStatus(ctx, func(name string, reachable int) bool { return name != leader.Name && reachable >= 2 })
	if err != nil {
		return err
	}
	d.say("   %s leads after %v", next, time.Since(killed).Round(time.Millisecond))
	if err := pause(ctx, demoAfter); err != nil {
		return err
	}
	d.say("   start %s again, with the same command line", leader.Name)
	if err := d.cluster.Restart(leader); err != nil {
		return err
	}
	started := time.Now()
	if _, err := d.awaitStatus(ctx, func(_ string, reachable int) bool { return reachable == 3 }); err != nil {
		return err
	}
	d.say("   it takes part again after %v", time.Since(started).Round(time.Millisecond))
	return pause(ctx, demoAfter)
}

// awaitStatus waits until the leader and the number of servers that answer are as wanted.
func (d *demo) awaitStatus(ctx context.Context, good func(leader string, reachable int) bool) (leader string, err error) {
	for {
		resp, err := localcluster.Status(ctx, d.client)
		if err == nil {
			n := 0
			for _, s := range resp.Servers {
				if s.Reachable {
					n++
				}
			}
			if good(resp.Leader, n) {
				return resp.Leader, nil
			}
		}
		if perr := pause(ctx, 20*time.Millisecond); perr != nil {
			return "", errors.Join(perr, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// gaps measures the longest time that a caller was without an answer.
type gaps struct {
	n       int
	longest time.Duration
}

// load is lookups and placements that run.
type load struct {
	stop  context.CancelFunc
	tasks sync.WaitGroup

	mu           sync.Mutex
	lookups      gaps
	placements   gaps
	acknowledged map[placement.Identity]owner
	err          error
}

// load starts callers: each asks again as soon as it has its answer.
func (d *demo) load(ctx context.Context) *load {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{stop: cancel, acknowledged: map[placement.Identity]owner{}}
	known := slices.Collect(maps.Keys(d.placed))
	want := maps.Clone(d.placed)
	for i := range demoCallers {
		l.tasks.Go(func() {
			l.call(ctx, &l.lookups, func(n int) error { return l.lookup(ctx, d.client, known[(n*demoCallers+i)%len(known)], want) })
		})
		l.tasks.Go(func() {
			l.call(ctx, &l.placements, func(n int) error { return l.place(ctx, d.client, i, n) })
		})
	}
	return l
}

// call asks again and again. An error other than that of the cluster being away ends it: the client waits for a leader.
func (l *load) call(ctx context.Context, g *gaps, once func(n int) error) {
	last := time.Now()
	for n := 0; ; n++ {
		err := once(n)
		if ctx.Err() != nil {
			return
		}
		now := time.Now()
		l.mu.Lock()
		switch {
		case err == nil:
			g.n, g.longest = g.n+1, max(g.longest, now.Sub(last))
			last = now
		case !errors.Is(err, lookupclient.ErrUnavailable) && !errors.Is(err, lookupclient.ErrUnknown):
			l.err = errors.Join(l.err, err)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

func (l *load) lookup(ctx context.Context, c *lookupclient.Client, id placement.Identity, want map[placement.Identity]owner) error {
	p, err := c.Lookup(ctx, id)
	if err != nil {
		return err
	}
	if got := (owner{string(p.Member), uint64(p.Epoch)}); got != want[id] {
		return fmt.Errorf("%s was acknowledged as %v, and a lookup answered %v", id, want[id], got)
	}
	return nil
}

func (l *load) place(ctx context.Context, c *lookupclient.Client, caller, n int) error {
	id := placement.Identity{Kind: "file", Key: fmt.Sprintf("demo/%d/%d", caller, n)}
	p, _, err := c.Place(ctx, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[id] = owner{string(p.Member), uint64(p.Epoch)}
	return nil
}

// end stops the callers and returns what went wrong.
func (l *load) end() error {
	l.stop()
	l.tasks.Wait()
	return l.err
}
