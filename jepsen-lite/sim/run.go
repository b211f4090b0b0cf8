package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/judge"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Outcome is what became of a run.
type Outcome struct {
	// Found is what breaks a promise, a line each.
	Found []string
	// Trace is the hash of all that happened: each operation, each belief, each of the network's messages with its moment, and how
	// often chance was asked.
	Trace string
	// History is what was noted.
	History *history.History
	// Lived is how long the run lasted in virtual time.
	Lived time.Duration

	events  []history.Event
	err     error                     // of the test itself
	logs    map[string][]replay.Entry // of the servers, by name
	logsErr error                     // why they cannot be read
}

// realLimit is how long a run may take by the true clock: where goroutines keep each other busy, virtual time stands still.
const realLimit = 5 * time.Minute

// closing is how long servers and members may take to end, by virtual time.
const closing = 30 * time.Second

// Run runs a plan in a bubble of its own.
func Run(t *testing.T, p Plan) *Outcome {
	t.Helper()
	watchdog := time.AfterFunc(realLimit, func() { panic(fmt.Sprintf("seed %d goes on after %v", p.Seed, realLimit)) })
	defer watchdog.Stop()
	if seeded != nil {
		seeded(true, p.Seed)
	}
	out := &Outcome{}
	var trace func(uint64) string
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p)
		work := []string{check.WorkLookup, check.WorkActivation, check.WorkLock, check.WorkWatch, check.WorkExport}
		if p.hasBlocks() {
			work = append(work, check.WorkBlock)
		}
		w.journal.Record(history.Event{Run: &history.Run{
			Format: history.Format, Scenario: "sim", Seed: p.Seed, Tier: 1, Workload: work,
			Servers: p.hosts("s", p.Servers), Members: p.hosts("m", p.Members), Bounds: history.Bounds{Progress: int64(2 * progress)},
		}})
		w.run()
		out.Lived = time.Duration(w.journal.now())
		w.phase(history.PhaseTeardown)
		// What is broken may not come to its end: then this is all that is known of it.
		stuck := time.AfterFunc(closing, func() {
			panic(fmt.Sprintf("seed %d: %v after they were told to, not all servers have ended; before that: %q", p.Seed, closing, w.found))
		})
		w.close()
		stuck.Stop()
		// A goroutine that is left behind has no bubble to go on in: the run fails, and not by its history.
		w.journal.Record(history.Event{Leaks: &history.Leaks{}})
		w.journal.Record(history.Event{End: &history.End{}})
		out.Found, out.events, out.err = w.found, w.journal.events, w.journal.err
		out.logs, out.logsErr = w.logs()
		trace = w.journal.hash
	})
	var state uint64
	if seeded != nil {
		state = seeded(false, 0)
		debug.SetGCPercent(100)
	}
	out.Trace = trace(state)
	out.check(t)
	return out
}

