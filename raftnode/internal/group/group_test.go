package group_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// bubble runs a test with a cluster in virtual time. That the bubble ends shows that Close leaves no goroutine and no
// future behind.
func bubble(t *testing.T, n int, f func(*testing.T, *cluster), options ...option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, n, options...)
		defer c.close()
		f(t, c)
	})
}

func TestGroup_ThreeServers_Agree(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		for i := range 200 {
			if r := l.mustPropose(place(fmt.Sprint(i))); r.Verdict != placement.Done {
				t.Fatalf("place %d: %v", i, r.Verdict)
			}
		}
		if v := c.agree(); v.Term != l.group.Tenure().Term {
			t.Errorf("the view has term %d, the tenure %d", v.Term, l.group.Tenure().Term)
		}
		for _, n := range c.others(l) {
			if _, err := n.propose(place("x")); !errors.Is(err, group.ErrNotLeader) {
				t.Errorf("%s: propose: %v, want ErrNotLeader", n.name, err)
			}
			if _, err := n.group.Pulse(context.Background(), 0); !errors.Is(err, group.ErrNotLeader) {
				t.Errorf("%s: pulse: %v, want ErrNotLeader", n.name, err)
			}
			if leader, _ := n.group.Leader(); leader != l.name {
				t.Errorf("%s takes %q for the leader", n.name, leader)
			}
		}
	})
}

// failover isolates the leader and returns how long it takes until another one commits.
func failover(t *testing.T, c *cluster, how func(*node)) time.Duration {
	t.Helper()
	l := c.leader(nil)
	time.Sleep(time.Duration(len(c.nodes)) * 777 * time.Millisecond)
	begin := time.Now()
	how(l)
	next := c.leader(l)
	next.mustPropose(join("m"))
	return time.Since(begin)
}

func percentile(d []time.Duration, p int) time.Duration {
	sort.Slice(d, func(i, j int) bool { return d[i] < d[j] })
	return d[(len(d)-1)*p/100]
}

func TestGroup_Failover_LAN(t *testing.T) {
	for name, how := range map[string]func(*cluster) func(*node){
		"isolated": func(c *cluster) func(*node) { return func(n *node) { c.isolate(n, true) } },
		"killed":   func(*cluster) func(*node) { return func(n *node) { n.kill() } },
	} {
		var took []time.Duration
		bubble(t, 3, func(t *testing.T, c *cluster) {
			for range underrace.Rounds(40, 10) {
				l := c.leader(nil)
				took = append(took, failover(t, c, how(c)))
				if l.group == nil {
					l.start()
				}
				c.isolate(l, false)
				c.agree()
			}
		})
		p50, p90, most := percentile(took, 50), percentile(took, 90), took[len(took)-1]
		t.Logf("%s: failover p50 %v, p90 %v, max %v", name, p50, p90, most)
		if p90 > 1500*time.Millisecond {
			t.Errorf("%s: p90 is %v, want under 1.5s", name, p90)
		}
	}
}

// A server that was cut off for however long has everything within a second of healing, the former leader included.
func TestGroup_Heal_CaughtUpWithinASecond(t *testing.T) {
	rounds := map[time.Duration]int{time.Second: 8, 5 * time.Second: 8, 30 * time.Second: 6, 240 * time.Second: 3, 15 * time.Minute: 1}
	if underrace.On {
		rounds = map[time.Duration]int{time.Second: 3, 5 * time.Second: 3, 30 * time.Second: 2} // in a longer one nothing else happens
	}
	for outage, rounds := range rounds {
		for _, leader := range []bool{false, true} {
			var took []time.Duration
			bubble(t, 3, func(t *testing.T, c *cluster) {
				for range rounds {
					l := c.leader(nil)
					victim := l
					if !leader {
						victim = c.others(l)[0]
					}
					c.isolate(victim, true)
					time.Sleep(outage / 2)
					c.leader(victim).mustPropose(join("m"))
					time.Sleep(outage / 2)
					c.isolate(victim, false)
					begin := time.Now()
					c.agree()
					took = append(took, time.Since(begin))
				}
			})
			if most := percentile(took, 100); most > time.Second {
				t.Errorf("outage %v, leader %t: caught up after %v, want under 1s", outage, leader, most)
			}
		}
	}
}

