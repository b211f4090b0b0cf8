package group_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// The known faults of the library, each reproduced against our wrappers, which it must not hurt, and, where that is
// cheap, against the library as it comes, so that the test is known to be able to fail.

// deposeQuietly makes another server leader while old does not learn it by anything but heartbeats: its own messages
// get no answers, and only heartbeats of the new leader reach it.
func deposeQuietly(r *rules, old string, to string) {
	r.add(&rule{from: old, kinds: []group.Message{group.Append}})
	r.add(&rule{from: to, to: old, kinds: []group.Message{group.Vote, group.PreVote, group.Append}})
}

// hashicorp/raft#695: a heartbeat of a newer term, handled beside a leader that is about to write, gives its next entry
// the newer term. Two logs hold different entries at one index and term, and the replicas differ for good.
func TestFault695_HeartbeatFastPath(t *testing.T) {
	differ := false
	for range 10 { // the old leader's lease check may come first
		if differ = differ || stockDiffers695(t); differ {
			break
		}
	}
	if !differ {
		t.Error("the library's replicas never differ: the reproduction is not one")
	}
	for range 10 {
		bubble(t, 3, deposedByAHeartbeat)
	}
}

// deposedByAHeartbeat has a leader learn by a heartbeat that it is deposed, and write before it has learned anything else.
func deposedByAHeartbeat(t *testing.T, c *cluster) {
	old := c.leader(nil)
	old.mustPropose(join("m1"))
	time.Sleep(100 * time.Millisecond)
	next, third := c.others(old)[0], c.others(old)[1]
	deposeQuietly(&c.rules, old.name, next.name)
	hold := c.rules.add(&rule{from: next.name, to: old.name, kinds: []group.Message{group.Heartbeat}})
	if err := third.group.TimeoutNow(next.name); err != nil {
		t.Fatal(err)
	}
	for next.group.Tenure() == nil {
		time.Sleep(time.Millisecond)
	}
	synctest.Wait()
	c.rules.remove(hold)
	for {
		_, was := old.group.Leader()
		if _, is := next.group.Leader(); is == was {
			break
		}
		time.Sleep(time.Millisecond)
	}
	done := make(chan error)
	go func() {
		_, err := old.propose(place("BOGUS"))
		done <- err
	}()
	synctest.Wait()
	c.rules.clear()
	if err := <-done; err == nil {
		t.Error("a deposed leader's command was done")
	}
	time.Sleep(5 * time.Second)
	next.mustPropose(place("last"))
	if e, _ := c.agree().Lookup(placement.Identity{Kind: "cart", Key: "BOGUS"}); e.Phase != placement.Absent {
		t.Errorf("a refused command left %+v", e)
	}
	// The state machine refuses what was written in the wrong term, so the replicas' states say little: their logs do.
	c.sameLogs()
}

// sameLogs compares the logs of the servers, entry by entry, as far as all have them: what has one index and one term is
// one entry.
func (c *cluster) sameLogs() {
	c.t.Helper()
	for _, n := range c.nodes[1:] {
		last, _ := n.disk.LastIndex()
		for i := uint64(1); i <= last; i++ {
			var a, b raft.Log
			if c.nodes[0].disk.GetLog(i, &a) != nil || n.disk.GetLog(i, &b) != nil {
				continue
			}
			if a.Term == b.Term && (a.Type != b.Type || !bytes.Equal(a.Data, b.Data)) {
				c.t.Errorf("entry %d of term %d: %s has %v %q, %s has %v %q", i, a.Term, c.nodes[0].name, a.Type, a.Data, n.name, b.Type, b.Data)
			}
		}
	}
}