// Lines is the history as a file has it.
func (o *Outcome) Lines() ([]byte, error) {
	var b []byte
	for i := range o.events {
		var err error
		if b, err = history.Append(b, &o.events[i]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// check judges the history.
func (o *Outcome) check(t *testing.T) {
	t.Helper()
	h, err := history.FromEvents(o.events)
	if err == nil {
		err = o.err
	}
	if err != nil {
		t.Fatal(err)
	}
	o.History = h
	options := check.Options{LogErr: o.logsErr}
	if o.logsErr == nil {
		options.Log, options.LogErr = judge.Timeline(h, o.logs)
	}
	for _, r := range check.Run(h, options).Checkers {
		if r.Valid == check.False || r.Valid == check.Unknown {
			o.Found = append(o.Found, fmt.Sprintf("%s: %s: %s %s (operations %v)", r.Checker, r.Valid, r.Subject, r.Why, r.Ops))
		}
	}
}

// run is the life of the world: it comes to be, there are work and faults, everything heals, and everything is read again.
func (w *world) run() {
	w.phase(history.PhaseSteady)
	w.setKinds()
	for _, m := range w.hosts("m", w.Members) {
		w.revive(m)
	}
	begin := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	w.crew = &crew{ctx: ctx}
	begins, all := w.crew.begins, &w.crew.all
	for _, name := range w.hosts("c", w.Clients) {
		begins(w.caller(name, name, ""), (*caller).work)
	}
	for _, name := range w.hosts("l", w.Lockers) {
		begins(w.caller(name, name, ""), (*caller).contend)
	}
	begins(w.caller("watching", "c1", ""), (*caller).watching)
	for _, s := range w.hosts("s", w.Servers) {
		// Beside each server there are some who ask it alone, whoever is cut off from whom: what it answers by itself is seen, and
		// where there is a majority things go on at once. One of them reads and does nothing else, since changes have to wait.
		begins(w.caller("beside-"+s, s, s), (*caller).work)
		begins(w.caller("reader-"+s, s, s), (*caller).read)
		begins(w.caller("locker-"+s, s, s), (*caller).contend)
		all.Go(func() { w.watch(ctx, s) })
		all.Go(func() { w.save(ctx, s) })
	}
	w.phase(history.PhaseFaults)
	w.faults(begin)
	time.Sleep(time.Until(begin.Add(w.Length)))
	w.phase(history.PhaseHealed)
	w.healed.Store(true)
	healed := time.Now()
	time.Sleep(afterwards)
	// A session that was cut off before holds the lock until its lease is over, and what is drawn seldom may not have been.
	w.until(healed, "each kind of operation works", func(context.Context) error {
		if missing := w.journal.since(int64(healed.Sub(w.journal.begin))); missing != nil {
			return fmt.Errorf("no %v has", missing)
		}
		return nil
	})
	cancel()
	all.Wait()
	w.settle(w.crew.callers[0])
	for _, c := range w.crew.callers {
		_ = c.client.Close()
	}
}

// crew is everybody at work.
type crew struct {
	ctx context.Context // as long as there is work
	all sync.WaitGroup

	mu      sync.Mutex
	callers []*caller
}

// begins has a caller work until the context ends.
func (x *crew) begins(c *caller, does func(*caller, context.Context)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.callers = append(x.callers, c)
	x.all.Go(func() { does(c, x.ctx) })
}

// afterwards is how long there is work when everything has healed, at least: a lock whose holder died last is free when the lease of its
// session is over, which the newest leader counts from its own beginning, and that is waited for besides.
const afterwards = 12 * time.Second

// watch asks a server now and then what it takes itself for.
func (w *world) watch(ctx context.Context, server string) {
	client := w.client("watcher", server)
	defer func() { _ = client.Close() }()
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, time.Second)
		r, err := apiv1.NewClusterClient(client.Conn()).ServerStatus(call, &apiv1.ServerStatusRequest{})
		cancel()
		if err == nil && r.Role != apiv1.Role_UNSPECIFIED {
			w.journal.Record(history.Event{Server: &history.Server{
				Name: server, Role: strings.ToLower(r.Role.String()), Term: r.Term, Leader: r.Leader, Applied: r.Index, Barrier: r.Barrier,
				LeaseUntil: w.leaseUntil(server, r.ReadLease.AsDuration()),
			}})
		}
		time.Sleep(time.Second)
	}
}

// saveEvery is how long it takes at most until the state of a server is saved again.
const saveEvery = 8 * time.Second

// save saves the state of a server now and then.
func (w *world) save(ctx context.Context, server string) {
	c := w.caller("saver-"+server, "saver", server)
	defer func() { _ = c.client.Close() }()
	for ctx.Err() == nil {
		if _, _, err := workload.Export(ctx, w.journal, server, c.client.Conn()); err != nil {
			w.violation("%v", err)
		}
		time.Sleep(c.below(saveEvery))
	}
}

// leaseUntil is when a server's read lease ends, by the true clock, of which so much is left by its own; zero for none.
func (w *world) leaseUntil(server string, left time.Duration) int64 {
	if left <= 0 {
		return 0
	}
	return w.journal.now() + int64(left)/w.Rates[server]*100
}

func (w *world) phase(name string) {
	w.journal.Record(history.Event{Phase: &history.Phase{Name: name}})
}

// progress is how long after all faults are over everything must work again. TCP sends again what was lost at times that
// double, so what waits for it may come two minutes late.
const progress = 150 * time.Second

// settle waits until everything can be placed, each server answers for everything, and all have one state.
func (w *world) settle(c *caller) {
	healed := time.Now()
	w.until(healed, "the servers are those that there should be", func(ctx context.Context) error { return w.counted(ctx, c) })
	for at := time.Duration(0); at < w.Length; at += useFor {
		for n := range identities {
			id := identity(at, n)
			w.until(healed, fmt.Sprint(id, " is placed"), func(ctx context.Context) error { return c.place(ctx, id) })
			w.until(healed, fmt.Sprint(id, " is acted on by its owner"), func(ctx context.Context) error {
				err := w.actedOn(ctx, c, id)
				if errors.Is(err, lookupclient.ErrNotPlaced) { // its owner has ended since
					return errors.Join(err, c.place(ctx, id))
				}
				return err
			})
		}
	}
	w.phase(history.PhaseFinal)
	for _, s := range w.servers() {
		one := w.caller("final-"+s, "c1", s)
		for at := time.Duration(0); at < w.Length; at += useFor {
			for n := range identities {
				w.until(healed, fmt.Sprint(s, " answers"), func(ctx context.Context) error { return one.lookup(ctx, identity(at, n), true) })
			}
		}
		_ = one.client.Close()
	}
	w.until(healed, "the servers agree", func(ctx context.Context) error { return w.agree(ctx, c) })
}

// actedOn says why nobody acts on an identity under the epoch of its placement.
func (w *world) actedOn(ctx context.Context, c *caller, id placement.Identity) error {
	p, err := c.client.Lookup(ctx, id)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if epoch := w.acting[id]; epoch != p.Epoch {
		return fmt.Errorf("it is settled on %s under epoch %d, and acted on under %d", p.Member, p.Epoch, epoch)
	}
	return nil
}

// until tries something again until it works; when it does not in time, a promise is broken.
func (w *world) until(healed time.Time, what string, try func(context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := try(ctx)
		cancel()
		if err == nil {
			return
		}
		if since := time.Since(healed); since > progress {
			w.violation("%v after everything healed it is not so that %s: %v", since, what, err)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// agree says why the servers do not have one digest at one index.
func (w *world) agree(ctx context.Context, c *caller) error {
	resp, err := apiv1.NewClusterClient(c.client.Conn()).Status(ctx, &apiv1.StatusRequest{})
	if err != nil {
		return err
	}
	if len(resp.Servers) != len(w.servers()) {
		return fmt.Errorf("there are %d servers", len(resp.Servers))
	}
	first := resp.Servers[0]
	for _, s := range resp.Servers {
		if !s.Reachable || s.Index != first.Index || s.Digest != first.Digest {
			return fmt.Errorf("%s is at %d with %s, %s at %d with %s", first.Name, first.Index, first.Digest, s.Name, s.Index, s.Digest)
		}
	}
	for _, s := range resp.Servers {
		w.journal.Record(history.Event{Digest: &history.Digest{Server: s.Name, Index: s.Index, Digest: s.Digest, Final: true}})
	}
	return nil
}
