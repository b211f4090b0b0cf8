package runner

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/lossyfs"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
)

// cluster is the processes of a run. It is the nemesis.World, in world.go. It is safe for concurrent use.
type cluster struct {
	*hosts
	config *Config
	dir    rundir.Dir
	rec    *history.Recorder
	start  int64 // the run's beginning, of history.Now
	// guarded is the path of the socket of the guarded resource.
	guarded string
	// identities are some that clients ask about. It is set before faults begin.
	identities func() []string

	mu struct {
		sync.Mutex
		servers []*server // of the cluster; those that were taken out are in gone
		gone    []*server
		spare   int // the number of the next one
		disks   []*lossyfs.Disk
		leader  string
		most    history.Usage // the most that a server had in use before there were clients
		// restored are the processes of the new cluster that is made of what was saved.
		restored []*worker
	}
	members, lockers, askers []*worker
	// power is held as disks lose what was not synced: nobody who was killed for that begins before.
	power    sync.RWMutex
	watchers sync.WaitGroup // of the lives of processes
}

// worker is a process and what the run knows of it.
type worker struct {
	*procs.Process
	kind string // server, member, client

	mu sync.Mutex
	// excused says that the life that runs may end: it is being killed, its disk fails, it was taken out.
	excused bool
	// leaving says that it is being taken out of the cluster: every life from then on may end.
	leaving bool
	// faults are what its disk does wrong, and blamed what it did wrong while the life that runs did, in the system's words: it may end
	// of that when it says so.
	faults []*nemesis.DiskFault
	blamed []string
	// noted is closed when it is recorded how the last life ended; nil before the first.
	noted chan struct{}
}

// server is a server and where it is.
type server struct {
	*worker
	grpc, raft, http string
	data             string        // its data directory
	disk             *lossyfs.Disk // under the data directory; nil for one of this machine's own
}

// newCluster plans the processes; none runs.
func newCluster(r *run) (*cluster, error) {
	c, h := r.config, r.hosts
	k := &cluster{hosts: h, config: c, dir: r.dir, rec: r.rec, start: r.start, guarded: r.resourcePath()}
	var joined []string
	for i := range c.Scenario.Servers {
		_, raft, _ := h.addresses(fmt.Sprintf("s%d", i+1), i)
		joined = append(joined, raft)
	}
	for range c.Scenario.Servers {
		s, err := k.newServerLocked(joined, len(joined))
		if err != nil {
			return k, err
		}
		k.mu.servers = append(k.mu.servers, s)
	}
	var first []string // those that are added later are learned
	for _, x := range k.mu.servers {
		first = append(first, x.grpc)
	}
	for i := range c.Members {
		m, err := k.newWorker(fmt.Sprintf("m%d", i+1), "member", "--kinds", identityKind, "--servers", strings.Join(first, ","))
		if err != nil {
			return k, err
		}
		k.members = append(k.members, m)
	}
	var careless []string
	if c.Scenario.Unfenced {
		careless = []string{"--careless", strings.Join(hostNames(0, 0, c.Lockers, 0)[:c.Lockers], ",")}
	}
	for i := range c.Lockers {
		l, err := k.newWorker(fmt.Sprintf("l%d", i+1), "locker", append([]string{"--locks", strings.Join(lockNames, ","), "--ttl", sessionTTL.String(),
			"--seed", fmt.Sprint(c.Seed + uint64(i)), "--servers", strings.Join(first, ",")}, careless...)...)
		if err != nil {
			return k, err
		}
		l.kind = "client"
		k.lockers = append(k.lockers, l)
	}
	for i := range c.Askers {
		a, err := k.newWorker(fmt.Sprintf("a%d", i+1), "asker", "--kind", identityKind, "--members", strings.Join(k.Members(), ","), "--every", askersRest.String(),
			"--seed", fmt.Sprint(c.Seed+uint64(i)), "--servers", strings.Join(first, ","))
		if err != nil {
			return k, err
		}
		a.kind = "client"
		k.askers = append(k.askers, a)
	}
	return k, nil
}

// askersRest is how long clients in processes of their own rest between two operations, at the mean: each identity that they ask about, for a
// while, is to have some hundred operations.
const askersRest = 60 * time.Millisecond

