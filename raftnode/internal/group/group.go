package group

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Config says what a Group is to be. All fields are needed unless they say otherwise.
type Config struct {
	// Server is this server's name; it is also its address, as far as the library knows.
	Server string
	// Cluster is the cluster's id, and Seed what spreads identities over the index, for the first Start of all.
	Cluster string
	Seed    uint64
	// Founders, when not empty, are the servers that the group is formed of, this one among them; they are not looked
	// at when the log has anything.
	Founders []string
	// Timing is how patient the group is.
	Timing Timing
	// ReadLease and MemberTTL are the longest that a tenure of this server grants. Zero for ReadLease: none.
	ReadLease, MemberTTL time.Duration
	// Stores are the open stores of the data directory. They stay the caller's, to be closed after Close.
	Stores *storage.Stores
	// Stream carries Raft's messages; the caller closes it after Close. CloseStreams breaks its connections.
	Stream       raft.StreamLayer
	CloseStreams func()
	// Now reads the clock of leases.
	Now func() lease.Instant
	// OnTenure is called when a tenure begins, with what changes from then on. It must not wait.
	OnTenure func(*Tenure, *Feed)
	// Stop ends the server: something is broken that going on would make worse. It is called on any goroutine.
	Stop func(error)
	// Reopen asks for the group to be closed and opened again: the library is stuck, the disk is fine.
	Reopen func(error)
	// SnapshotBytes and SnapshotEntries are how much log makes a snapshot due. Zero stands for 64 MiB and 65,536.
	SnapshotBytes, SnapshotEntries uint64
	// TrailingLogs is how many entries are kept behind a snapshot, for followers that are a little behind. Zero stands
	// for 4096.
	TrailingLogs uint64
	// FeatureLevel is the newest feature level that this server understands. Zero stands for fsm.FeatureLevel.
	FeatureLevel uint32
	// Tracer makes the spans of commands that are proposed within one. Nil: none.
	Tracer trace.Tracer
	// Intercept is for tests; nil otherwise.
	Intercept Intercept
	// Logger gets the library's log.
	Logger hclog.Logger
}

// Group is one server's part in the Raft group.
type Group struct {
	config  Config
	raft    *raft.Raft
	trans   *transport
	machine *machine
	batcher *batcher
	leader  *leader

	ctx    context.Context
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	once   sync.Once
	closed error

	transfers transfers

	lease         atomic.Pointer[ReadLease]
	fresh         fresh
	newestRemoval atomic.Uint64
	removals      chan struct{}
}

// Open forms the group, when its servers are given and the log is empty, or takes part in it again.
func Open(c Config) (*Group, error) {
	g := &Group{config: c, machine: newMachine(c.Stop, cmp.Or(c.FeatureLevel, fsm.FeatureLevel)), removals: make(chan struct{}, 1)}
	g.leader = &leader{group: g, over: make(chan *Tenure, 1)}
	g.machine.removed, g.machine.timed = g.removed, c.Tracer != nil
	g.trans = newTransport(c.Stream, c.Timing, c.Intercept, c.Logger)
	logs, err := raft.NewLogCache(512, c.Stores.Log)
	if err != nil {
		return nil, err
	}
	conf := g.raftConfig()
	if err := g.form(conf, logs); err != nil {
		return nil, errors.Join(err, g.closeTransport())
	}
	c.Stores.Log.OnTail(c.Stores.Snapshots.Newest(), func() {
		c.Reopen(errors.New("a snapshot was installed over a log that reached beyond it"))
	})
	if g.raft, err = raft.NewRaft(conf, g.machine, logs, c.Stores.Vote, c.Stores.Snapshots, g.trans); err != nil {
		return nil, errors.Join(fmt.Errorf("start raft: %w", err), g.closeTransport())
	}
	g.trans.raft.Store(g.raft)
	g.batcher = &batcher{
		propose: func(data []byte) raft.ApplyFuture { return g.raft.Apply(data, 0) },
		view:    g.View, now: c.Now, work: make(chan struct{}, batchesInFlight), tracer: c.Tracer,
	}
	g.batcher.lost, g.batcher.proved = g.leader.lost, g.proved
	g.ctx, g.cancel = context.WithCancel(context.Background())
	for range batchesInFlight {
		g.tasks.Go(func() { g.batcher.run(g.ctx) })
	}
	g.tasks.Go(func() { g.leader.run(g.ctx) })
	g.tasks.Go(func() { g.snapshotWhenDue(g.ctx) })
	g.tasks.Go(func() { g.machine.events.Announce(g.ctx) })
	return g, nil
}

