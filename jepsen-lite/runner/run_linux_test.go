package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/scratch"
	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// berth builds the real binary, once.
var berth = sync.OnceValues(func() (string, error) {
	path := filepath.Join(built, "berth")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/berth").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// built is removed at the end.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if built, err = os.MkdirTemp("", "berth-runner-test-"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(built) }()
		return scratch.Tests(m) // a disk that stalls is not what they are about
	}())
}

// short is a run of some faults, short enough for every test run.
func short(t *testing.T, faults ...nemesis.Fault) Config {
	t.Helper()
	binary, err := berth()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	t.Cleanup(func() {
		if t.Failed() { // what it leaves is kept
			if err := os.CopyFS(t.ArtifactDir(), os.DirFS(root)); err != nil {
				t.Log(err)
			}
		}
	})
	return Config{
		Scenario: Scenario{Name: "test", Servers: 3, Faults: faults}, Seed: uint64(time.Now().UnixNano()) % 1000, Duration: 4500 * ms,
		Root: root, Binary: binary, Command: []string{"fault"}, Note: t.Logf,
	}
}

// passes runs and judges.
func passes(t *testing.T, c Config) *Report {
	t.Helper()
	t.Logf("seed %d", c.Seed)
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	results, err := Judge(report.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if !results.Passed {
		t.Errorf("%s", Verdict(results))
	}
	for _, x := range results.Checkers {
		t.Logf("%s: %s, looked at %d", x.Checker, x.Valid, x.Looked)
	}
	return report
}

func TestRun_Processes_KilledAndStopped_Passes(t *testing.T) {
	report := passes(t, short(t,
		fault(nemesis.Kill, nemesis.Leader, 300*ms, 800*ms), fault(nemesis.Pause, nemesis.Follower, 300*ms, 800*ms), fault(nemesis.Kill, nemesis.Member, 300*ms, 800*ms)))
	if len(report.Steps) < 2 {
		t.Errorf("there were the faults %v", report.Steps)
	}
	kept(t, report)
	observed(t, report)
}

// Processes of clients are stopped for longer than every lease, and killed. They ask about what those ask about that are not.
func TestRun_Clients_StoppedAndKilled_Passes(t *testing.T) {
	c := short(t, fault(nemesis.Pause, nemesis.Client, 2700*ms, 2800*ms), fault(nemesis.Kill, nemesis.Client, 300*ms, 800*ms))
	c.Duration = 7500 * ms // time for both, however long it rests between them
	for seed := range uint64(1000) {
		if steps := nemesis.Plan(c.Scenario.Faults, false, seed, c.Duration); len(steps) < 2 || steps[0].Kind == steps[1].Kind {
			t.Fatalf("seed %d: %v", seed, steps)
		}
	}
	report := passes(t, c)
	h, err := history.Open(report.Dir.History())
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int64{} // when what was done to it first
	for _, p := range h.Processes {
		if p.V.Name == "a1" && at[p.V.What] == 0 {
			at[p.V.What] = p.At
		}
	}
	stopped, goesOn := at[history.ProcessStop], at[history.ProcessGoOn]
	if goesOn-stopped < int64(2700*ms) || at[history.ProcessKill] == 0 {
		t.Fatalf("a1 was not stopped and killed: %v", at)
	}
	meanwhile, later, lives, both := 0, 0, map[string]bool{}, map[string]int{}
	for _, op := range h.Ops {
		life, ofA1 := strings.CutPrefix(op.Client, "a1.")
		if ofA1 && op.Outcome == history.OutcomeOK {
			life, _, _ = strings.Cut(life, ".")
			lives[life] = true
			both[op.Identity] |= 1
		} else if op.Client == "common" && op.Outcome == history.OutcomeOK {
			both[op.Identity] |= 2
		}
		switch {
		case !ofA1 || op.Begin <= stopped: // the signal came before it was written down
		case op.Begin < goesOn-int64(100*ms):
			meanwhile++
		case op.Begin > goesOn && op.Outcome == history.OutcomeOK:
			later++
		}
	}
	if meanwhile > 0 || later == 0 || len(lives) < 2 || !slices.Contains(slices.Collect(maps.Values(both)), 3) {
		t.Errorf("a1 asks %d times while it is stopped, and is answered %d times when it goes on; lives with answers: %v; who is asked about by whom: %v", meanwhile, later, lives, both)
	}
}

// observed looks whether each server was seen with a read lease that it had then, and with a state whose digest was computed anew.
func observed(t *testing.T, report *Report) {
	t.Helper()
	h, err := history.Open(report.Dir.History())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range h.Run.Servers {
		if !slices.ContainsFunc(h.Servers, func(s history.Timed[history.Server]) bool { return s.V.Name == name && s.V.LeaseUntil > s.At }) {
			t.Errorf("nobody saw a read lease of %s", name)
		}
		if !slices.ContainsFunc(h.Digests, func(d history.Timed[history.Digest]) bool { return d.V.Server == name && d.V.Recomputed }) {
			t.Errorf("nobody computed the digest of %s", name)
		}
	}
}

// kept looks whether each member owned its kept identity when the faults began: whoever is cut off then has something to own.
func kept(t *testing.T, report *Report) {
	t.Helper()
	h, err := history.Open(report.Dir.History())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(h.Phases, func(p history.Timed[history.Phase]) bool { return p.V.Name == history.PhaseFaults })
	owner := map[string]string{}
	for _, op := range h.Ops { // by Begin
		if op.F == history.Place && op.Outcome == history.OutcomeOK && op.End < h.Phases[i].At {
			owner[op.Identity] = op.Answer.Member
		}
	}
	for _, m := range h.Run.Members {
		if got := owner[identityKind+"/kept-"+m]; got != m {
			t.Errorf("what is kept at %s is owned by %q when the faults begin", m, got)
		}
	}
}

// It needs root and /dev/net/tun, and fails without them.
func TestRun_Hosts_CutOff_Passes(t *testing.T) {
	c := short(t, fault(nemesis.Cut, nemesis.Leader, 800*ms, 1200*ms), fault(nemesis.Cut, nemesis.Member, 2700*ms, 2800*ms))
	c.Tier = 3
	passes(t, c)
}

// It needs root, and a kernel with bridge, veth and nf_tables.
func TestRun_HostsJoinedByVethPairs_CutOff_Passes(t *testing.T) {
	c := short(t, fault(nemesis.Mute, nemesis.Leader, 800*ms, 1200*ms), fault(nemesis.Cut, nemesis.Member, 2700*ms, 2800*ms))
	c.Tier, c.Network = 3, switchnet.Veth
	passes(t, c)
}

func TestRun_LinksThatOnlyTAPDevicesMake_CannotBeRunWithout(t *testing.T) {
	c := short(t, fault(nemesis.Cut, nemesis.Leader, 800*ms, 1200*ms), fault(nemesis.Lose, nemesis.Leader, 800*ms, 1200*ms))
	c.Tier, c.Network = 3, switchnet.Veth
	cannot(t, c, "/dev/net/tun")
}

func TestRun_ClocksWithoutTheSource_CannotBeRun(t *testing.T) {
	cannot(t, short(t, fault(nemesis.Drift, nemesis.Everyone, 800*ms, 1200*ms)), "source")
}

// cannot is a run that needs something that is not here: it says what, and leaves nothing.
func cannot(t *testing.T, c Config, word string) {
	t.Helper()
	report, err := Run(t.Context(), c)
	var missing *UnavailableError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), word) {
		t.Fatalf("Run: %v, want an UnavailableError", err)
	}
	if left := names(t, c.Root); len(left) > 0 || report.Dir.Path() != "" || len(report.Steps) > 0 {
		t.Errorf("it left %v, and says it has %+v", left, report)
	}
}