// users are the processes that are no servers.
func (k *cluster) users() []*worker { return slices.Concat(k.members, k.lockers, k.askers) }

const identityKind = "room"

var lockNames = []string{"nightly", "gate", "printer"}

// newServerLocked plans the next server. expect is how many form the cluster; zero has it join one.
func (k *cluster) newServerLocked(joined []string, expect int) (*server, error) {
	i := k.mu.spare
	k.mu.spare++
	name := fmt.Sprintf("s%d", i+1)
	folder, err := k.dir.Server(name)
	if err != nil {
		return nil, err
	}
	s := &server{data: filepath.Join(folder, "data")}
	s.grpc, s.raft, s.http = k.addresses(name, i)
	if k.config.Scenario.disks() {
		if s.disk, err = lossyfs.Start(append([]string{k.config.Binary}, append(k.config.Command, "disk")...)); err != nil {
			return nil, &UnavailableError{err}
		}
		k.mu.disks = append(k.mu.disks, s.disk)
		s.data = filepath.Join(s.disk.Dir(), "data")
		if err := s.disk.SetFaults(well); err != nil {
			return nil, errors.Join(err, s.disk.Close())
		}
	}
	args := []string{k.config.Binary, "serve", "--name", name, "--data-dir", s.data, "--raft-addr", s.raft, "--grpc-addr", s.grpc, "--http-addr", s.http,
		"--join", strings.Join(joined, ","), "--timing", "lan", "--member-ttl", memberTTL.String(), "--activation-timeout", "1s", "--insecure"}
	if expect > 0 {
		args = append(args, "--expect", fmt.Sprint(expect))
	}
	if l := k.config.Scenario.ReadLease; l > 0 {
		args = append(args, "--read-lease", l.String())
	}
	if k.config.Scenario.Compact {
		args = append(args, "--snapshot-entries", "300")
	}
	s.worker = &worker{kind: "server", Process: &procs.Process{Config: procs.Config{Name: name, Args: args, Log: filepath.Join(folder, "stdout.log"), Site: k.site(name), Env: k.clockEnv(name)}}}
	return s, nil
}

// newWorker plans a member, a lock holder or a process of clients.
func (k *cluster) newWorker(name, what string, args ...string) (*worker, error) {
	folder, err := k.dir.Member(name)
	if err != nil {
		return nil, err
	}
	line := append([]string{k.config.Binary}, k.config.Command...)
	line = append(line, what, "--name", name, "--resource", k.guarded, "--dir", folder, "--start", fmt.Sprint(k.start))
	return &worker{kind: what, Process: &procs.Process{Config: procs.Config{Name: name, Args: append(line, args...), Log: filepath.Join(folder, "stdout.log"), Site: k.site(name), Env: k.clockEnv(name)}}}, nil
}

// launch starts a process, says so, and watches that its life ends only when it may.
func (k *cluster) launch(w *worker) error {
	w.mu.Lock()
	noted := w.noted
	w.mu.Unlock()
	if noted != nil && !w.Runs() {
		<-noted // or the last life, which was excused, would be taken for the next
	}
	w.mu.Lock()
	w.excused, w.blamed = w.leaving, nil
	for _, f := range w.faults {
		w.blamed = append(w.blamed, wordsOf(*f)...)
	}
	w.mu.Unlock()
	k.direct(w)
	if err := w.Process.Start(); err != nil {
		return err
	}
	k.say(w, history.ProcessStart)
	done, noted := w.Done(), make(chan struct{})
	w.mu.Lock()
	w.noted = noted
	w.mu.Unlock()
	k.watchers.Go(func() {
		defer close(noted)
		<-done
		what := history.ProcessExit
		if !w.mayEnd() {
			what = history.ProcessCrash
		}
		k.rec.Record(history.Event{Process: &history.Process{Name: w.Name, Kind: w.kind, What: what, Status: w.How()}})
		if what == history.ProcessCrash {
			k.config.Note("%s ended by itself (%s): %s", w.Name, w.How(), w.Tail(400))
		}
	})
	return nil
}

// direct tells a member, a holder of locks or a client that begins where the servers are now: whoever is given none but such as were taken out
// finds nobody.
func (k *cluster) direct(w *worker) {
	if !slices.Contains(k.users(), w) {
		return
	}
	var servers []string
	for _, s := range k.list() {
		servers = append(servers, s.grpc)
	}
	w.Args[slices.Index(w.Args, "--servers")+1] = strings.Join(servers, ",")
}

