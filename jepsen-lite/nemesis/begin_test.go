package nemesis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
)

// paperWorld is a World on paper. What it says of each name is how that one is: "" runs.
type paperWorld struct {
	mu      sync.Mutex
	servers []string
	leader  string
	state   map[string]string
	changes []*func(from, to string, l *switchnet.Link)
	log     []string
}

func newPaperWorld() *paperWorld {
	return &paperWorld{servers: []string{"s1", "s2", "s3", "s4", "s5"}, leader: "s2", state: map[string]string{}}
}

func (w *paperWorld) Servers() []string { return slices.Clone(w.servers) }
func (w *paperWorld) Members() []string { return []string{"m1", "m2"} }
func (w *paperWorld) Lockers() []string { return []string{"l1"} }
func (w *paperWorld) Askers() []string  { return []string{"a1"} }
func (w *paperWorld) Leader() string    { return w.leader }

func (w *paperWorld) Degrade(change func(from, to string, l *switchnet.Link)) (func() error, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, &change)
	return func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes = slices.DeleteFunc(w.changes, func(c *func(from, to string, l *switchnet.Link)) bool { return c == &change })
		return nil
	}, nil
}

// links are the pairs whose link is not perfect: cut ones as "a>b", others as "a~b".
func (w *paperWorld) links() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	found := map[string]bool{}
	all := append(append(w.Servers(), w.Members()...), "l1", "a1", ClientsHost)
	for _, from := range all {
		for _, to := range all {
			var l switchnet.Link
			for _, c := range w.changes {
				(*c)(from, to, &l)
			}
			switch {
			case from == to:
			case l.Cut:
				found[from+">"+to] = true
			case l != switchnet.Link{}:
				found[from+"~"+to] = true
			}
		}
	}
	return found
}

func (w *paperWorld) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, what)
}

// noted is how much was done.
func (w *paperWorld) noted() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log)
}

func (w *paperWorld) set(name, state string) error {
	w.note(name + " " + state)
	w.state[name] = state
	if state == "" {
		delete(w.state, name)
	}
	return nil
}

func (w *paperWorld) Kill(name string) error   { return w.set(name, "killed") }
func (w *paperWorld) Pause(name string) error  { return w.set(name, "stopped") }
func (w *paperWorld) Resume(name string) error { return w.set(name, "") }
func (w *paperWorld) Stop(name string) error   { return w.set(name, "ended") }
func (w *paperWorld) Start(name string) error  { return w.set(name, "") }

func (w *paperWorld) Transfer(context.Context) error {
	w.note("transfer")
	return nil
}

func (w *paperWorld) Replace(_ context.Context, name string) (string, error) {
	w.note("replace " + name)
	return "s9", nil
}

func (w *paperWorld) Damage(_ context.Context, name string, draw uint64) (string, bool, error) {
	w.note("damage " + name)
	return "bits", draw%2 == 0, nil
}

func (w *paperWorld) Identities() []string { return []string{"room/1", "room/2"} }

func (w *paperWorld) Block(_ context.Context, name string, on bool) error {
	if on {
		return w.set(name, "blocked")
	}
	return w.set(name, "")
}

func (w *paperWorld) PowerLoss(names []string, keep int, _ uint64) error {
	for _, n := range names {
		_ = w.set(n, "dark")
	}
	return nil
}

func (w *paperWorld) Disk(name string, _ DiskFault) (func() error, error) {
	return func() error { return w.set("disk of "+name, "") }, w.set("disk of "+name, "bad")
}

func (w *paperWorld) Clock(name string, f ClockFault) error {
	if f == (ClockFault{}) {
		return w.set(name, "")
	}
	return w.set(name, "skewed")
}

func begin(t *testing.T, w *paperWorld, s Step) *Begun {
	t.Helper()
	b, err := Begin(t.Context(), w, s)
	if err != nil {
		t.Fatalf("%v: %v", s, err)
	}
	if b.Do != nil {
		if w.noted() > 0 {
			t.Errorf("%v was done before it was written down: %v", s, w.log)
		}
		if err := b.Do(t.Context()); err != nil {
			t.Fatalf("%v: %v", s, err)
		}
	}
	return b
}