// However it was lost: one way only, behind what the log still has, or because it did not run.
func TestGroup_Heal_AnyOutage_CaughtUpWithinASecond(t *testing.T) {
	oneWay := func(from, to func(c *cluster, victim *node) []*node) func(*cluster, *node, bool) {
		return func(c *cluster, victim *node, cut bool) {
			for _, a := range from(c, victim) {
				for _, b := range to(c, victim) {
					c.net.Cut(hostOf(c.address[a.name]), hostOf(c.address[b.name]), cut)
				}
			}
		}
	}
	itself := func(_ *cluster, victim *node) []*node { return []*node{victim} }
	others := func(c *cluster, victim *node) []*node { return c.others(victim) }
	for name, tt := range map[string]struct {
		cut    func(c *cluster, victim *node, cut bool)
		writes int
	}{
		"hears nothing":   {oneWay(others, itself), 1},
		"is not heard":    {oneWay(itself, others), 1},
		"needs much":      {func(c *cluster, victim *node, cut bool) { c.isolate(victim, cut) }, 90},
		"needs the state": {func(c *cluster, victim *node, cut bool) { c.isolate(victim, cut) }, 300},
		"does not run": {func(_ *cluster, victim *node, cut bool) {
			if cut {
				victim.kill()
			} else {
				victim.start()
			}
		}, 1},
	} {
		var took []time.Duration
		bubble(t, 3, func(t *testing.T, c *cluster) {
			for round := range underrace.Rounds(8, 4) {
				victim := c.others(c.leader(nil))[0]
				tt.cut(c, victim, true)
				time.Sleep(time.Duration(700+round*1370) * time.Millisecond)
				for range tt.writes {
					c.leader(victim).mustPropose(join("m"))
				}
				time.Sleep(2500 * time.Millisecond)
				tt.cut(c, victim, false)
				begin := time.Now()
				c.agree()
				took = append(took, time.Since(begin))
			}
		}, withConfig(func(c *group.Config) { c.SnapshotEntries, c.TrailingLogs = 100, 10 }))
		p50, most := percentile(took, 50), percentile(took, 100)
		t.Logf("%s: caught up after %v, at most %v", name, p50, most)
		if most > time.Second {
			t.Errorf("%s: caught up after %v, want under 1s", name, most)
		}
	}
}

// The library alone backs off up to ten seconds: the tests above can fail.
func TestGroup_Heal_WithoutTheGate_IsSlow(t *testing.T) {
	var most time.Duration
	bubble(t, 3, func(t *testing.T, c *cluster) {
		for range 6 {
			l := c.leader(nil)
			victim := c.others(l)[0]
			// Heartbeats pass, so the gate is open, and appends are refused: the library counts failures.
			r := c.rules.add(&rule{to: victim.name, kinds: []group.Message{group.Append}, drop: true})
			time.Sleep(65 * time.Second)
			l.mustPropose(join("m"))
			c.rules.remove(r)
			begin := time.Now()
			c.agree()
			most = max(most, time.Since(begin))
		}
	})
	if most < 2*time.Second {
		t.Errorf("the slowest took %v: the library's backoff is not what the gate is for", most)
	}
}

func TestGroup_Restart_KeepsEverything(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		for i := range 50 {
			l.mustPropose(place(fmt.Sprint(i)))
		}
		for _, n := range c.nodes {
			n.kill()
		}
		for _, n := range c.nodes {
			n.start()
		}
		c.leader(nil)
		v := c.agree()
		if _, pending := v.Count(); pending != 50 {
			t.Errorf("%d placements are there after the restart, want 50", pending)
		}
	})
}

// Where servers are found is no part of Raft's configuration: all of them may move at once.
func TestGroup_RestartWithOtherAddresses_FormsAgain(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).mustPropose(join("m1"))
		for _, n := range c.nodes {
			n.kill()
		}
		for i, n := range c.nodes {
			c.address[n.name] = fmt.Sprintf("elsewhere%d:9999", (i+1)%3)
		}
		for _, n := range c.nodes {
			n.start()
		}
		r := c.leader(nil).mustPropose(place("1"))
		if r.Verdict != placement.Done {
			t.Errorf("place: %v", r.Verdict)
		}
		c.agree()
	})
}