// excuse says that the life that runs may end.
func (w *worker) excuse() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.excused = true
}

// leaves says that it is being taken out of the cluster, or that it could not be.
func (w *worker) leaves(yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving, w.excused = yes, w.excused || yes
}

// mayEnd says whether the life that has ended may have: it was made to, or it names what its disk did.
func (w *worker) mayEnd() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.excused || len(w.blamed) == 0 {
		return w.excused
	}
	last := w.Tail(lastWords)
	return slices.ContainsFunc(w.blamed, func(word string) bool { return strings.Contains(last, word) })
}

// lastWords is how much of a log is looked at for why its process ended.
const lastWords = 2000

// say records what happens to a process.
func (k *cluster) say(w *worker, what string) {
	k.rec.Record(history.Event{Process: &history.Process{Name: w.Name, Kind: w.kind, What: what, PID: w.PID()}})
}

// launchAll starts all.
func (k *cluster) launchAll() error {
	for _, s := range k.list() {
		if err := k.launch(s.worker); err != nil {
			return err
		}
	}
	for _, w := range k.users() {
		if err := k.launch(w); err != nil {
			return err
		}
	}
	return nil
}

// list is the servers of the cluster.
func (k *cluster) list() []*server {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.mu.servers)
}

// find is the process of a name; nil when there is none, or when it was taken out.
func (k *cluster) find(name string) *worker {
	for _, s := range k.list() {
		if s.Name == name {
			return s.worker
		}
	}
	for _, w := range k.users() {
		if w.Name == name {
			return w
		}
	}
	return nil
}

// server is the server of a name; nil when there is none, or when it was taken out.
func (k *cluster) server(name string) *server {
	for _, s := range k.list() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// stopPatience is how long a process may take to end in order.
const stopPatience = 10 * time.Second

// stop ends some processes in order, all at once, and says which do not.
func stop(list []*worker) error {
	errs := make(chan error, len(list))
	for _, w := range list {
		w.excuse()
		go func() { errs <- w.Process.Stop(stopPatience) }()
	}
	var all []error
	for range list {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// everyone is all processes that there ever were.
func (k *cluster) everyone() []*worker {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []*worker
	for _, s := range slices.Concat(k.mu.servers, k.mu.gone) {
		list = append(list, s.worker)
	}
	return slices.Concat(list, k.users(), k.mu.restored)
}

// crashes looks for crashes in the logs, and records them.
func (k *cluster) crashes() error {
	var errs []error
	for _, w := range k.everyone() {
		lines, err := w.Crashes()
		errs = append(errs, err)
		for _, line := range lines {
			k.rec.Record(history.Event{Process: &history.Process{Name: w.Name, Kind: w.kind, What: history.ProcessCrash, Status: line[:min(len(line), 300)]}})
			k.config.Note("%s crashed: %s", w.Name, line)
		}
	}
	return errors.Join(errs...)
}

// whole looks whether members, lock holders and clients, which have ended, wrote all that they saw.
func (k *cluster) whole() error {
	var errs []error
	for _, w := range k.users() {
		if w.PID() == 0 || strings.HasPrefix(w.How(), "signal: ") {
			continue // it never ran, or nobody expects more
		}
		dir := filepath.Dir(w.Log)
		whole, err := workload.Whole(dir)
		if err == nil && !whole {
			err = fmt.Errorf("the history of %s in %s was cut: it could not be written", w.Name, dir)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// takeDown ends everything that runs, members first.
func (k *cluster) takeDown() error {
	k.mu.Lock()
	all, restored := slices.Concat(k.mu.servers, k.mu.gone), slices.Clone(k.mu.restored)
	k.mu.Unlock()
	err := errors.Join(stop(k.users()), stop(restored), k.whole())
	var servers []*worker
	for _, s := range all {
		servers = append(servers, s.worker)
	}
	err = errors.Join(err, stop(servers))
	k.watchers.Wait()
	err = errors.Join(err, k.copyLogs())
	for _, s := range all {
		if s.disk != nil {
			err = errors.Join(err, s.disk.Close())
		}
	}
	return err
}