func TestBegin_EveryKind_IsOverAfterItsEnd(t *testing.T) {
	kinds := []Kind{Cut, CutPeers, Mute, Deaf, Halve, Bridge, Flap, Lose, Slow, Throttle, Kill, Pause, Restart, Transfer, Replace, Damage, Block, BlockIdentity, PowerLoss, TornLoss, FullDisk, SlowDisk, BadDisk, BadReads, Drift, WallJump, Forward, Crawl}
	targets := []Target{Leader, Follower, Server, Minority, Servers, Member, Locker, Client, Clients, Everyone, None}
	for _, k := range kinds {
		for _, target := range targets {
			synctest.Test(t, func(t *testing.T) {
				w := newPaperWorld()
				b := begin(t, w, Step{Fault: Fault{Kind: k, Target: target}, Draw: uint64(len(k)) * uint64(len(target))})
				synctest.Wait()
				did := len(w.links()) + w.noted()
				if did == 0 && (target == Leader || target == Follower || target == Minority) {
					t.Errorf("%s %s did nothing", k, target)
				}
				time.Sleep(time.Second)
				if err := b.End(t.Context()); err != nil {
					t.Error(err)
				}
				if len(w.state) > 0 || len(w.links()) > 0 {
					t.Errorf("%s %s left %v %v", k, target, w.state, w.links())
				}
			})
		}
	}
}

func TestBegin_Links_AreThoseOfTheFault(t *testing.T) {
	for _, tt := range []struct {
		kind   Kind
		target Target
		want   []string
	}{
		{CutPeers, Leader, []string{"s2>s1", "s1>s2", "s2>s3", "s3>s2", "s2>s4", "s4>s2", "s2>s5", "s5>s2"}},
		{Crawl, Follower, []string{"s1>s2", "s2>s1", "s1>s3", "s3>s1", "s1>s4", "s4>s1", "s1>s5", "s5>s1"}},
		{Crawl, Locker, []string{
			"s1>l1", "s2>l1", "s3>l1", "s4>l1", "s5>l1", "m1>l1", "m2>l1", "a1>l1", "clients>l1",
			"l1>s1", "l1>s2", "l1>s3", "l1>s4", "l1>s5", "l1>m1", "l1>m2", "l1>a1", "l1>clients",
		}},
		{Mute, Leader, []string{"s2>s1", "s2>s3", "s2>s4", "s2>s5", "s2>m1", "s2>m2", "s2>l1", "s2>a1", "s2>clients"}},
		{Deaf, Locker, []string{"s1>l1", "s2>l1", "s3>l1", "s4>l1", "s5>l1", "m1>l1", "m2>l1", "a1>l1", "clients>l1"}},
	} {
		w := newPaperWorld()
		begin(t, w, Step{Fault: Fault{Kind: tt.kind, Target: tt.target}})
		got := slices.Sorted(maps.Keys(w.links()))
		slices.Sort(tt.want)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s %s: %v, want %v", tt.kind, tt.target, got, tt.want)
		}
	}
}

func TestBegin_Halve_LeavesAMajorityTogether(t *testing.T) {
	for draw := range uint64(100) {
		w := newPaperWorld()
		b := begin(t, w, Step{Fault: Fault{Kind: Halve}, Draw: draw})
		cut := w.links()
		minority := 0
		for _, s := range w.servers {
			if slices.Contains(b.Targets, s) {
				minority++
			}
		}
		if minority != 2 || len(cut) == 0 {
			t.Fatalf("draw %d: %d servers in the minority %v, want 2 of 5", draw, minority, b.Targets)
		}
		for link := range cut {
			from, to, _ := strings.Cut(link, ">")
			if slices.Contains(b.Targets, from) == slices.Contains(b.Targets, to) || !cut[to+">"+from] {
				t.Fatalf("draw %d: %s is cut", draw, link)
			}
		}
	}
}

func TestBegin_Bridge_OneServerSeesAll(t *testing.T) {
	w := newPaperWorld()
	b := begin(t, w, Step{Fault: Fault{Kind: Bridge}, Draw: 1})
	if len(w.links()) != 8 {
		t.Errorf("%d links are cut, want both directions of 4", len(w.links()))
	}
	for link := range w.links() {
		if strings.Contains(link, b.Targets[0]) {
			t.Errorf("the bridge %v does not see all: %s", b.Targets, link)
		}
	}
}