func TestGroup_SnapshotAndCompaction_FollowerIsSentTheSnapshot(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		behind := c.others(l)[0]
		c.isolate(behind, true)
		for i := range 300 {
			l.mustPropose(place(fmt.Sprint(i)))
		}
		time.Sleep(5 * time.Second)
		if first, _ := l.disk.FirstIndex(); first < 200 {
			t.Fatalf("the log still begins at %d: nothing was compacted", first)
		}
		c.isolate(behind, false)
		v := c.agree()
		if _, pending := v.Count(); pending != 300 {
			t.Errorf("%d placements, want 300", pending)
		}
		behind.kill()
		behind.start()
		c.agree()
	}, withConfig(func(c *group.Config) { c.SnapshotEntries, c.TrailingLogs = 100, 10 }))
}

func TestGroup_StalledDisk_EndsTheServer(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.disk.Stall(true)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := l.group.Propose(ctx, encode(t, join("m")))
		var unknown *group.UnknownError
		if !errors.As(err, &unknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("proposal into a stalled disk: %v, want an UnknownError of the deadline", err)
		}
		for {
			if stopped, _ := l.stops(); len(stopped) > 0 {
				if !errors.Is(stopped[0], storage.ErrStalled) {
					t.Errorf("stopped by %v", stopped[0])
				}
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(begin); took > group.LAN.Stall+time.Second {
			t.Errorf("the server was stopped after %v", took)
		}
		// Its process would be gone now; the others go on.
		c.net.Reset(l.name)
		c.isolate(l, true)
		c.leader(l).mustPropose(join("m"))
		l.disk.Stall(false)
	})
}

func TestGroup_FailingDisk_EndsTheServer(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.disk.Fail(1)
		_, err := l.propose(join("m"))
		var unknown *group.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("proposal into a failing disk: %v, want an UnknownError", err)
		}
		if stopped, _ := l.stops(); len(stopped) != 1 || !errors.Is(stopped[0], raftnodetest.ErrDisk) {
			t.Errorf("stopped by %v, want the disk's error once", stopped)
		}
	})
}

func TestGroup_BrokenEntry_EndsTheServer(t *testing.T) {
	bubble(t, 1, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		_, err := l.group.Propose(context.Background(), []byte{0xff})
		var unknown *group.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("a command that cannot be decoded: %v", err)
		}
		if stopped, _ := l.stops(); len(stopped) != 1 {
			t.Errorf("stopped by %v, want once", stopped)
		}
	})
}

func TestGroup_FullQueue_Refuses(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		l.disk.Slow(100 * time.Millisecond)
		cmd := encode(t, place("1"))
		full, many := make([][]byte, 1<<16), make([][]byte, 200)
		for i := range full {
			full[i] = cmd
		}
		for i := range many {
			many[i] = cmd
		}
		done := make(chan error)
		go func() {
			_, err := l.group.ProposeAll(context.Background(), full)
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		if _, err := l.group.ProposeAll(context.Background(), append(full, many...)); !errors.Is(err, group.ErrQueueFull) {
			t.Errorf("over the limit: %v, want ErrQueueFull", err)
		}
		if err := <-done; err != nil {
			t.Errorf("at the limit: %v", err)
		}
		l.disk.Slow(0)
		l.mustPropose(place("2"))
	})
}

func TestGroup_CancelledBeforeItWasProposed_IsRefused(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.disk.Slow(200 * time.Millisecond)
		// Two batches are in flight and keep the third waiting.
		results := make(chan error, 2)
		for range 2 {
			go func() {
				_, err := l.propose(join("m"))
				results <- err
			}()
			time.Sleep(time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		before := l.group.View().Index
		_, err := l.group.Propose(ctx, encode(t, join("late")))
		var unknown *group.UnknownError
		if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &unknown) {
			t.Errorf("a command that waited: %v, want the deadline alone", err)
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Second)
		if v := c.agree(); v.Roster.Find("late") != nil || v.Index == before {
			t.Error("a refused command was carried out")
		}
	})
}

func TestGroup_DeposedLeader_OutcomesAreUnknownOrRefused(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		c.isolate(l, true)
		_, err := l.propose(place("1"))
		var unknown *group.UnknownError
		if !errors.As(err, &unknown) {
			t.Errorf("a proposal of an isolated leader: %v, want an UnknownError", err)
		}
		if _, err := l.propose(place("2")); !errors.Is(err, group.ErrNotLeader) || errors.As(err, &unknown) {
			t.Errorf("after it stepped down: %v, want ErrNotLeader", err)
		}
		c.leader(l)
	})
}