// Heartbeats are Raft's own goroutine's: while it waits for the disk, none is answered.
func TestFault695_HeartbeatsWaitForTheDisk(t *testing.T) {
	var to atomic.Pointer[string]
	var answers atomic.Int64
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		busy := c.others(l)[0]
		c.await(busy, l.group.View().Index)
		busy.disk.Stall(true)
		l.mustPropose(place("1")) // by the other follower
		synctest.Wait()
		to.Store(&busy.name)
		time.Sleep(c.timing.Election * 9 / 10)
		if n := answers.Load(); n != 0 {
			t.Errorf("%d heartbeats were answered beside Raft's goroutine", n)
		}
		busy.disk.Stall(false)
		time.Sleep(c.timing.Election * 9 / 10)
		if answers.Load() == 0 {
			t.Error("no heartbeat is answered when the disk has written: nothing is shown")
		}
		c.agree()
	}, withConfig(func(c *group.Config) {
		inner := c.Intercept
		c.Intercept = func(name string, m group.Message, answered bool) error {
			if busy := to.Load(); busy != nil && name == *busy && m == group.Heartbeat && answered {
				answers.Add(1)
			}
			return inner(name, m, answered)
		}
	}))
}

func stockDiffers695(t *testing.T) (differ bool) {
	synctest.Test(t, func(t *testing.T) {
		s := newStock(t, func(c *raft.Config) { c.LeaderLeaseTimeout = time.Second })
		defer s.close()
		old := s.leader(nil)
		if err := old.raft.Apply([]byte("first"), 0).Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		next := s.others(old)[0]
		deposeQuietly(&s.rules, old.name, next.name)
		// Ask the next leader to stand at once, so that the old one's lease has not run out.
		hold := s.rules.add(&rule{from: next.name, to: old.name, kinds: []group.Message{group.Heartbeat}})
		third := s.others(old, next)[0]
		if err := third.trans.TimeoutNow(raft.ServerID(next.name), raft.ServerAddress(next.name+":1"), &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(third.name), Addr: []byte(third.name + ":1")}}, &raft.TimeoutNowResponse{}); err != nil {
			t.Fatal(err)
		}
		for next.raft.State() != raft.Leader {
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		s.rules.remove(hold)
		for old.raft.CurrentTerm() != next.raft.CurrentTerm() {
			time.Sleep(time.Millisecond)
		}
		// The heartbeat has changed the term; the old leader's loop still waits for work.
		bogus := old.raft.Apply([]byte("BOGUS"), 0)
		s.rules.clear()
		time.Sleep(5 * time.Second)
		_ = bogus.Error()
		if err := next.raft.Apply([]byte("last"), 0).Error(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		differ = !slices.Equal(old.fsm.list(), next.fsm.list())
	})
	return differ
}

// hashicorp/raft#612: with the pipeline, one append that is not accepted ends replication to the follower for good, and
// Shutdown with it.
func TestFault612_RefusedAppend(t *testing.T) {
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		hurt := c.others(l)[0]
		// What hangs does so now and then; whether the library is given a pipeline can be told each time.
		if err := l.group.Pipeline(hurt.name); !errors.Is(err, raft.ErrPipelineReplicationNotSupported) {
			t.Fatalf("asked for a pipeline, the transport says %v", err)
		}
		for round := range 5 {
			done := make(chan struct{})
			go func() {
				defer close(done)
				for i := range 100 {
					l.mustPropose(place(fmt.Sprintf("%d-%d", round, i)))
				}
			}()
			// The disk's error would end the server; here it goes on, so that replication to it can be watched.
			hurt.disk.Fail(1)
			<-done
			c.agree()
		}
		if stopped, _ := hurt.stops(); len(stopped) != 1 {
			t.Errorf("the disk's errors were reported %d times, want once", len(stopped))
		}
	})
}