func TestRun_BrokenOffAsClocksAreBuilt_LeavesNothing(t *testing.T) {
	c := short(t, fault(nemesis.Drift, nemesis.Everyone, 800*ms, 1200*ms))
	c.Source = "../.."
	ctx, cancel := context.WithCancel(t.Context())
	c.Note = func(format string, _ ...any) {
		if strings.HasPrefix(format, "building") {
			cancel()
		}
	}
	begin := time.Now()
	if _, err := Run(ctx, c); err == nil || ctx.Err() == nil {
		t.Errorf("Run: %v", err)
	}
	if left := names(t, c.Root); len(left) > 0 || time.Since(begin) > 10*time.Second {
		t.Errorf("it left %v, after %v", left, time.Since(begin))
	}
}

func TestRun_MembersThatDoNotFence_AreFound(t *testing.T) {
	c := short(t, fault(nemesis.Cut, nemesis.Member, 3600*ms, 3900*ms))
	c.Binary = filepath.Join(built, "no-self-fence")
	c.Mutant = "no-self-fence"
	for _, m := range mutants.All() {
		if m.Name == c.Mutant {
			if err := m.Build("../..", c.Binary); err != nil {
				t.Fatal(err)
			}
		}
	}
	for c.Seed = 1; c.Seed <= 6; c.Seed++ {
		report, err := Run(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		results, err := Judge(report.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range results.Checkers {
			if x.Checker == "owner" && x.Valid == check.False {
				t.Logf("seed %d: %s", c.Seed, x.Why)
				return
			}
		}
	}
	t.Error("two owners at one time were not found")
}

func TestRun_BrokenOff_LeavesNothingButItsFolder(t *testing.T) {
	c := short(t, fault(nemesis.Pause, nemesis.Leader, 3*time.Second, 4*time.Second))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Note = func(format string, args ...any) {
		if strings.Contains(format, "whole") {
			t.Error("it was not broken off")
		}
		if strings.HasPrefix(fmt.Sprintf(format, args...), " ") {
			cancel() // with the leader stopped
		}
	}
	report, err := Run(ctx, c)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	h, err := history.Open(report.Dir.History())
	if err != nil {
		t.Fatal(err)
	}
	if h.End == nil || h.End.V.Error == "" {
		t.Errorf("the history ends with %+v", h.End)
	}
	for _, l := range h.Leaks {
		if l.V.Goroutines+l.V.Processes+l.V.Namespaces+l.V.Files > 0 {
			t.Errorf("it left %+v", l.V)
		}
	}
	if len(h.Leaks) == 0 {
		t.Error("what is left was not looked at")
	}
	left, err := exec.Command("pgrep", "-f", c.Binary+" ").Output()
	if err == nil {
		t.Errorf("these run on: %s", bytes.TrimSpace(left))
	}
}

// Sockets have short paths, whatever TMPDIR is.
func TestRun_LongTMPDIR_Passes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 20))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	c := short(t)
	c.Duration = 2 * time.Second
	passes(t, c)
}

