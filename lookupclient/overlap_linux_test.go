package lookupclient_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
)

var overlapRounds = flag.Int("overlap.rounds", 24, "how often TestOverlap stops or kills a member's process")

// The tests in this file run in real time: members are processes that are stopped and killed, and the servers are on TCP
// and on disk. A round is one stop or one kill of a member that owns something.

const (
	overlapMembers    = 9
	overlapAtOnce     = 3 // members that are stopped or dead at one time
	overlapIdentities = 36
	overlapTTL        = time.Second
)

// site is the cluster of such a test and the processes of its members.
type site struct {
	t       *testing.T
	nodes   []*raftnode.Node
	servers []string
	client  *lookupclient.Client
	blind   bool
	seed    uint64
	files   atomic.Int64

	mu     sync.Mutex
	owners map[placement.Identity]placement.MemberID
	busy   map[string]bool
	traces []string
	procs  map[string]*child
}

// child is one life of a member's process.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

func newSite(t *testing.T, blind bool) *site {
	t.Helper()
	s := &site{t: t, blind: blind, seed: uint64(time.Now().UnixNano()), owners: map[placement.Identity]placement.MemberID{}, busy: map[string]bool{}, procs: map[string]*child{}}
	t.Logf("seed %d", s.seed)
	var configs []raftnode.Config
	var join []string
	for i := range 3 {
		c := raftnode.Config{
			Name: fmt.Sprint("s", i+1), DataDir: t.TempDir(), RaftAddress: freeport.Address(t), GRPCAddress: freeport.Address(t), HTTPAddress: freeport.Address(t),
			Expect: 3, MemberTTL: overlapTTL, ActivationTimeout: 500 * time.Millisecond,
		}
		configs, join, s.servers = append(configs, c), append(join, c.RaftAddress), append(s.servers, c.GRPCAddress)
	}
	for _, c := range configs {
		c.Join = join
		n, err := raftnode.Open(c)
		if err != nil {
			t.Fatal(err)
		}
		s.nodes = append(s.nodes, n)
	}
	client, err := lookupclient.Open(lookupclient.Config{Servers: s.servers})
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	t.Cleanup(s.close)
	return s
}

// close ends the processes that are left, and the servers.
func (s *site) close() {
	for _, c := range s.procs {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
	_ = s.client.Close()
	for _, n := range s.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_ = n.Close(ctx)
		cancel()
	}
}

// start starts a member's process.
func (s *site) start(name string) error {
	file := filepath.Join(s.t.TempDir(), fmt.Sprint(name, "-", s.files.Add(1)))
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(file, traceBytes); err != nil {
		return err
	}
	given, err := json.Marshal(probe{Name: name, Servers: s.servers, File: file, Blind: s.blind})
	if err != nil {
		return err
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), probeEnv+"="+string(given), "GOMAXPROCS=2"), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.traces = append(s.traces, file)
	s.procs[name] = &child{cmd, stdin}
	return nil
}

// place keeps all identities placed, and notes who owns them, until ctx ends.
func (s *site) place(ctx context.Context, ids []placement.Identity) {
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, 5*time.Second)
		results, _ := s.client.PlaceAll(call, ids)
		cancel()
		s.mu.Lock()
		for _, r := range results {
			if r.Err == nil {
				s.owners[r.Placement.Identity] = r.Placement.Member
			}
		}
		s.mu.Unlock()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// victim takes a member that owns something and is not being stopped or killed; empty when there is none.
func (s *site) victim(rng *rand.Rand) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, owner := range s.owners {
		if !s.busy[string(owner)] {
			names = append(names, string(owner))
		}
	}
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	name := names[rng.IntN(len(names))]
	s.busy[name] = true
	return name
}

func (s *site) free(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy[name] = false
	for id, owner := range s.owners {
		if owner == placement.MemberID(name) {
			delete(s.owners, id) // whether it owns that still, the next placement says
		}
	}
}

// round stops a member's process for some time, or kills it and starts it again.
func (s *site) round(n int, rng *rand.Rand) error {
	name := s.victim(rng)
	for name == "" {
		time.Sleep(10 * time.Millisecond)
		name = s.victim(rng)
	}
	defer s.free(name)
	s.mu.Lock()
	c := s.procs[name]
	s.mu.Unlock()
	if n%2 == 0 || s.blind {
		if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		time.Sleep(overlapTTL/2 + rand.N(2*overlapTTL))
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
	} else {
		if err := c.cmd.Process.Kill(); err != nil {
			return err
		}
		_ = c.cmd.Wait()
		time.Sleep(rand.N(overlapTTL / 2))
		if err := s.start(name); err != nil {
			return err
		}
	}
	if n%25 == 24 {
		s.transfer()
	}
	time.Sleep(rand.N(overlapTTL / 4))
	return nil
}

// transfer has another server lead.
func (s *site) transfer() {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_, _ = apiv1.NewClusterClient(s.client.Conn()).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{})
}