func TestGroup_Pulse_CoversWhatWasAcknowledged(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		r := l.mustPropose(join("m1"))
		before := time.Now()
		p, err := l.group.Pulse(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if p.Index < r.Index || p.Tenure != l.group.Tenure() || time.Duration(p.T0) < before.Sub(epoch) {
			t.Errorf("pulse %+v after a command at %d", p, r.Index)
		}
		// A pulse that may wait goes with whatever goes, and alone when nothing does.
		begin := time.Now()
		if _, err := l.group.Pulse(context.Background(), 500*time.Millisecond); err != nil || time.Since(begin) != 500*time.Millisecond {
			t.Errorf("a patient pulse came after %v, %v", time.Since(begin), err)
		}
		begin = time.Now()
		go func() {
			time.Sleep(100 * time.Millisecond)
			l.mustPropose(place("1"))
		}()
		if _, err := l.group.Pulse(context.Background(), 500*time.Millisecond); err != nil || time.Since(begin) != 100*time.Millisecond {
			t.Errorf("a patient pulse came after %v with a command at 100ms, %v", time.Since(begin), err)
		}
	})
}

func TestGroup_NonVoter_CatchesUpAndIsPromoted(t *testing.T) {
	bubble(t, 4, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		late := c.nodes[3]
		for i := range 20 {
			l.mustPropose(place(fmt.Sprint(i)))
		}
		ctx := context.Background()
		if err := l.group.AddServer(ctx, late.name); err != nil {
			t.Fatal(err)
		}
		c.agree()
		if err := l.group.Promote(ctx, late.name); err != nil {
			t.Fatal(err)
		}
		voters := 0
		for _, s := range l.group.Servers() {
			if s.Voter {
				voters++
			}
		}
		if voters != 4 {
			t.Errorf("%d voters, want 4", voters)
		}
		out := c.others(l, late)[0]
		if err := l.group.RemoveServer(ctx, out.name); err != nil {
			t.Fatal(err)
		}
		out.kill()
		l.mustPropose(place("after"))
		c.agree()
	}, withConfig(func(c *group.Config) {
		if c.Founders = c.Founders[:3]; c.Server == "s4" {
			c.Founders = nil
		}
	}))
}

func TestGroup_Transfer_HandsOverWithoutSilence(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		to := c.others(l)[0]
		begin := time.Now()
		if err := l.group.Transfer(context.Background(), to.name, to.progress); err != nil {
			t.Fatal(err)
		}
		for to.group.Tenure() == nil {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("the transfer took %v", took)
		}
		to.mustPropose(place("1"))
		c.agree()
	})
}

// S1: leadership that was lost and won again, while nobody looked at the library's hints, is another tenure. The library
// keeps the newest hint alone, which is that this server leads, as it did.
func TestGroup_LostAndWonAtOnce_IsAnotherTenure(t *testing.T) {
	for _, proposes := range []bool{false, true} {
		var first atomic.Pointer[group.Tenure]
		var free chan struct{}
		bubble(t, 3, func(t *testing.T, c *cluster) {
			l := c.leader(nil)
			defer func() {
				if free != nil {
					close(free)
				}
			}()
			old := l.group.Tenure()
			c.isolate(l, true)
			next := c.leader(l)
			next.mustPropose(join("m1"))
			c.isolate(l, false)
			c.agree()
			if err := next.group.Transfer(context.Background(), l.name, l.progress); err != nil {
				t.Fatal(err)
			}
			for name := ""; name != l.name; name, _ = next.group.Leader() {
				time.Sleep(time.Millisecond)
			}
			synctest.Wait()
			if l.group.Tenure() != old || old.Context().Err() != nil {
				t.Fatal("the server has seen that it lost its leadership: nothing is shown")
			}
			if proposes {
				// What is proposed in the old tenure finds out, and does nothing.
				if r, err := l.propose(join("m2")); !errors.Is(err, group.ErrNotLeader) {
					t.Errorf("a command of the former tenure: %+v, %v", r, err)
				}
				if p, err := l.group.Pulse(context.Background(), 0); !errors.Is(err, group.ErrNotLeader) {
					t.Errorf("a pulse of the former tenure: %+v, %v", p, err)
				}
			}
			close(free)
			free = nil
			time.Sleep(time.Second)
			if old.Context().Err() == nil {
				t.Error("the former tenure goes on")
			}
			now := l.group.Tenure()
			if now == nil || now == old || now.Term <= old.Term || now.Start <= old.Start || now.View.Roster.Find("m1") == nil {
				t.Fatalf("proposes %t: the tenure is %+v, was %+v", proposes, now, old)
			}
			l.mu.Lock()
			begun := slices.Clone(l.tenures)
			l.mu.Unlock()
			if !slices.Equal(begun, []uint64{old.Term, now.Term}) {
				t.Errorf("the tenures of the terms %v have begun, want %d and %d", begun, old.Term, now.Term)
			}
			if p, err := l.group.Pulse(context.Background(), 0); err != nil || p.Tenure != now {
				t.Errorf("a pulse: %+v, %v", p, err)
			}
			l.mustPropose(place("1"))
			if c.agree().Roster.Find("m2") != nil {
				t.Error("a command of the former tenure was carried out")
			}
		}, withConfig(func(c *group.Config) {
			if free == nil {
				free = make(chan struct{})
			}
			inner, wait := c.OnTenure, free
			c.OnTenure = func(t *group.Tenure, f *group.Feed) {
				inner(t, f)
				if first.CompareAndSwap(nil, t) {
					<-wait // keeps the server from looking
				}
			}
		}))
	}
}