// hashicorp/raft#696: two leadership transfers to a server that does not answer leave the leader refusing every write,
// even when it is elected again.
func TestFault696_TransferToAStuckServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStock(t, func(*raft.Config) {})
		l := s.leader(nil)
		stuck := s.others(l)[0]
		s.rules.add(&rule{from: l.name, to: stuck.name, kinds: []group.Message{group.Append}})
		_ = l.raft.Apply([]byte("x"), 0).Error()
		for range 2 {
			_ = l.raft.LeadershipTransferToServer(raft.ServerID(stuck.name), raft.ServerAddress(stuck.name+":1")).Error()
			time.Sleep(5 * time.Second)
		}
		err := l.raft.Apply([]byte("y"), 0).Error()
		if !errors.Is(err, raft.ErrLeadershipTransferInProgress) {
			t.Errorf("ten seconds after the second transfer the library says %v: the reproduction is not one", err)
		}
		s.rules.clear()
		time.Sleep(30 * time.Second)
		s.close()
	})

	asked := &asked{n: map[[2]string]int{}}
	bubble(t, 3, func(t *testing.T, c *cluster) {
		l := c.leader(nil)
		l.mustPropose(join("m1"))
		stuck := c.others(l)[0]
		c.rules.add(&rule{from: l.name, to: stuck.name, kinds: []group.Message{group.Append}})
		l.mustPropose(place("0")) // never reaches it
		for range 3 {
			err := l.group.Transfer(context.Background(), stuck.name, stuck.progress)
			if err == nil || !strings.Contains(err.Error(), "not ready to lead") {
				t.Errorf("transfer to a stuck server: %v", err)
			}
		}
		if r, err := l.propose(place("1")); err != nil || r.Verdict != placement.Done {
			t.Errorf("after the refused transfers: %v, %v", r.Verdict, err)
		}
		// A server that has everything, but does not hear that it is to lead: one try, then none in this term.
		deaf := c.others(l)[1]
		c.rules.add(&rule{to: deaf.name, kinds: []group.Message{group.TimeoutNow}, drop: true})
		term := l.group.Tenure().Term
		for i := range 3 {
			err := l.group.Transfer(context.Background(), deaf.name, deaf.progress)
			if err == nil || strings.Contains(err.Error(), "in this term before") != (i > 0) {
				t.Errorf("transfer %d to a deaf server: %v", i, err)
			}
		}
		if now := l.group.Tenure(); now == nil || now.Term != term || asked.of(l, deaf) != 1 {
			t.Errorf("in the tenure %+v the deaf server was asked %d times to lead, want once in the term %d", now, asked.of(l, deaf), term)
		}
		// Another server can still be tried, and in a later term the same one. Now nothing says that it does not hear.
		c.rules.clear()
		c.agree()
		if err := l.group.Transfer(context.Background(), stuck.name, stuck.progress); err != nil {
			t.Fatal(err)
		}
		c.leader(l).mustPropose(place("2"))
		if err := stuck.group.Transfer(context.Background(), l.name, l.progress); err != nil {
			t.Fatal(err)
		}
		c.leader(stuck)
		c.rules.add(&rule{to: deaf.name, kinds: []group.Message{group.TimeoutNow}})
		for i := range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if err := l.group.Transfer(ctx, deaf.name, deaf.progress); err == nil {
				t.Errorf("transfer %d to a deaf server succeeded", i)
			}
			cancel()
		}
		if n := asked.of(l, deaf); n != 2 {
			t.Errorf("in two terms the deaf server was asked %d times to lead", n)
		}
		c.rules.clear()
		time.Sleep(10 * time.Second)
		c.leader(nil).mustPropose(place("3"))
		c.agree()
	}, withConfig(asked.change))
}

// asked counts how often servers are asked to stand for election.
type asked struct {
	mu sync.Mutex
	n  map[[2]string]int
}

func (a *asked) change(c *group.Config) {
	from, inner := c.Server, c.Intercept
	c.Intercept = func(to string, m group.Message, answered bool) error {
		if m == group.TimeoutNow && !answered {
			a.mu.Lock()
			a.n[[2]string{from, to}]++
			a.mu.Unlock()
		}
		return inner(to, m, answered)
	}
}

func (a *asked) of(from, to *node) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[[2]string{from.name, to.name}]
}

