package leader

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// settle places identities and confirms them.
func (s *state) settle(from, n int) {
	s.t.Helper()
	var commands [][]byte
	encode := func(b fsm.Body) {
		c, err := fsm.Encode(fsm.Command{Body: b})
		if err != nil {
			s.t.Fatal(err)
		}
		commands = append(commands, c)
	}
	for i := range n {
		encode(&fsm.Place{Identity: id(from + i)})
	}
	results := s.apply(fsm.AppendEntry(nil, fsm.Batch{Term: 1}, commands)).Results
	commands = nil
	for i, r := range results {
		encode(&fsm.Confirm{Identity: id(from + i), Incarnation: r.Entry.Owner, Epoch: r.Entry.Epoch})
	}
	s.apply(fsm.AppendEntry(nil, fsm.Batch{Term: 1}, commands))
}

func blockMember(name string) *fsm.Block {
	return &fsm.Block{Subject: snapshot.Subject{Member: placement.MemberID(name)}}
}

// step makes one step of the drain and waits for it.
func (s *state) step(d *Driver) {
	d.drainStep(s.t.Context())
	d.tasks.Wait()
	s.feed(d)
}

// asked counts the placements that an incarnation owns and was asked to release, and all that it owns.
func (s *state) owns(inc placement.Incarnation) (asked, all int) {
	for p := range s.view.Placements() {
		if p.Entry.Owner == inc {
			all++
			if p.Entry.Draining {
				asked++
			}
		}
	}
	return asked, all
}

func TestDrain_AsksForAFewAtATime(t *testing.T) {
	for name, leave := range map[string]func(s *state, inc placement.Incarnation) fsm.Body{
		"draining": func(_ *state, inc placement.Incarnation) fsm.Body { return &fsm.Drain{Incarnation: inc} },
		"blocked":  func(*state, placement.Incarnation) fsm.Body { return blockMember("a") },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3*drainWindow + 7
			var a, b placement.Incarnation
			s, d := begun(t, func(s *state) {
				a = s.join("a")
				s.settle(0, n)
				b = s.join("b")
			})
			s.step(d)
			if asked, _ := s.owns(a); asked != 0 {
				t.Fatalf("a member that is live is asked for %d", asked)
			}
			s.do(leave(s, a))
			s.feed(d)
			for released := 0; released < n; {
				s.step(d)
				s.step(d) // what is on its way counts
				asked, all := s.owns(a)
				if asked == 0 || asked > drainWindow || all != n-released {
					t.Fatalf("after %d were released, %d of %d are asked for", released, asked, all)
				}
				var commands [][]byte
				for p := range s.view.Placements() {
					if p.Entry.Owner == a && p.Entry.Draining {
						c, err := fsm.Encode(fsm.Command{Body: &fsm.Release{Identity: p.Identity, Incarnation: a, Epoch: p.Entry.Epoch}})
						if err != nil {
							t.Fatal(err)
						}
						commands = append(commands, c)
					}
				}
				s.apply(fsm.AppendEntry(nil, fsm.Batch{Term: 1}, commands))
				s.feed(d)
				released += len(commands)
			}
			want := s.asked
			if name == "blocked" {
				want++ // its end
			}
			s.step(d)
			s.step(d)
			if s.asked != want {
				t.Errorf("of a member that owns nothing something is asked: %d proposals, want %d", s.asked, want)
			}
			if m := s.view.Incarnation(a); m.State.Alive() == (name == "blocked") {
				t.Errorf("a member that owns nothing is %v", m.State)
			}
			if e := s.do(&fsm.Place{Identity: id(n)}).Entry; e.Owner != b {
				t.Errorf("what is placed goes to %d, want %d", e.Owner, b)
			}
		})
	}
}

// The next tenure goes on with it: what was asked for is in the state, the rest is found there.
func TestDrain_NextTenure_GoesOn(t *testing.T) {
	var a placement.Incarnation
	s, d := begun(t, func(s *state) {
		a = s.join("a")
		s.settle(0, drainWindow+10)
		s.do(&fsm.Drain{Incarnation: a})
	})
	s.step(d)
	next := New(&group.Tenure{Term: 1, Begun: s.now, View: s.view}, s, d.config)
	next.look(s.view)
	session, err := next.Attach(a)
	if err != nil {
		t.Fatal(err)
	}
	list := orders(t, session)
	if len(list) != drainWindow || !list[0].Stop {
		t.Fatalf("the next tenure orders %d stops, want %d", len(list), drainWindow)
	}
	for _, o := range list[:50] {
		s.do(&fsm.Release{Identity: o.Identity, Incarnation: a, Epoch: o.Epoch})
	}
	s.feed(next)
	s.step(next)
	if asked, all := s.owns(a); asked != drainWindow-40 || all != asked {
		t.Errorf("%d of %d are asked for", asked, all)
	}
}

