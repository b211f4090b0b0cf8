package raftnode

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode/internal/api"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// Node is one running server.
type Node struct {
	config  Config
	started time.Time
	dir     *storage.Dir
	port    *port.Port
	api     *api.Server
	peers   *peers
	reads   *reads
	metrics *metrics
	holding *holding
	tracing tracing
	serving *serving

	raftAddress, grpcAddress, httpAddress string // as others reach them

	membership chan struct{} // of size one: held while the members of the group change

	ctx    context.Context // ends when the server is to end
	cancel context.CancelCauseFunc
	tasks  sync.WaitGroup
	done   chan struct{} // closed when everything has ended
	once   sync.Once
	end    error

	mu struct {
		sync.Mutex
		identity  storage.Identity
		sightings map[string]sighting // by server
		book      map[string]string   // where servers were last found
		stores    *storage.Stores
		group     *group.Group
		driver    *leader.Driver
	}
}

// Open starts a server. It returns when the server listens; the cluster may still have to form. Errors are those of
// Config.Validate, of listening, and a *RefusedError for a data directory that cannot be used.
func Open(c Config) (*Node, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	n := &Node{config: c.withDefaults(), started: time.Now(), done: make(chan struct{}), membership: make(chan struct{}, 1)}
	n.mu.sightings, n.mu.book = map[string]sighting{}, map[string]string{}
	n.ctx, n.cancel = context.WithCancelCause(context.Background())
	n.peers, n.reads, n.metrics, n.holding = newPeers(n), &reads{node: n}, newMetrics(n), newHolding(n)
	n.tracing = newTracing(c.TracerProvider)
	n.api = api.New(backend{n}, n.tracing.tracer)
	if err := n.open(); err != nil {
		n.cancel(err)
		return nil, errors.Join(err, n.closeParts(context.Background()))
	}
	n.tasks.Go(n.discover)
	n.tasks.Go(n.run)
	go n.awaitEnd()
	return n, nil
}

// open opens what a server has before it knows its cluster.
func (n *Node) open() error {
	if err := n.openDir(); err != nil {
		return err
	}
	var err error
	if n.port, err = port.Open(n.config.Seams.Network, n.config.RaftAddress, n); err != nil {
		return listenError("Raft", n.config.RaftAddress, err)
	}
	n.raftAddress = n.config.advertisedFor(n.config.RaftAddress, n.port.Address())
	if err := n.listen(); err != nil {
		return err
	}
	n.port.Start()
	return nil
}

func listenError(what, address string, err error) error {
	return fmt.Errorf("listen for %s on %s: %w", what, address, err)
}

// openDir takes the data directory and makes, or reads, the server's identity.
func (n *Node) openDir() error {
	dir, err := storage.OpenDir(n.config.DataDir)
	if err != nil {
		return n.dirError(err)
	}
	n.dir = dir
	id, ok, err := dir.LoadIdentity()
	if err != nil {
		return n.dirError(err)
	}
	if !ok {
		id = storage.Identity{Server: n.config.Name, Incarnation: ulid.Make().String()}
		if err := dir.SaveIdentity(id); err != nil {
			return n.dirError(err)
		}
	}
	if id.Server != n.config.Name {
		return refused(fmt.Errorf("%w: %s is that of server %s, and this is %s", ErrDataDir, n.config.DataDir, id.Server, n.config.Name),
			"give %s its own --data-dir, or start it as --name %s", n.config.Name, id.Server)
	}
	n.mu.identity = id
	return nil
}

// dirError says what to do about a data directory that cannot be used.
func (n *Node) dirError(err error) error {
	err = fmt.Errorf("%w: %w", ErrDataDir, err)
	var corrupt *storage.CorruptError
	switch {
	case errors.Is(err, storage.ErrInUse):
		return refused(err, "a server runs on %s already; stop it, or give this one its own --data-dir", n.config.DataDir)
	case errors.Is(err, storage.ErrUnfinished):
		return refused(err, "run berth snapshot restore with --data-dir %s again", n.config.DataDir)
	case errors.Is(err, storage.ErrNewerVersion):
		return refused(err, "start this server with the version of berth that wrote %s, or with a newer one", n.config.DataDir)
	case errors.Is(err, storage.ErrIncomplete), errors.As(err, &corrupt):
		return refused(err, "keep %s for inspection; as long as the other servers have a majority nothing is lost: start this server with an empty --data-dir under a new --name, then run: berth server remove %s",
			n.config.DataDir, n.config.Name)
	case errors.Is(err, os.ErrPermission):
		return refused(err, "let the user that runs berth write to %s, or choose another --data-dir", n.config.DataDir)
	}
	return refused(err, "check that %s is on a disk that is there, writable and not full, or choose another --data-dir", n.config.DataDir)
}