// hashicorp/raft#697: a follower whose log reaches, with entries that will never commit, beyond the snapshot that it is
// sent refuses every entry and is sent the snapshot again, without end.
func TestFault697_SnapshotOverALongerLog(t *testing.T) {
	var snapshots atomic.Int64
	bubble(t, 3, func(t *testing.T, c *cluster) {
		old := c.leader(nil)
		old.mustPropose(join("m1"))
		c.agree()
		c.isolate(old, true)
		// Entries that cannot commit. Our batcher has two in flight at most, so the library's log is filled directly.
		for range 40 {
			old.group.ApplyRaw([]byte{})
		}
		time.Sleep(3 * time.Second)
		next := c.leader(old)
		for i := range 20 {
			next.mustPropose(place(fmt.Sprint(i)))
		}
		// The first message to the old leader waits for it with the entries that conflict, and would mend it. Another
		// leader, whose log begins behind them, has none; and the first one is gone when the old one is back.
		third := c.others(old, next)[0]
		c.await(third, next.group.View().Index)
		for _, n := range []*node{next, third} {
			if err := n.group.TakeSnapshot(); err != nil {
				t.Fatal(err)
			}
		}
		if err := next.group.Transfer(context.Background(), third.name, third.progress); err != nil {
			t.Fatal(err)
		}
		c.leader(old)
		first := next
		next = third
		last, _ := old.disk.LastIndex()
		if begins, _ := next.disk.FirstIndex(); begins == 0 || begins > last {
			t.Fatalf("the old log reaches %d, the new one begins at %d: no conflict", last, begins)
		}
		first.kill()
		c.isolate(old, false)
		for range 2000 {
			if _, reopen := old.stops(); len(reopen) > 0 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if _, reopen := old.stops(); len(reopen) == 0 {
			t.Fatal("the group was not asked to open again")
		}
		old.kill()
		old.start()
		first.start()
		begin := time.Now()
		c.agree()
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("healed %v after it was opened again", took)
		}
		if n := snapshots.Load(); n > 20 {
			t.Errorf("%d snapshots were sent", n)
		}
	}, withConfig(func(c *group.Config) {
		c.TrailingLogs = 1
		inner := c.Intercept
		c.Intercept = func(to string, m group.Message, answered bool) error {
			if m == group.Snapshot && !answered {
				if snapshots.Add(1) > 1000 {
					time.Sleep(time.Second) // an endless loop would keep virtual time from going on
				}
			}
			return inner(to, m, answered)
		}
	}))
}

// VerifyLeader counts answers to messages that were sent before it was called: it verifies a leader that was deposed,
// while another one has acknowledged newer writes. A pulse does not.
func TestFaultStaleVerifyLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verified := false
		for range 20 {
			s := newStock(t, func(c *raft.Config) { c.LeaderLeaseTimeout = time.Second })
			old := s.leader(nil)
			time.Sleep(time.Second)
			// Answers to the old leader's messages are late from now on; what it sends from then on is lost.
			late := s.rules.add(&rule{from: old.name, kinds: []group.Message{group.Append, group.Heartbeat}, answers: true})
			time.Sleep(300 * time.Millisecond)
			s.rules.add(&rule{from: old.name, kinds: []group.Message{group.Append, group.Heartbeat}, drop: true})
			next := s.others(old)[0]
			s.rules.add(&rule{to: old.name, kinds: []group.Message{group.Vote, group.PreVote, group.Append, group.Heartbeat}})
			third := s.others(old, next)[0]
			_ = third.trans.TimeoutNow(raft.ServerID(next.name), raft.ServerAddress(next.name+":1"), &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: 3, ID: []byte(third.name), Addr: []byte(third.name + ":1")}}, &raft.TimeoutNowResponse{})
			for next.raft.State() != raft.Leader {
				time.Sleep(time.Millisecond)
			}
			if err := next.raft.Apply([]byte("newer"), 0).Error(); err != nil {
				t.Fatal(err)
			}
			if old.raft.State() == raft.Leader {
				f := old.raft.VerifyLeader()
				go func() {
					time.Sleep(5 * time.Millisecond)
					s.rules.remove(late)
				}()
				if f.Error() == nil && len(old.fsm.list()) == 0 {
					verified = true
				}
			}
			s.close()
			if verified {
				return
			}
		}
		t.Error("the library never verified a deposed leader: the reproduction is not one")
	})

	bubble(t, 3, func(t *testing.T, c *cluster) {
		old := c.leader(nil)
		old.mustPropose(join("m1"))
		time.Sleep(time.Second)
		late := c.rules.add(&rule{from: old.name, kinds: []group.Message{group.Append, group.Heartbeat}, answers: true})
		time.Sleep(100 * time.Millisecond)
		c.rules.add(&rule{from: old.name, kinds: []group.Message{group.Append, group.Heartbeat}, drop: true})
		next, third := c.others(old)[0], c.others(old)[1]
		c.rules.add(&rule{to: old.name, kinds: []group.Message{group.Vote, group.PreVote, group.Append, group.Heartbeat}})
		if err := third.group.TimeoutNow(next.name); err != nil {
			t.Fatal(err)
		}
		for next.group.Tenure() == nil {
			time.Sleep(time.Millisecond)
		}
		next.mustPropose(place("newer"))
		if old.group.Tenure() == nil {
			t.Fatal("the old leader knows already: nothing is shown")
		}
		go func() {
			time.Sleep(5 * time.Millisecond)
			c.rules.remove(late)
		}()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if p, err := old.group.Pulse(ctx, 0); err == nil {
			t.Errorf("a deposed leader got the pulse %+v", p)
		}
	})
}