func (g *Group) raftConfig() *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(g.config.Server)
	t := g.config.Timing
	// With heartbeats on Raft's own goroutine, a shorter lease would depose a leader whenever a follower's disk is
	// busy for as long.
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = t.Election, t.Election, t.Election
	c.CommitTimeout = t.Commit
	c.MaxAppendEntries = 64 // entries are batches already
	c.BatchApplyCh = false  // it loses futures at shutdown
	c.ShutdownOnRemove = false
	c.TrailingLogs = g.config.TrailingLogs
	if c.TrailingLogs == 0 {
		c.TrailingLogs = 4096
	}
	// Snapshots are asked for by snapshotWhenDue, which thinks in bytes.
	c.SnapshotThreshold, c.SnapshotInterval = 1<<62, 24*time.Hour
	c.NoLegacyTelemetry = true
	c.Logger = g.config.Logger
	return c
}

// form writes the first configuration of a new group. All founders write the same.
func (g *Group) form(conf *raft.Config, logs raft.LogStore) error {
	if len(g.config.Founders) == 0 {
		return nil
	}
	var first raft.Configuration
	for _, s := range g.config.Founders {
		first.Servers = append(first.Servers, raft.Server{ID: raft.ServerID(s), Address: raft.ServerAddress(s)})
	}
	err := raft.BootstrapCluster(conf, logs, g.config.Stores.Vote, g.config.Stores.Snapshots, g.trans, first)
	if err != nil && !errors.Is(err, raft.ErrCantBootstrap) {
		return fmt.Errorf("form the group: %w", err)
	}
	return nil
}

// View is the newest published state of this server.
func (g *Group) View() *snapshot.View { return g.machine.view.Load() }

// Events are what happened lately on this server: all that led to the view, back to where they begin.
func (g *Group) Events() *events.Ring { return &g.machine.events }

// Tenure is the current tenure of this server, nil when it has none.
func (g *Group) Tenure() *Tenure { return g.leader.tenure() }

// Leader is the name of the server that leads as far as this one knows, and the newest term that it knows. The name is
// a hint; it is empty when none is known.
func (g *Group) Leader() (server string, term uint64) {
	_, id := g.raft.LeaderWithID()
	return string(id), g.raft.CurrentTerm()
}

// leaderCheck is how soon a call that waits for a leader notices that there is another.
const leaderCheck = 100 * time.Millisecond

// errOtherLeader ends what waits for a leader that is none any more.
var errOtherLeader = errors.New("another server leads")

// WhileLeads returns a context that ends when this server learns that another than the one of that name leads. A leader
// whose machine is gone closes no connection: who waits for its answer would wait until the deadline.
func (g *Group) WhileLeads(ctx context.Context, name string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	var timer *time.Timer
	var mu sync.Mutex
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(leaderCheck, func() {
		mu.Lock()
		defer mu.Unlock()
		if other, _ := g.Leader(); other != "" && other != name {
			cancel(errOtherLeader)
		} else if ctx.Err() == nil {
			timer.Reset(leaderCheck)
		}
	})
	return ctx, func() {
		cancel(context.Canceled)
		timer.Stop()
	}
}

// Propose proposes one command, as fsm.Encode made it. See ErrNotLeader for the outcomes.
func (g *Group) Propose(ctx context.Context, command []byte) (fsm.Result, error) {
	outcomes, err := g.batcher.proposeAll(ctx, [][]byte{command})
	if err != nil {
		return fsm.Result{}, err
	}
	return outcomes[0].Result, outcomes[0].Err
}

// ProposeAll proposes commands, which may share log entries with others, in their order. Either all are refused with
// the error, or each has its outcome.
func (g *Group) ProposeAll(ctx context.Context, commands [][]byte) ([]Outcome, error) {
	return g.batcher.proposeAll(ctx, commands)
}

// Pulse proves this server's tenure at a moment after the call. When delay is not zero, the proof may wait that long for
// a batch that goes anyway.
func (g *Group) Pulse(ctx context.Context, delay time.Duration) (Pulse, error) {
	return g.batcher.pulse(ctx, delay)
}