// stop ends the server for a reason. It does not wait.
func (n *Node) stop(err error) { n.cancel(err) }

// failStop ends the server because its disk, or its memory, cannot be trusted any more. What Raft does after an error of
// the disk must not be seen by anybody, so the connections go first. A real server's process ends here and now.
func (n *Node) failStop(err error) {
	if n.port != nil {
		n.port.CloseStreams()
	}
	n.config.Logger.Error("this server cannot go on", "error", err)
	if errors.Is(err, fsm.ErrFeatureLevel) {
		n.stop(refused(fmt.Errorf("%w: %w", ErrVersion, err), "start this server with the version that the others run, and the same command line"))
		return
	}
	if !n.config.Seams.KeepProcess {
		exit(failStopCode)
	}
	n.stop(refused(fmt.Errorf("%w: %w", ErrDataDir, err), "check the disk of %s, then start the server again with the same command line", n.config.DataDir))
}

// failStopCode is the exit status of a server whose disk failed (EX_SOFTWARE of sysexits.h).
const failStopCode = 70

var exit = os.Exit

// awaitEnd closes everything when the server is to end.
func (n *Node) awaitEnd() {
	<-n.ctx.Done()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := context.Cause(n.ctx)
	if errors.Is(err, errClosed) {
		err = nil
	}
	n.end = errors.Join(err, n.closeParts(ctx))
	close(n.done)
}

// closeTimeout bounds how long a server waits for what is in flight.
const closeTimeout = 15 * time.Second