// A proposal that fails is made again; an undrained member is left alone.
func TestDrain_ProposalFails_IsMadeAgainUntilUndrained(t *testing.T) {
	var a placement.Incarnation
	s, d := begun(t, func(s *state) {
		a = s.join("a")
		s.settle(0, 5)
		s.do(&fsm.Drain{Incarnation: a})
	})
	s.refuse = group.ErrQueueFull
	s.step(d)
	s.step(d)
	if s.asked < 2 {
		t.Errorf("it was asked for %d times", s.asked)
	}
	s.refuse = nil
	s.do(&fsm.Drain{Incarnation: a, Off: true})
	s.feed(d)
	s.step(d)
	if asked, _ := s.owns(a); asked != 0 {
		t.Errorf("a member that drains no more is asked for %d", asked)
	}
}

// A blocked member gets no more time, whatever it owns, in its former lives too, and not when its block is over either. It ends as
// soon as it has let go of everything, or with its lease.
func TestKeepalive_BlockedMember_GetsNoMoreTimeAndEnds(t *testing.T) {
	var former, current, empty, other placement.Incarnation
	s, d := begun(t, func(s *state) {
		former = s.join("a")
		s.settle(0, 1)
		current = s.join("a")
		s.settle(1, 1)
		empty = s.join("c")
		s.do(blockMember("a"))
		s.do(blockMember("c"))
		other = s.join("b")
		s.settle(2, 1)
	})
	session, err := d.Attach(empty)
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Second)
	granted := func(want map[placement.Incarnation]time.Duration) {
		t.Helper()
		for inc, want := range want {
			for _, ask := range []func() (time.Duration, error){
				func() (time.Duration, error) { return d.Keepalive(t.Context(), inc) },
				func() (time.Duration, error) { return d.Resume(t.Context(), inc) },
			} {
				if got, err := ask(); err != nil || got != want {
					t.Errorf("a keepalive of %d: %v, %v, want %v", inc, got, err, want)
				}
			}
		}
	}
	granted(map[placement.Incarnation]time.Duration{former: 0, current: 0, empty: 0, other: ttl})
	if left := d.LeaseLeft(current); left != full-time.Second {
		t.Errorf("the lease of the blocked member lasts for %v, want %v", left, full-time.Second)
	}
	s.step(d)
	for _, inc := range []placement.Incarnation{former, current} {
		if asked, all := s.owns(inc); asked != all || all != 1 {
			t.Errorf("of %d, %d of %d are asked for", inc, asked, all)
		}
	}
	if _, err := session.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("the session of one that owned nothing: %v, want ErrGone", err)
	}
	s.do(&fsm.Unblock{Subject: snapshot.Subject{Member: "a"}})
	s.feed(d)
	granted(map[placement.Incarnation]time.Duration{former: 0, current: 0, other: ttl})
	e, _ := s.view.Lookup(id(1))
	s.do(&fsm.Release{Identity: id(1), Incarnation: current, Epoch: e.Epoch})
	s.feed(d)
	granted(map[placement.Incarnation]time.Duration{current: 0})
	s.step(d)
	for _, inc := range []placement.Incarnation{empty, current} {
		if _, err := d.Keepalive(t.Context(), inc); !errors.Is(err, ErrGone) || s.view.Incarnation(inc).State != placement.MemberLeft {
			t.Errorf("%d has nothing left: %v, %v", inc, err, s.view.Incarnation(inc).State)
		}
	}
	// The one that does not let go expires by the rules, never earlier.
	s.now = s.now.Add(full - time.Second - 1)
	if due := d.expired(s.now); len(due) != 0 {
		t.Fatalf("%v are due before their time", due)
	}
	s.now = s.now.Add(1)
	if due := d.expired(s.now); !slices.Equal(due, []placement.Incarnation{former}) {
		t.Errorf("due: %v, want %d", due, former)
	}
}