// rounds makes so many rounds, and returns all that the members did.
func (s *site) rounds(n int) []acting {
	s.t.Helper()
	for i := range overlapMembers {
		if err := s.start(fmt.Sprint("m", i)); err != nil {
			s.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var placing, work sync.WaitGroup
	const groups = 4
	for i := range groups {
		placing.Go(func() {
			var ids []placement.Identity
			for k := i; k < overlapIdentities; k += groups {
				ids = append(ids, cart(k))
			}
			s.place(ctx, ids)
		})
	}
	var next atomic.Int64
	for worker := range overlapAtOnce {
		work.Go(func() {
			rng := rand.New(rand.NewPCG(s.seed, uint64(worker)))
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return
				}
				if err := s.round(k, rng); err != nil {
					s.t.Errorf("round %d: %v", k, err)
					return
				}
			}
		})
	}
	work.Wait()
	time.Sleep(2 * overlapTTL) // whoever was stopped last has been replaced, and acts no more
	cancel()
	placing.Wait()
	var all []acting
	for _, file := range s.traces {
		list, err := readTrace(file)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

// overlap is how long two activations of one identity could act at once.
type overlap struct {
	identity, older, newer uint64
	long                   time.Duration
}

// overlaps finds the activations that were allowed to act after one with a larger epoch was. last says until when an
// activation was. handed is how many activations of all followed another one of their identity.
func overlaps(all []acting, last func(acting) uint64) (found []overlap, handed int) {
	slices.SortFunc(all, func(a, b acting) int {
		return cmp.Or(cmp.Compare(a.Identity, b.Identity), cmp.Compare(a.Epoch, b.Epoch))
	})
	var until acting // the one of the same identity that could act the longest until now
	for _, a := range all {
		if a.First == 0 {
			continue // it never acted
		}
		if a.Identity != until.Identity || until.First == 0 {
			until = a
			continue
		}
		handed++
		if last(until) > a.First {
			found = append(found, overlap{a.Identity, until.Epoch, a.Epoch, time.Duration(last(until) - a.First)})
		}
		if last(a) > last(until) {
			until = a
		}
	}
	return found, handed
}

func byCheck(a acting) uint64   { return a.Last }
func byContext(a acting) uint64 { return a.Open }

// report says what rounds have shown.
func (s *site) report(rounds int, all []acting) (found []overlap, handed int) {
	found, handed = overlaps(all, byCheck)
	open, _ := overlaps(all, byContext)
	s.t.Logf("%d rounds, %d activations, %d hand-overs: %d overlaps by Check, %d by the context", rounds, len(all), handed, len(found), len(open))
	return append(found, open...), handed
}

// Members' processes are stopped and killed while they own something: whoever acted before does not act again once another
// one has, by one clock for all.
func TestOverlap_StoppedAndKilledMembers_OneActsAtATime(t *testing.T) {
	s := newSite(t, false)
	found, handed := s.report(*overlapRounds, s.rounds(*overlapRounds))
	for _, o := range found[:min(len(found), 10)] {
		t.Errorf("cart/%d: epoch %d acted %v after epoch %d had begun", o.identity, o.older, o.long, o.newer)
	}
	if handed < *overlapRounds/2 {
		t.Errorf("there were %d hand-overs: that shows little", handed)
	}
}

// The same finds overlaps when a member's clock does not count the time for which it was stopped.
func TestOverlap_ClocksThatDoNotCountAStop_AreFound(t *testing.T) {
	const rounds = 9
	s := newSite(t, true)
	if found, handed := s.report(rounds, s.rounds(rounds)); len(found) == 0 {
		t.Errorf("no overlap was found in %d hand-overs", handed)
	}
}

// What overlaps are, by example.
func TestOverlaps_AreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		all  []acting
		want int
	}{
		"one after the other":           {[]acting{{1, 10, 100, 200, 0}, {1, 11, 201, 300, 0}}, 0},
		"at once":                       {[]acting{{1, 10, 100, 202, 0}, {1, 11, 201, 300, 0}}, 1},
		"of two identities":             {[]acting{{1, 10, 100, 202, 0}, {2, 11, 201, 300, 0}}, 0},
		"one that never acted":          {[]acting{{1, 10, 100, 200, 0}, {1, 11, 0, 0, 0}, {1, 12, 201, 300, 0}}, 0},
		"one beside two that follow":    {[]acting{{1, 10, 100, 500, 0}, {1, 11, 201, 300, 0}, {1, 12, 301, 600, 0}}, 2},
		"the older file is read second": {[]acting{{1, 11, 201, 300, 0}, {1, 10, 100, 202, 0}}, 1},
	} {
		if got, _ := overlaps(tt.all, byCheck); len(got) != tt.want {
			t.Errorf("%s: %+v, want %d", name, got, tt.want)
		}
	}
}