func (n *node) progress(context.Context) (uint64, error) { return n.group.View().Index, nil }

// fill makes the state large.
func (n *node) fill(identities int) {
	n.c.t.Helper()
	n.mustPropose(join("m1"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var commands [][]byte
	for i := range identities {
		commands = append(commands, encode(n.c.t, place(fmt.Sprintf("a-long-name-of-a-cart-%016x", uint64(i)*0x9E3779B97F4A7C15))))
		if len(commands) < 1000 {
			continue
		}
		if _, err := n.group.ProposeAll(ctx, commands); err != nil {
			n.c.t.Fatal(err)
		}
		commands = nil
	}
}

// snapshotOnItsWay brings about that the leader sends a follower a snapshot, which has begun and has a while to go, and
// returns the two.
func (c *cluster) snapshotOnItsWay() (l, victim *node) {
	c.t.Helper()
	l = c.leader(nil)
	victim = c.others(l)[0]
	c.isolate(victim, true)
	for range 300 {
		c.leader(victim).mustPropose(join("m"))
	}
	time.Sleep(2500 * time.Millisecond) // snapshots are written, logs shortened
	c.net.Delay(hostOf(c.address[l.name]), hostOf(c.address[victim.name]), 100*time.Millisecond)
	before := c.rules.snapshots.Load()
	c.isolate(victim, false)
	for range 5000 {
		if c.rules.snapshots.Load() > before {
			time.Sleep(350 * time.Millisecond) // connected, greeted, and something has come
			return l, victim
		}
		time.Sleep(time.Millisecond)
	}
	c.t.Fatal("no snapshot is sent")
	return nil, nil
}

// slowSnapshots are small logs, so that a follower that was away is sent a snapshot.
var slowSnapshots = withConfig(func(c *group.Config) { c.SnapshotEntries, c.TrailingLogs = 100, 10 })

// Raft's goroutine reads a snapshot from its connection, and the leader's writes it: neither must wait for what TCP sends
// again when the network is long back. After 4.1 s the first heartbeat comes as late as it can.
func TestGroup_Heal_SnapshotOnItsWay_CaughtUpWithinASecond(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).fill(20_000)
		for _, outage := range []time.Duration{200 * time.Millisecond, 450 * time.Millisecond, 700 * time.Millisecond, 1300 * time.Millisecond, 4100 * time.Millisecond, 30 * time.Second} {
			var took []time.Duration
			for range underrace.Rounds(6, 2) {
				l, victim := c.snapshotOnItsWay()
				c.isolate(victim, true)
				c.net.Delay(hostOf(c.address[l.name]), hostOf(c.address[victim.name]), 0)
				time.Sleep(outage)
				c.isolate(victim, false)
				begin := time.Now()
				c.agree()
				took = append(took, time.Since(begin))
			}
			t.Logf("outage %v: caught up after %v", outage, took)
			if most := percentile(took, 100); most > time.Second {
				t.Errorf("outage %v: caught up after %v, want under 1s", outage, most)
			}
		}
	}, slowSnapshots)
}

