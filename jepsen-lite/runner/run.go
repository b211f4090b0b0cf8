package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
)

// Report is what Run says of a run. The verdict is the checkers'.
type Report struct {
	// Dir is the run's folder.
	Dir rundir.Dir
	// Steps are the faults that were planned, Done and Asked the operations that ended ok and that were begun, and SteadyRate
	// the operations a second before the first fault.
	Steps       []nemesis.Step
	Done, Asked int64
	SteadyRate  float64
}

const (
	// readyTimeout is how long the processes may take to form a cluster.
	readyTimeout = 30 * time.Second
	// steady is how long the load runs before the first fault, and steadyTries how often it is given so long to come up to
	// steadyRateMin, and to have each member own what is kept there, on a machine that has much else to do.
	steady      = 1500 * time.Millisecond
	steadyTries = 8
	// steadyRateMin is how many operations a second there must be then: a run without load proves nothing.
	steadyRateMin = 20
	// healTimeout is how long the cluster may take to be whole again after the last fault: a restarted server has to catch up, a
	// dead member's lease to run out. It is also the bound that the history is held to.
	healTimeout = 15 * time.Second
	// healed is how long the load goes on then, at least: removals and moves wait for the read leases of the former leader, for
	// four seconds. It also waits until each kind of operation was done again, and locks have changed hands turns times: the lease of a
	// holder that was killed last has to run out first.
	healed = 6 * time.Second
	turns  = 6
	// gapMax is how long nothing may be acknowledged in a run without faults: longer than a new leader takes to be chosen and to wait for
	// the read leases of the former one, if a machine that has much else to do makes one necessary.
	gapMax = 10 * time.Second
	// finalTimeout bounds reading everything once more.
	finalTimeout = 20 * time.Second
)

// ErrNoLoad: there was too little load for the run to prove anything, or not every member had something to own.
var ErrNoLoad = errors.New("there was too little load before the first fault")

// run is one run.
type run struct {
	config *Config
	dir    rundir.Dir
	tmp    string // what is needed meanwhile
	short  string // for sockets; tmp, or a folder with a shorter path
	start  int64
	rec    *history.Recorder
	file   *os.File
	hosts  *hosts
	*cluster
	resource *workload.Resource
	clients  *workload.Clients
	report   *Report
}

// Run runs a scenario and returns its folder, in which the history is, also when there is an error. The error is one of the test:
// what the cluster did wrong is for the checkers to find. It fails with an UnavailableError when the machine has not what it
// takes, with a SpaceError when there is no room for what it writes, with ErrNoLoad, and with ctx's error when it is broken off.
// Nothing runs when it returns, and nothing is left but the folder; after a SpaceError or an UnavailableError not even that.
func Run(ctx context.Context, c Config) (_ *Report, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c.withDefaults()
	r := &run{config: &c, report: &Report{}}
	if err := r.rooms(spaceMin); err != nil {
		return nil, err
	}
	before := leaksBefore()
	if r.dir, err = rundir.Create(c.Root, c.Scenario.Name, c.Seed, time.Now()); err != nil {
		return nil, r.broken(&UnavailableError{fmt.Errorf("the folder for its results: %w", err)})
	}
	r.report.Dir = r.dir
	if r.tmp, err = scratch.New("", "berth-fault"); err != nil {
		return r.report, r.broken(&UnavailableError{fmt.Errorf("a folder for what is needed meanwhile: %w", err)})
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.tmp)) }()
	if r.short, err = shortFolder(r.tmp); err != nil {
		return r.report, r.broken(&UnavailableError{err})
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.short)) }()
	if r.file, err = os.OpenFile(r.ownHistory(), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return r.report, r.broken(err)
	}
	if err := r.skew(ctx); err != nil {
		return r.report, r.broken(errors.Join(err, r.file.Close()))
	}
	r.start = history.Now() // of the run: what is built takes longer than all of it
	r.rec = history.NewRecorder(r.file, history.Clock(r.start))
	running, breakOff := context.WithCancelCause(ctx)
	defer breakOff(nil)
	stop := r.watchRoom(breakOff)
	err = r.body(running)
	stop()
	if ctx.Err() == nil && running.Err() != nil {
		err = errors.Join(context.Cause(running), err)
	}
	r.rec.Record(history.Event{Leaks: before.since(r)})
	end := &history.End{}
	if err != nil {
		end.Error = shorten(err.Error())
	}
	r.rec.Record(history.Event{End: end})
	err = errors.Join(err, r.rec.Close(), r.file.Close())
	return r.report, r.broken(errors.Join(err, r.merge()))
}