// Await waits until the published view is what the caller wants, and returns it. want is called under a lock and must be
// quick. The error is the context's, or ErrClosed.
func (g *Group) Await(ctx context.Context, want func(*snapshot.View) bool) (*snapshot.View, error) {
	if v := g.View(); want(v) {
		return v, nil
	}
	w := g.machine.waiters.add(want)
	defer g.machine.waiters.remove(w)
	if v := g.View(); want(v) { // published before the waiter was there
		return v, nil
	}
	select {
	case <-w.ch:
		return g.View(), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-g.ctx.Done():
		return nil, ErrClosed
	}
}

// AwaitIndex waits until the published view has the index.
func (g *Group) AwaitIndex(ctx context.Context, index uint64) (*snapshot.View, error) {
	return g.Await(ctx, func(v *snapshot.View) bool { return v.Index >= index })
}

// Complete says whether a removal at an index is visible to everybody, for good.
func Complete(v *snapshot.View, index uint64) bool {
	oldest := v.OldestRemoval()
	return index <= v.Barrier || oldest == 0 || index < oldest
}

// AwaitComplete waits until a removal at an index is complete.
func (g *Group) AwaitComplete(ctx context.Context, index uint64) error {
	_, err := g.Await(ctx, func(v *snapshot.View) bool { return Complete(v, index) })
	return err
}

const (
	snapshotBytesDefault   = 64 << 20
	snapshotEntriesDefault = 1 << 16
	snapshotLook           = time.Second
)

// snapshotWhenDue asks for a snapshot when the log has grown enough since the last one, in bytes or in entries: what it
// costs to keep and to replay.
func (g *Group) snapshotWhenDue(ctx context.Context) {
	bytes, entries := g.config.SnapshotBytes, g.config.SnapshotEntries
	if bytes == 0 {
		bytes = snapshotBytesDefault
	}
	if entries == 0 {
		entries = snapshotEntriesDefault
	}
	stores := g.config.Stores
	since := stores.Log.AppendedBytes()
	for {
		select {
		case <-time.After(snapshotLook):
		case <-ctx.Done():
			return
		}
		grown := g.raft.AppliedIndex() - min(g.raft.AppliedIndex(), stores.Snapshots.Newest().Load())
		if grown == 0 || stores.Log.AppendedBytes()-since < bytes && grown < entries {
			continue
		}
		at := stores.Log.AppendedBytes()
		if err := g.TakeSnapshot(); err == nil {
			since = at
		}
	}
}

// TakeSnapshot writes a snapshot of this server's state to its disk and shortens its log. It waits until that is done;
// it is no error when there is nothing new.
func (g *Group) TakeSnapshot() error {
	err := g.raft.Snapshot().Error()
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		g.config.Logger.Warn("snapshot failed", "error", err)
		return fmt.Errorf("take snapshot: %w", err)
	}
	return nil
}

// Close takes the server out of the group's work, in order: no new commands; what is in flight comes down, while ctx
// lets it; Raft; its connections; every goroutine. It may be called twice.
func (g *Group) Close(ctx context.Context) error {
	g.once.Do(func() { g.closed = g.close(ctx) })
	return g.closed
}

func (g *Group) close(ctx context.Context) error {
	g.batcher.close()
	// The library strands futures of entries that are committed but not applied when it shuts down, so nothing may be
	// in flight then. A leader that has lost its majority steps down by itself within its lease, which ends them.
	_ = g.batcher.drained(ctx)
	g.cancel()
	done := g.raft.Shutdown()
	err := g.closeTransport()
	if e := done.Error(); e != nil {
		err = errors.Join(err, fmt.Errorf("shut down raft: %w", e))
	}
	g.trans.tasks.Wait()
	g.tasks.Wait()
	return err
}

// closeTransport closes the transport and breaks every connection, so that nothing of the library waits for one.
func (g *Group) closeTransport() error {
	g.trans.stop()
	g.trans.CloseStreams()
	err := g.trans.Close()
	g.config.CloseStreams()
	return err
}

// Counters are what a group counts since it was opened, and what waits now.
type Counters struct {
	// Applied is the number of commands that were applied.
	Applied uint64
	// Batches are the log entries that were proposed here, Pulses those of them without commands.
	Batches, Pulses uint64
	// Waiting is the number of commands that wait to be proposed.
	Waiting int
}

// Counters returns the counters.
func (g *Group) Counters() Counters {
	g.batcher.mu.Lock()
	waiting := len(g.batcher.queue)
	g.batcher.mu.Unlock()
	return Counters{Applied: g.machine.applied.Load(), Batches: g.batcher.batches.Load(), Pulses: g.batcher.pulsesEmpty.Load(), Waiting: waiting}
}