// What the library must not do (Raft, figure 8): a new leader does not commit an entry of a former term because enough servers
// have it. Another leader could still replace it there; it is committed with the first entry of the new leader's own term.
func TestRaft_EntryOfAFormerTerm_IsNotCommittedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStock(t, func(c *raft.Config) { c.MaxAppendEntries = 1 })
		defer s.close()
		old := s.leader(nil)
		next, third := s.others(old)[0], s.others(old)[1]
		time.Sleep(time.Second)
		// The entry reaches one other server, and its leader does not hear of that.
		s.rules.add(&rule{from: old.name, to: third.name, kinds: []group.Message{group.Append}, drop: true})
		s.rules.add(&rule{from: old.name, to: next.name, kinds: []group.Message{group.Append}, answers: true, drop: true})
		begun, _ := next.log.LastIndex()
		_ = old.raft.Apply([]byte("former"), 0)
		time.Sleep(100 * time.Millisecond)
		if last, _ := next.log.LastIndex(); last != begun+1 {
			t.Fatalf("the log of %s ends at %d, want %d", next.name, last, begun+1)
		}
		s.rules.clear()
		s.rules.add(&rule{from: old.name, drop: true})
		s.rules.add(&rule{to: old.name, drop: true})
		s.net.Delay(third.name, next.name, 10*time.Millisecond)
		if got := s.leader(old); got != next {
			t.Fatalf("%s leads, whose log is shorter", got.name)
		}
		// The third server gets the former term's entry, and what comes behind that does not come yet.
		for last := uint64(0); last != begun+1; last, _ = third.log.LastIndex() {
			time.Sleep(time.Millisecond)
		}
		rest := s.rules.add(&rule{from: next.name, to: third.name, kinds: []group.Message{group.Append}})
		time.Sleep(200 * time.Millisecond)
		if last, _ := third.log.LastIndex(); last != begun+1 || next.raft.State() != raft.Leader {
			t.Fatalf("%s is %v, and the log of %s ends at %d", next.name, next.raft.State(), third.name, last)
		}
		if got := next.raft.CommitIndex(); got > begun {
			t.Errorf("%d is committed, before a majority has an entry of the leader's own term", got)
		}
		s.rules.remove(rest)
		time.Sleep(time.Second)
		if got := next.fsm.list(); next.raft.CommitIndex() <= begun+1 || len(got) != 1 {
			t.Errorf("%d is committed and %v carried out, when a majority has one", next.raft.CommitIndex(), got)
		}
	})
}