func TestRun_NoBinary_SaysSo(t *testing.T) {
	c := short(t)
	c.Binary = filepath.Join(t.TempDir(), "nothing")
	if _, err := Run(t.Context(), c); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Run: %v", err)
	}
}

func TestConfig_Validate_NamesEveryFault(t *testing.T) {
	err := Config{Duration: time.Second, Tier: 4, Members: 10, Lockers: 10, Clients: 100}.Validate()
	for _, word := range []string{"scenario", "duration", "tier", "folder", "binary", "members", "lock holders", "clients"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%s is not named in %v", word, err)
		}
	}
	c := Config{Scenario: Scenario{Name: "x", Servers: 3, Faults: partitions}, Tier: 2, Root: "x", Binary: "x"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "needs tier 3") {
		t.Errorf("faults of the network in tier 2: %v", err)
	}
	for name, least := range map[string]string{"clocks-beyond": "7.3s", "server-clocks-beyond": "7.3s", "locks-unfenced": "7.3s", "stale-lookups": "7.3s"} {
		beyond, _ := Find(name)
		c := Config{Scenario: beyond, Duration: 5 * time.Second, Lockers: 1, Root: "x", Binary: "x"}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), name+" needs "+least) {
			t.Errorf("too short for what has to be found: %v", err)
		}
		if err := c.Validate(); strings.Contains(err.Error(), "needs two") != beyond.Unfenced {
			t.Errorf("%s with one holder of locks: %v", name, err)
		}
	}
}

// What breaks a promise on purpose lasts until another one can have what was promised, also when the leader changes: the next one takes each
// lease to begin with itself.
func TestScenarios_Beyond_OutlastANewLeadersWait(t *testing.T) {
	const election = time.Second
	for _, s := range Scenarios() {
		for _, f := range s.Faults {
			if wait := 2*lease.Stretch(memberTTL) + election; len(s.Breaks) > 0 && f.Least < wait {
				t.Errorf("%s: %s of a %s lasts %v, and others may wait for %v", s.Name, f.Kind, f.Target, f.Least, wait)
			}
		}
	}
}

func TestScenarios_All_AreValid(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		if err := (Config{Scenario: s, Root: "x", Binary: "x"}).Validate(); err != nil || s.About == "" || seen[s.Name] {
			t.Errorf("%s: %v, about %q", s.Name, err, s.About)
		}
		seen[s.Name] = true
		if found, ok := Find(s.Name); !ok || found.About != s.About {
			t.Errorf("%s is not found", s.Name)
		}
	}
	if _, ok := Find("nothing"); ok {
		t.Error("a scenario that is not there is found")
	}
}

func TestUnknownServer_NobodyReached_IsNotThat(t *testing.T) {
	for _, tt := range []struct {
		reason  apiv1.Reason
		message string
		want    bool
	}{
		{apiv1.ReasonInvalidArgument, `there is no server "s2"`, true},
		{apiv1.ReasonInvalidArgument, "s2 leads and cannot hand over: there is nobody", false},
		{apiv1.ReasonUnreachable, "no server could be reached: 127.0.0.1:1: connection refused", false},
	} {
		if got := unknownServer(fmt.Errorf("remove: %w", &lookupclient.Error{Reason: tt.reason, Message: tt.message})); got != tt.want {
			t.Errorf("%s %s: %t, want %t", tt.reason, tt.message, got, tt.want)
		}
	}
}

func TestOpenHosts_PortsOfServers_AreDistinct(t *testing.T) {
	h, err := openHosts(&Config{Tier: 2, Seed: 1}, hostNames(3, 1, 1, 0), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.close() }()
	seen := map[string]bool{}
	for i := range 3 {
		for _, a := range func() []string { g, r, w := h.addresses("s1", i); return []string{g, r, w} }() {
			if _, _, err := net.SplitHostPort(a); err != nil || seen[a] {
				t.Errorf("address %q (%v), twice: %t", a, err, seen[a])
			}
			seen[a] = true
		}
	}
	if _, err := h.Degrade(nil); err == nil {
		t.Error("the links of this machine were changed")
	}
}