// The end of a blocked member is proposed again when its proposal failed, and not while one is on its way.
func TestBlocked_EndProposalFails_IsMadeAgain(t *testing.T) {
	var a placement.Incarnation
	s, d := begun(t, func(s *state) {
		a = s.join("a")
		s.do(blockMember("a"))
	})
	s.lose = errors.New("lost")
	s.step(d)
	s.step(d)
	if s.asked != 2 {
		t.Errorf("it was asked for %d times", s.asked)
	}
	s.lose = nil
	d.mu.proposed[a] = true
	s.step(d)
	if s.asked != 2 || !s.view.Incarnation(a).State.Alive() {
		t.Errorf("beside another proposal it is %v", s.view.Incarnation(a).State)
	}
	delete(d.mu.proposed, a)
	s.step(d)
	if s.view.Incarnation(a).State != placement.MemberLeft {
		t.Errorf("it is %v", s.view.Incarnation(a).State)
	}
}

// What a blocked member has not confirmed is taken from it at once, and another one may be given it: it may not confirm any more.
func TestBlocked_Claims_AreTakenAway(t *testing.T) {
	var a, b placement.Incarnation
	s, d := begun(t, func(s *state) {
		a = s.join("a")
		s.do(&fsm.Place{Identity: id(1)})
		b = s.join("b")
	})
	if late := d.overdue(s.now); len(late) != 0 {
		t.Fatalf("%d are overdue before anything happened", len(late))
	}
	s.do(blockMember("a"))
	s.feed(d)
	e, _ := s.view.Lookup(id(1))
	if r := s.do(&fsm.Confirm{Identity: id(1), Incarnation: a, Epoch: e.Epoch}); r.Verdict != placement.Barred {
		t.Errorf("confirmed by a blocked member: %v", r.Verdict)
	}
	d.fail(t.Context(), d.overdue(s.now))
	s.feed(d)
	if e := s.do(&fsm.Place{Identity: id(1)}).Entry; e.Owner != b || e.Phase != placement.Pending {
		t.Errorf("it is %+v, want pending on %d", e, b)
	}
	if f := d.Failures(id(1)); len(f) != 1 || f[0].Code.Crash() || f[0].Member != "a" {
		t.Errorf("the failures are %v", f)
	}
}

// An operator's expiry ends a member by the rules of its lease: it is not kept any more, and ends when its time is over.
func TestEnd_WaitsForTheLease(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	session, err := d.Attach(inc)
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(2 * time.Second)
	if _, err := d.Keepalive(t.Context(), inc); err != nil {
		t.Fatal(err)
	}
	if err := d.End(inc); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("its session: %v, want ErrGone", err)
	}
	for _, ask := range []func() (time.Duration, error){
		func() (time.Duration, error) { return d.Keepalive(t.Context(), inc) },
		func() (time.Duration, error) { return d.Resume(t.Context(), inc) },
	} {
		if _, err := ask(); !errors.Is(err, ErrGone) {
			t.Errorf("it is kept: %v", err)
		}
	}
	s.now = s.now.Add(full - 1)
	if due := d.expired(s.now); len(due) != 0 {
		t.Fatalf("%v is due before its lease must be over", due)
	}
	s.now = s.now.Add(1)
	due := d.expired(s.now)
	d.expire(t.Context(), due)
	s.feed(d)
	if m := s.view.Incarnation(inc); m != nil && m.State.Alive() || len(d.mu.ended) != 0 {
		t.Errorf("in the end it is %+v; %d are to end", m, len(d.mu.ended))
	}
	for _, inc := range []placement.Incarnation{inc, 7} {
		if err := d.End(inc); !errors.Is(err, ErrGone) {
			t.Errorf("the end of %d: %v, want ErrGone", inc, err)
		}
	}
}

func TestOverdue_KindSaysHowLong(t *testing.T) {
	s, d := begun(t, func(s *state) {
		s.join("a")
		s.do(&fsm.SetKind{Kind: "file", Settings: placement.KindSettings{ConfirmMs: 500, Attempts: 1}})
	})
	s.do(&fsm.Place{Identity: id(1)})
	s.feed(d)
	s.now = s.now.Add(500*time.Millisecond - 1)
	if late := d.overdue(s.now); len(late) != 0 {
		t.Fatalf("%v is late before its time", late)
	}
	s.now = s.now.Add(1)
	late := d.overdue(s.now)
	if len(late) != 1 {
		t.Fatalf("late: %v", late)
	}
	d.fail(t.Context(), late)
	if f := s.changes[len(s.changes)-1].Failed; f == nil || f.Code != placement.FailureTimeout {
		t.Errorf("the change says %v", f)
	}
}