func TestBegin_Drift_TwoClocksStayWithinWhatLeasesAllow(t *testing.T) {
	for draw := range uint64(200) {
		w := &ratesWorld{paperWorld: newPaperWorld()}
		if _, err := Begin(t.Context(), w, Step{Fault: Fault{Kind: Drift, Target: Everyone}, Draw: draw}); err != nil {
			t.Fatal(err)
		}
		fast, slow := float64(slices.Max(w.rates)), float64(slices.Min(w.rates))
		if ratio := (1e6 + fast) / (1e6 + slow); ratio > 1.25 || len(w.rates) != 9 {
			t.Fatalf("draw %d: the fastest of %d clocks goes %.3f times as fast as the slowest", draw, len(w.rates), ratio)
		}
	}
}

// ratesWorld keeps the rates of clocks.
type ratesWorld struct {
	*paperWorld
	rates []int64
}

func (w *ratesWorld) Clock(_ string, f ClockFault) error {
	w.rates = append(w.rates, f.RatePPM)
	return nil
}

func TestBegin_BlockIdentity_IsOneOfThose(t *testing.T) {
	seen := map[string]bool{}
	for draw := range uint64(20) {
		b := begin(t, newPaperWorld(), Step{Fault: Fault{Kind: BlockIdentity}, Draw: draw})
		if len(b.Targets) != 1 {
			t.Fatalf("done to %v", b.Targets)
		}
		seen[b.Targets[0]] = true
	}
	if len(seen) != 2 || !seen["room/1"] || !seen["room/2"] {
		t.Errorf("done to %v", seen)
	}
}

func TestBegin_NobodyLeads_SomebodyIsTaken(t *testing.T) {
	w := newPaperWorld()
	w.leader = ""
	if b := begin(t, w, Step{Fault: Fault{Kind: Kill, Target: Leader}}); len(b.Targets) != 1 {
		t.Errorf("done to %v", b.Targets)
	}
}

// A disk is full, or fails, in each of the ways that there are, by the draw.
func TestBegin_Disks_FailInEveryWay(t *testing.T) {
	seen := map[DiskFault]int{}
	for draw := range uint64(40) {
		for _, kind := range []Kind{FullDisk, BadDisk} {
			w := &diskWorld{paperWorld: newPaperWorld()}
			if _, err := Begin(t.Context(), w, Step{Fault: Fault{Kind: kind, Target: Leader}, Draw: draw}); err != nil {
				t.Fatal(err)
			}
			seen[w.fault]++
		}
	}
	for _, f := range []DiskFault{{Full: true}, {Full: true, Copies: true}, {BadSyncs: true}, {BadWrites: true}} {
		if seen[f] < 8 {
			t.Errorf("%+v %d times of 40", f, seen[f])
		}
		delete(seen, f)
	}
	if len(seen) > 0 {
		t.Errorf("there were %+v", seen)
	}
}

// diskWorld notes how a disk is to be.
type diskWorld struct {
	*paperWorld
	fault DiskFault
}

func (w *diskWorld) Disk(_ string, f DiskFault) (func() error, error) {
	w.fault = f
	return func() error { return nil }, nil
}

// What is not read is any file, or one of each kind, and most of the servers begin on such a disk.
func TestBegin_BadReads_OfEachFileAndAtTheBeginning(t *testing.T) {
	seen, began := map[string]bool{}, 0
	const draws = 100
	for draw := range uint64(draws) {
		w, noted := &diskWorld{paperWorld: newPaperWorld()}, newPaperWorld()
		b := begin(t, noted, Step{Fault: Fault{Kind: BadReads, Target: Follower}, Draw: draw})
		if _, err := Begin(t.Context(), w, Step{Fault: Fault{Kind: BadReads, Target: Follower}, Draw: draw}); err != nil || !w.fault.BadReads {
			t.Fatalf("draw %d: %+v, %v", draw, w.fault, err)
		}
		seen[w.fault.Files] = true
		name := b.Targets[0]
		switch got := strings.Join(noted.log, ", "); got {
		case name + " killed, disk of " + name + " bad, " + name + " ":
			began++
		case "disk of " + name + " bad":
		default:
			t.Fatalf("draw %d: %s", draw, got)
		}
	}
	if len(seen) != len(readFiles) || began < draws/2 || began == draws {
		t.Errorf("reads of %v failed; %d of %d began on such a disk", seen, began, draws)
	}
}