// A follower that is sent a snapshot by a leader whose machine is gone is needed for the next election.
func TestGroup_Failover_SnapshotOnItsWay_FollowerVotes(t *testing.T) {
	var took []time.Duration
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).fill(20_000)
		for range underrace.Rounds(8, 3) {
			l, victim := c.snapshotOnItsWay()
			c.isolate(l, true)
			begin := time.Now()
			c.leader(l).mustPropose(join("m"))
			took = append(took, time.Since(begin))
			c.net.Delay(hostOf(c.address[l.name]), hostOf(c.address[victim.name]), 0)
			c.isolate(l, false)
			c.agree()
		}
	}, slowSnapshots)
	t.Logf("failover: %v", took)
	if most := percentile(took, 100); most > 3*time.Second {
		t.Errorf("another leader after %v, want under 3s", most)
	}
}

// A transfer that goes on, however slowly, is left alone: heartbeats fail all the while, and the library's own time for it would long be over.
func TestGroup_SlowSnapshot_ArrivesOnce(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).fill(40_000)
		l, victim := c.snapshotOnItsWay()
		before := c.rules.snapshots.Load()
		c.net.Delay(hostOf(c.address[l.name]), hostOf(c.address[victim.name]), 400*time.Millisecond)
		begin := time.Now()
		c.agree()
		if took := time.Since(begin); took < c.timing.Transport+time.Second {
			t.Errorf("it took %v: not slow", took)
		}
		if n := c.rules.snapshots.Load() - before; n != 0 {
			t.Errorf("the snapshot was sent %d times more", n)
		}
	}, slowSnapshots)
}

// deadEnds is a stream layer of which a connection dies, and nobody is told, when a snapshot is sent on it.
type deadEnds struct {
	raft.StreamLayer
	left *atomic.Int64 // of them
}

func (d deadEnds) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := d.StreamLayer.Dial(address, timeout)
	return &deadEnd{Conn: conn, left: d.left}, err
}

type deadEnd struct {
	net.Conn
	left *atomic.Int64
	dead bool
}

// Write loses everything from the head of a snapshot on, if it is one that dies.
func (d *deadEnd) Write(b []byte) (int, error) {
	const installSnapshot = 2 // of the library: net_transport.go
	if d.dead = d.dead || len(b) > 1 && b[0] == installSnapshot && d.left.Add(-1) >= 0; d.dead {
		return len(b), nil
	}
	return d.Conn.Write(b)
}

// A snapshot whose connection is dead, while heartbeats come and go on another, is sent again.
func TestGroup_SnapshotOnADeadConnection_IsSentAgain(t *testing.T) {
	var left atomic.Int64
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).fill(20_000)
		l := c.leader(nil)
		victim := c.others(l)[0]
		c.isolate(victim, true)
		for range 300 {
			c.leader(victim).mustPropose(join("m"))
		}
		time.Sleep(2500 * time.Millisecond) // snapshots are written, logs shortened
		left.Store(1)
		before, begin := c.rules.snapshots.Load(), time.Now()
		c.isolate(victim, false)
		c.agree()
		if took := time.Since(begin); took > c.timing.Transport+2*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := c.rules.snapshots.Load() - before; left.Load() >= 1 || n < 2 {
			t.Errorf("%d snapshots were sent", n)
		}
	}, withConfig(func(c *group.Config) {
		c.SnapshotEntries, c.TrailingLogs = 100, 10
		c.Stream = deadEnds{c.Stream, &left}
	}))
}

// A peer that was removed while it was sent a snapshot, and was cut off, is left alone at once.
func TestGroup_PeerIsRemoved_SnapshotOnItsWay_IsLeftAlone(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		c.leader(nil).fill(40_000)
		l, victim := c.snapshotOnItsWay()
		c.isolate(victim, true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.group.RemoveServer(ctx, victim.name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := c.rules.sentTo(victim.name)
		time.Sleep(10 * time.Second)
		if n := c.rules.sentTo(victim.name) - before; n > 0 {
			t.Errorf("%d messages to it", n)
		}
	}, slowSnapshots)
}