// broken is the error of a run that came to no good end. For want of room it is a SpaceError alone. The folder of such a run, whose
// history is cut, is removed, and so is that of one that cannot be run here, in which nothing happened.
func (r *run) broken(err error) error {
	var missing *UnavailableError
	if space := r.noRoom(err); space != nil {
		err = space
	} else if !errors.As(err, &missing) {
		return err
	}
	if r.dir != (rundir.Dir{}) {
		err = errors.Join(err, r.dir.Remove())
	}
	r.report.Dir, r.report.Steps = rundir.Dir{}, nil
	return err
}

// errorBytesMax is how much of an error a history has.
const errorBytesMax = 4000

func shorten(s string) string { return strings.ToValidUTF8(s[:min(len(s), errorBytesMax)], "?") }

// ownHistory is what this process saw; the folder's history is that of all processes.
func (r *run) ownHistory() string { return filepath.Join(r.tmp, "history.jsonl") }

func (r *run) resourcePath() string { return filepath.Join(r.short, "resource") }

// socketFolderBytesMax is how long the path of a folder with sockets may be: that of a socket has 103 bytes at most, on macOS, and the longest
// name is that of a process with ".clock".
const socketFolderBytesMax = 80

// shortFolder returns a folder for sockets: the given one, unless its path is too long for that, as below a TMPDIR deep down.
func shortFolder(folder string) (string, error) {
	if len(folder) <= socketFolderBytesMax {
		return folder, nil
	}
	short, err := scratch.New("/tmp", "berth-fault")
	if err != nil {
		return "", fmt.Errorf("a folder for sockets, for which the path of %s is too long: %w", folder, err)
	}
	return short, nil
}

// phase says that a part of the run begins.
func (r *run) phase(name string) {
	r.rec.Record(history.Event{Phase: &history.Phase{Name: name}})
}

// body is the run between the first line of the history and the last ones.
func (r *run) body(ctx context.Context) (err error) {
	c := r.config
	r.report.Steps = nemesis.Plan(c.Scenario.Faults, c.Scenario.Together, c.Seed, c.Duration)
	header := r.header()
	r.rec.Record(history.Event{Run: header})
	if err := rundir.WriteJSON(r.dir.Run(), header); err != nil {
		return err
	}
	servers := c.Scenario.Servers + c.Scenario.spares()
	if r.hosts, err = openHosts(c, hostNames(servers, c.Members, c.Lockers, c.Askers), servers); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.hosts.close()) }()
	if r.resource, err = workload.ListenResource(r.resourcePath(), r.rec, c.Scenario.Unfenced); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.resource.Close()) }()
	r.cluster, err = newCluster(r)
	defer func() {
		r.phase(history.PhaseTeardown)
		err = errors.Join(err, r.takeDown(), r.crashes())
	}()
	if err != nil {
		return err
	}
	return r.live(ctx)
}

// live is the life of the cluster.
func (r *run) live(ctx context.Context) (err error) {
	c := r.config
	if err := r.launchAll(); err != nil {
		return err
	}
	observing, stopObserving := context.WithCancel(ctx)
	observed := make(chan struct{})
	go func() {
		r.observeAll(observing)
		close(observed)
	}()
	defer func() {
		stopObserving()
		<-observed
	}()
	if err := r.awaitReady(ctx, readyTimeout, "the cluster did not form"); err != nil {
		return err
	}
	var at []workload.Server
	for _, s := range r.list() {
		at = append(at, workload.Server{Name: s.Name, Address: s.grpc})
	}
	r.clients = workload.NewClients(workload.ClientsConfig{
		Count: c.Clients, Servers: at, Members: r.Members(), Kind: identityKind, Identities: 6, Every: c.Rest, Seed: c.Seed, Readers: c.Scenario.Readers, Stale: c.Scenario.Stale,
		Common: history.Clock(r.start), Dial: r.dial(nemesis.ClientsHost), Recorder: r.rec,
	})
	r.identities = func() (list []string) {
		for _, key := range r.clients.Current() {
			list = append(list, identityKind+"/"+key)
		}
		return list
	}
	if err := r.noteUsage(ctx); err != nil {
		return err
	}
	asking, stopAsking := context.WithCancel(ctx)
	asked := make(chan error, 1)
	go func() { asked <- r.clients.Run(asking) }()
	err = r.phases(ctx)
	stopAsking()
	err = errors.Join(err, <-asked)
	r.report.Done, r.report.Asked = r.clients.Done(), r.clients.Asked()
	if err != nil {
		return err
	}
	if err := stop(slices.Concat(r.lockers, r.askers)); err != nil {
		return err
	}
	r.phase(history.PhaseFinal)
	if err := r.final(ctx); err != nil {
		return err
	}
	if err := r.noteFinalUsage(ctx); err != nil {
		return err
	}
	if !c.Scenario.Restore {
		return nil
	}
	return r.restore(ctx)
}