func TestRaiseLevel_EveryServerAnnouncedIt(t *testing.T) {
	const later = fsm.FeatureLevel + 1
	announce := func(s *state, name string, level uint32) {
		s.do(&fsm.RegisterServer{Server: snapshot.Server{Name: name, Incarnation: "x", FeatureLevel: level}})
	}
	s, d := begun(t, nil)
	s.machine.Level = later
	d.config.Level = later
	s.servers = []group.Server{{Name: "s1", Voter: true}, {Name: "s2", Voter: true}, {Name: "s3"}}
	look := func() uint32 {
		s.now = s.now.Add(raiseLook)
		d.raiseLevel(t.Context(), s.now)
		d.tasks.Wait()
		return s.view.Cluster.FeatureLevel
	}
	for i, step := range []struct {
		what func()
		want uint32
	}{
		{func() {}, 1},
		{func() { announce(s, "s1", later); announce(s, "s2", later) }, 1}, // s3 applies the log, too
		{func() { announce(s, "s3", later-1) }, 1},
		{func() { announce(s, "s3", later); announce(s, "s4", 1) }, 1}, // known to the state, not to Raft yet
		{func() { announce(s, "s4", later); s.refuse = group.ErrQueueFull }, 1},
		{func() { s.refuse = nil; d.config.Level = later - 1 }, 1}, // this server itself
		{func() { d.config.Level = later + 5 }, later},
	} {
		step.what()
		asked := s.asked
		if got := look(); got != step.want {
			t.Errorf("step %d: level %d, want %d", i, got, step.want)
		}
		if proposes := step.want == later || s.refuse != nil; (s.asked > asked) != proposes {
			t.Errorf("step %d: it was proposed %d times", i, s.asked-asked)
		}
	}
	asked := s.asked
	d.raiseLevel(t.Context(), s.now)
	if look(); s.asked != asked {
		t.Error("a level that is reached is asked for")
	}
}

// A member that drains at a rate is asked for so many a second and no more, also after it was slow, and by the next tenure;
// one that is blocked is asked for all that it can let go.
func TestDrain_AtARate_AsksForSoManyASecond(t *testing.T) {
	const rate, n = 20, 500
	var a placement.Incarnation
	s, d := begun(t, func(s *state) {
		a = s.join("a")
		s.settle(0, n)
		s.do(&fsm.Drain{Incarnation: a, Rate: rate})
	})
	// run makes the steps of so long, and says how many more are asked for.
	run := func(d *Driver, long time.Duration) int {
		before, _ := s.owns(a)
		for range long / clockTick {
			s.now = s.now.Add(clockTick)
			s.step(d)
		}
		after, _ := s.owns(a)
		return after - before
	}
	for second := range 3 {
		if got := run(d, time.Second); got > rate || got < rate-3 {
			t.Errorf("in second %d it is asked for %d, want %d", second+1, got, rate)
		}
	}
	s.now = s.now.Add(time.Hour) // nobody looked
	if got := run(d, clockTick); got > rate {
		t.Errorf("after an hour it is asked for %d at once, want %d", got, rate)
	}
	s.now = s.now.Add(-time.Minute)
	if got := run(d, time.Second); got > rate {
		t.Errorf("after the clock went back it is asked for %d, want %d", got, rate)
	}
	next := New(&group.Tenure{Term: 1, Begun: s.now, View: s.view}, s, d.config)
	next.look(s.view)
	if got := run(next, time.Second); got > rate || got == 0 {
		t.Errorf("the next tenure asks for %d, want %d", got, rate)
	}
	s.do(&fsm.Drain{Incarnation: a, Rate: 2 * rate})
	s.feed(next)
	if got := run(next, time.Second); got > 2*rate || got <= rate {
		t.Errorf("with another rate it is asked for %d, want %d", got, 2*rate)
	}
	s.do(blockMember("a"))
	s.feed(next)
	asked, _ := s.owns(a)
	if got := run(next, clockTick); got != drainWindow-asked {
		t.Errorf("when it is blocked it is asked for %d more, want %d", got, drainWindow-asked)
	}
}