// closeParts ends the parts in the order in which they depend on each other: no new calls, no new work, Raft, the
// connections, the disk.
func (n *Node) closeParts(ctx context.Context) error {
	var errs []error
	n.api.Stop()
	n.serving.drain(ctx)
	n.reads.close()
	n.mu.Lock()
	g, stores := n.mu.group, n.mu.stores
	n.mu.Unlock()
	if g != nil {
		errs = append(errs, g.Close(ctx))
	}
	n.serving.close()
	n.peers.close()
	if n.port != nil {
		errs = append(errs, n.port.Close())
	}
	n.tasks.Wait()
	if stores != nil {
		errs = append(errs, stores.Close())
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	return errors.Join(errs...)
}

var errClosed = errors.New("closed")

// Close ends the server in order and waits: a leader hands its leadership over first, calls that are being answered are
// finished, everything durable is on the disk. ctx bounds the handing over. It may be called twice, and after the server
// has ended.
func (n *Node) Close(ctx context.Context) error {
	n.once.Do(func() {
		n.handOver(ctx)
		n.cancel(errClosed)
	})
	<-n.done
	return n.end
}

// handOver gives the leadership to another server, so that nobody has to wait for an election.
func (n *Node) handOver(ctx context.Context) {
	if n.Leads() {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, _ = backend{n}.Transfer(ctx, "")
	}
}

// Done is closed when the server has ended.
func (n *Node) Done() <-chan struct{} { return n.done }

// Wait waits until the server has ended and returns why: nil after Close, ErrReopen when it is to be opened again, a
// *RefusedError when it cannot go on.
func (n *Node) Wait() error {
	<-n.done
	return n.end
}

// run finds the cluster, takes part in it, and keeps the server registered.
func (n *Node) run() {
	if err := n.findCluster(); err != nil {
		n.stop(err)
		return
	}
	if err := n.outwait(); err != nil {
		n.stop(err)
		return
	}
	if err := n.openGroup(); err != nil {
		n.stop(err)
		return
	}
	n.keepRegistered()
}

// outwait lets the leases of the cluster that this one was restored from run out, once. The file does not know who joined
// and what was placed after it was made: before nobody can hold a lease of that cluster, nothing may be given away.
func (n *Node) outwait() error {
	id := n.identity()
	if id.FormerTTL == 0 {
		return nil
	}
	wait := lease.Stretch(max(id.FormerTTL, n.config.MemberTTL))
	n.config.Logger.Info("was restored, and waits until every lease of the former cluster is over", "wait", wait)
	select {
	case <-time.After(wait):
	case <-n.ctx.Done():
		return context.Cause(n.ctx)
	}
	id.FormerTTL = 0
	return n.save(id)
}

// openGroup opens the stores and Raft's part.
func (n *Node) openGroup() error {
	id := n.identity()
	guard := storage.NewGuard(n.config.timing().Stall, n.failStop)
	guard.Before, guard.OnWrite = n.config.Seams.Write, n.metrics.wrote
	stores, err := n.dir.OpenStores(id, guard, n.config.Logger.Named("snapshots"))
	if err != nil {
		return n.dirError(err)
	}
	if !id.Stores {
		id.Stores = true
		if err := n.saveIdentity(id); err != nil {
			return errors.Join(n.dirError(err), stores.Close())
		}
	}
	if _, bad := stores.Snapshots.Restored(); len(bad) > 0 {
		for id, err := range bad {
			n.config.Logger.Error("a snapshot is damaged; an older one and the log are used", "snapshot", id, "error", err)
		}
	}
	var founders []string
	for _, f := range id.Founders {
		founders = append(founders, f.Server)
	}
	g, err := group.Open(group.Config{
		Server: n.config.Name, Cluster: id.Cluster, Seed: rand.Uint64(), Founders: founders, Timing: n.config.timing(),
		FeatureLevel: n.config.Seams.FeatureLevel, MemberTTL: n.config.MemberTTL, ReadLease: n.config.readLease(), Stores: stores, Stream: n.port.Raft(), CloseStreams: n.port.CloseStreams,
		Now: n.config.Seams.Now, OnTenure: n.onTenure, Stop: n.failStop,
		Reopen:    func(err error) { n.stop(fmt.Errorf("%w: %w", ErrReopen, err)) },
		Intercept: n.intercept(), Tracer: n.tracing.tracer, Logger: n.config.Logger.Named("raft"),
		SnapshotEntries: n.config.Seams.SnapshotEntries, TrailingLogs: n.config.Seams.SnapshotEntries / 4,
	})
	if err != nil {
		return errors.Join(n.dirError(err), stores.Close())
	}
	n.mu.Lock()
	n.mu.stores, n.mu.group = stores, g
	n.mu.Unlock()
	if !n.config.NoReadLeases {
		n.tasks.Go(func() { n.holding.run(n.ctx, g) })
		n.tasks.Go(func() { n.holding.acknowledge(n.ctx, g) })
	}
	if n.ctx.Err() != nil { // closed meanwhile; closeParts may not have seen the group
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = g.Close(ctx)
	}
	return nil
}

// intercept is the test's hand on Raft's messages, nil when there is none.
func (n *Node) intercept() group.Intercept {
	f := n.config.Seams.Intercept
	if f == nil {
		return nil
	}
	return func(to string, m group.Message, answered bool) error { return f(to, string(m), answered) }
}

// onTenure begins the work of a tenure.
func (n *Node) onTenure(t *group.Tenure, feed *group.Feed) {
	n.mu.Lock()
	g := n.mu.group
	n.mu.Unlock()
	n.tasks.Go(func() {
		for g == nil { // elected before openGroup has noted the group
			select {
			case <-time.After(time.Millisecond):
			case <-t.Context().Done():
				return
			}
			g = n.group()
		}
		n.lead(t, feed, g)
	})
}

// lead does the work of one tenure.
func (n *Node) lead(t *group.Tenure, feed *group.Feed, g *group.Group) {
	d := leader.New(t, g, leader.Config{
		MemberTTL: n.config.MemberTTL, Patience: min(keepalivePatience, n.config.MemberTTL/8), ActivationTimeout: n.config.ActivationTimeout,
		Level: n.config.Seams.FeatureLevel, Now: n.config.Seams.Now,
	})
	n.mu.Lock()
	if t.Context().Err() != nil {
		n.mu.Unlock()
		return
	}
	n.mu.driver = d
	n.mu.Unlock()
	n.config.Logger.Info("leads", "term", t.Term)
	n.tasks.Go(func() { n.promote(t.Context(), g) })
	d.Run(feed)
	n.mu.Lock()
	if n.mu.driver == d {
		n.mu.driver = nil
	}
	n.mu.Unlock()
	n.config.Logger.Info("leads no more", "term", t.Term)
}

// keepalivePatience is how long a keepalive waits for a batch that goes anyway before it makes one: with it, an idle
// cluster writes two entries a second at most, however many members it has.
const keepalivePatience = 500 * time.Millisecond

func (n *Node) group() *group.Group {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.group
}

// driver is the driver of the current tenure; nil when there is none, or when it is over already.
func (n *Node) driver() *leader.Driver {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.mu.driver; d != nil && d.Tenure().Context().Err() == nil {
		return d
	}
	return nil
}

func (n *Node) identity() storage.Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.identity
}

func (n *Node) saveIdentity(id storage.Identity) error {
	if err := n.dir.SaveIdentity(id); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.identity = id
	return nil
}

// Leads says whether this server has a tenure, as far as it knows.
func (n *Node) Leads() bool { return n.driver() != nil }

// Cluster is the id of the cluster that the server belongs to; empty while it has none.
func (n *Node) Cluster() string { return n.identity().Cluster }

// RaftAddr, GRPCAddr and HTTPAddr are where others reach the server.
func (n *Node) RaftAddr() string { return n.raftAddress }

// GRPCAddr is where others reach the server's gRPC port.
func (n *Node) GRPCAddr() string { return n.grpcAddress }

// HTTPAddr is where others reach the server's HTTP port.
func (n *Node) HTTPAddr() string { return n.httpAddress }