// phases are those in which there is load.
func (r *run) phases(ctx context.Context) error {
	r.phase(history.PhaseSteady)
	for n := 0; n < steadyTries && (r.report.SteadyRate < steadyRateMin || !r.clients.Kept()); n++ {
		before := r.clients.Done()
		if err := sleep(ctx, steady); err != nil {
			return err
		}
		r.report.SteadyRate = float64(r.clients.Done()-before) / steady.Seconds()
	}
	r.config.Note("steady: %.0f operations a second", r.report.SteadyRate)
	if r.report.SteadyRate < steadyRateMin {
		return fmt.Errorf("%w: %.0f operations a second, at least %d are needed", ErrNoLoad, r.report.SteadyRate, steadyRateMin)
	}
	if !r.clients.Kept() {
		return fmt.Errorf("%w: not every member owns what is kept there, after %v", ErrNoLoad, steadyTries*steady)
	}
	r.phase(history.PhaseFaults)
	err := r.faults(ctx)
	if err = errors.Join(err, r.heal()); err != nil {
		return err
	}
	r.phase(history.PhaseHealed)
	begin := time.Now()
	if err := r.awaitReady(ctx, healTimeout, "the cluster did not become whole again"); err != nil {
		return err
	}
	r.config.Note("whole again after %.2fs", time.Since(begin).Seconds())
	r.clients.Again()
	locks, least := r.turns(), turns
	if r.config.Lockers == 0 {
		least = 0
	}
	if err := sleep(ctx, healed); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, healTimeout)
	defer cancel()
	r.await(waiting, func() bool { return r.turns() >= locks+least && r.clients.Covered() }) // whether it took too long is for the checkers to say
	return ctx.Err()
}

// turns is how often locks have changed hands so far.
func (r *run) turns() int {
	n := 0
	for _, name := range lockNames {
		n += r.resource.Turns(name)
	}
	return n
}

// awaitReady waits until the cluster is ready, and otherwise says what does not run.
func (r *run) awaitReady(ctx context.Context, patience time.Duration, what string) error {
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.ready(waiting) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := fmt.Errorf("%s within %v", what, patience)
	for _, s := range r.list() {
		if !s.Runs() {
			err = fmt.Errorf("%w; %s ended (%s): %s", err, s.Name, s.How(), s.Tail(600))
		}
	}
	return err
}

// heal has everything go on and run that does not, on links and disks that are well.
func (r *run) heal() error {
	errs := []error{r.mend()}
	for _, s := range r.list() {
		errs = append(errs, s.mendDisk())
	}
	for _, name := range slices.Concat(r.Servers(), namesOf(r.users())) {
		errs = append(errs, r.Resume(name), r.Start(name), r.Clock(name, nemesis.ClockFault{}))
	}
	return errors.Join(errs...)
}

// header is the first line of the history.
func (r *run) header() *history.Run {
	c := r.config
	h := &history.Run{
		Format: history.Format, Scenario: c.Scenario.Name, Workload: []string{check.WorkLookup, check.WorkActivation, check.WorkLock, check.WorkWatch, check.WorkExport}, Seed: c.Seed, Tier: c.Tier,
		Started: time.Now().UTC(), Version: c.Version, Commit: c.Commit, Go: runtime.Version(), Kernel: kernel(), Mutant: c.Mutant, Command: c.Again,
		Bounds: history.Bounds{Progress: int64(healTimeout), Goroutines: goroutinesMore, Descriptors: descriptorsMore}, ExpectedToFail: len(c.Scenario.Breaks) > 0, Breaks: c.Scenario.Breaks,
	}
	if len(c.Scenario.Faults) == 0 {
		h.Bounds.Gap = int64(gapMax)
	}
	if c.Scenario.Restore {
		h.Workload = append(h.Workload, check.WorkRestore)
	}
	if slices.ContainsFunc(c.Scenario.Faults, nemesis.Fault.Blocks) {
		h.Workload = append(h.Workload, check.WorkBlock)
	}
	for _, f := range c.Scenario.Faults {
		h.Faults = append(h.Faults, f.String())
	}
	names := hostNames(c.Scenario.Servers, c.Members, 0, 0)
	h.Servers, h.Members = names[:c.Scenario.Servers], names[c.Scenario.Servers:c.Scenario.Servers+c.Members]
	return h
}

// sleep waits.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
