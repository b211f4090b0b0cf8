package leader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// state is a group of one server that commits at once.
type state struct {
	t       *testing.T
	machine *fsm.Machine
	view    *snapshot.View
	index   uint64
	now     lease.Instant
	tenure  *group.Tenure
	pulse   error
	refuse  error // what proposals are refused with
	lose    error // what the outcome of each command is
	changes []fsm.Change
	asked   int
	looked  func() // is called when somebody has looked at the view
	servers []group.Server

	proposing sync.Mutex
}

func (s *state) Servers() []group.Server { return s.servers }

func (s *state) View() *snapshot.View {
	v := s.view
	if s.looked != nil {
		s.looked()
	}
	return v
}

func (s *state) apply(data []byte) *fsm.Output {
	s.t.Helper()
	s.index++
	out, err := s.machine.Apply(s.index, 1, data)
	if err != nil {
		s.t.Fatal(err)
	}
	s.view = s.machine.Publish()
	s.changes = append(s.changes, out.Changes...)
	return out
}

func (s *state) ProposeAll(_ context.Context, commands [][]byte) ([]group.Outcome, error) {
	s.proposing.Lock()
	defer s.proposing.Unlock()
	if s.asked++; s.refuse != nil {
		return nil, s.refuse
	}
	outcomes := make([]group.Outcome, len(commands))
	if s.lose != nil {
		for i := range outcomes {
			outcomes[i].Err = s.lose
		}
		return outcomes, nil
	}
	for i, r := range s.apply(fsm.AppendEntry(nil, fsm.Batch{Term: 1}, commands)).Results {
		outcomes[i].Result = r
	}
	return outcomes, nil
}

func (s *state) Pulse(context.Context, time.Duration) (group.Pulse, error) {
	return group.Pulse{T0: s.now, Index: s.index, Tenure: s.tenure}, s.pulse
}

func (s *state) do(body fsm.Body) fsm.Result {
	s.t.Helper()
	c, err := fsm.Encode(fsm.Command{Body: body})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.apply(fsm.AppendEntry(nil, fsm.Batch{Term: 1}, [][]byte{c})).Results[0]
}

func (s *state) join(name string) placement.Incarnation {
	s.t.Helper()
	return s.do(&fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: name + ":1", Kinds: []string{"file"}}}).Incarnation
}

func id(n int) placement.Identity { return placement.Identity{Kind: "file", Key: fmt.Sprint(n)} }

const (
	ttl      = 4 * time.Second
	full     = 5 * time.Second // the TTL, stretched
	activate = 3 * time.Second
)

// begun returns the driver of a tenure that begins with the state as it is.
func begun(t *testing.T, before func(*state)) (*state, *Driver) {
	t.Helper()
	s := &state{t: t, machine: fsm.New(snapshot.Empty()), now: lease.Instant(time.Hour)}
	s.machine.Observed = true
	s.apply(fsm.EncodeStart(fsm.Start{Server: "s1", ClusterID: "c", Seed: 1, MemberTTL: uint64(ttl), Time: 1}))
	if before != nil {
		before(s)
	}
	s.changes = nil
	s.tenure = &group.Tenure{Term: 1, Begun: s.now, View: s.view}
	d := New(s.tenure, s, Config{MemberTTL: ttl, ActivationTimeout: activate, Now: func() lease.Instant { return s.now }})
	d.look(s.view)
	return s, d
}

// feed gives the driver what changed.
func (s *state) feed(d *Driver) {
	d.note(s.changes)
	s.changes = nil
}

func orders(t *testing.T, s *Session) []Order {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	list, err := s.Next(ctx)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("next: %v", err)
	}
	slices.SortFunc(list, func(a, b Order) int { return a.Identity.Compare(b.Identity) })
	return list
}

func TestDriver_NewSession_IsOrderedEverythingAnew(t *testing.T) {
	var inc placement.Incarnation
	var settled, pending fsm.Result
	s, d := begun(t, func(s *state) {
		inc = s.join("a")
		settled, pending = s.do(&fsm.Place{Identity: id(1)}), s.do(&fsm.Place{Identity: id(2)})
		s.do(&fsm.Confirm{Identity: id(1), Incarnation: inc, Epoch: settled.Entry.Epoch})
	})
	first, err := d.Attach(inc)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := orders(t, first), []Order{{id(2), pending.Entry.Epoch, false}}; !slices.Equal(got, want) {
		t.Errorf("orders %v, want %v", got, want)
	}
	s.do(&fsm.Evict{Identity: id(1)})
	third := s.do(&fsm.Place{Identity: id(3)})
	s.feed(d)
	both := []Order{{id(1), settled.Entry.Epoch, true}, {id(3), third.Entry.Epoch, false}}
	if got := orders(t, first); !slices.Equal(got, both) {
		t.Errorf("orders %v, want %v", got, both)
	}
	// A view after changes that were lost has the same orders, and they are not sent twice.
	d.look(s.view)
	if got := orders(t, first); len(got) != 0 {
		t.Errorf("orders again: %v", got)
	}
	second, err := d.Attach(inc)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := orders(t, second), slices.Insert(both, 1, Order{id(2), pending.Entry.Epoch, false}); !slices.Equal(got, want) {
		t.Errorf("orders %v, want %v", got, want)
	}
	if _, err := first.Next(t.Context()); !errors.Is(err, ErrReplaced) {
		t.Errorf("the session before: %v", err)
	}
	d.Detach(first)
	if !d.Attached(inc) {
		t.Error("the end of the session before ended the next one")
	}
	d.Detach(second)
	if d.Attached(inc) {
		t.Error("it has a session still")
	}
}

func TestDriver_MemberEnds_SessionIsGone(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	session, err := d.Attach(inc)
	if err != nil {
		t.Fatal(err)
	}
	s.do(&fsm.Place{Identity: id(1)})
	s.feed(d)
	s.do(&fsm.Expire{Incarnation: inc})
	s.feed(d)
	if _, err := session.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("next: %v, want ErrGone", err)
	}
	if _, err := d.Attach(inc); !errors.Is(err, ErrGone) {
		t.Errorf("attach: %v, want ErrGone", err)
	}
	if _, err := d.Keepalive(t.Context(), inc); !errors.Is(err, ErrGone) {
		t.Errorf("keepalive: %v, want ErrGone", err)
	}
	if len(d.mu.open) != 0 || d.LeaseLeft(inc) != 0 {
		t.Errorf("the driver keeps %d orders of it, and a lease of %v", len(d.mu.open), d.LeaseLeft(inc))
	}
}

// A member that ended among changes that were lost is found out from the view.
func TestDriver_ChangesLost_MemberEndIsFound(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	session, err := d.Attach(inc)
	if err != nil {
		t.Fatal(err)
	}
	w := d.Watch(id(9))
	s.do(&fsm.Leave{Incarnation: inc})
	d.look(s.view)
	if _, err := session.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("next: %v, want ErrGone", err)
	}
	select {
	case <-w.C:
	default:
		t.Error("who watches was not told")
	}
	d.Unwatch(w) // also when it is over
}

func TestDriver_Keepalive_OfThisTenureAlone(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	s.now = s.now.Add(2 * time.Second)
	if got, err := d.Keepalive(t.Context(), inc); err != nil || got != ttl {
		t.Errorf("keepalive: %v, %v", got, err)
	}
	if got := d.LeaseLeft(inc); got != full {
		t.Errorf("the lease lasts for %v, want %v", got, full)
	}
	s.pulse = group.ErrNotLeader
	if _, err := d.Keepalive(t.Context(), inc); !errors.Is(err, group.ErrNotLeader) {
		t.Errorf("without a pulse: %v", err)
	}
	s.pulse, s.tenure = nil, &group.Tenure{Term: 2}
	if _, err := d.Keepalive(t.Context(), inc); !errors.Is(err, group.ErrNotLeader) {
		t.Errorf("by the pulse of another tenure: %v", err)
	}
}

func TestDriver_LeaseEnds_ExpiryIsProposedUntilItIsDone(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	s.now = s.now.Add(full - 1)
	if due := d.expired(s.now); len(due) != 0 {
		t.Fatalf("%v is due before its time", due)
	}
	s.now = s.now.Add(1)
	for _, what := range []func(){
		func() { s.refuse = group.ErrQueueFull },
		func() { s.refuse, s.lose = nil, &group.UnknownError{Term: 1, Err: context.DeadlineExceeded} },
		func() { s.lose = nil },
	} {
		what()
		due := d.expired(s.now)
		if !slices.Equal(due, []placement.Incarnation{inc}) {
			t.Fatalf("due: %v, want %d", due, inc)
		}
		if again := d.expired(s.now); len(again) != 0 {
			t.Errorf("%v is proposed twice at once", again)
		}
		if _, err := d.Keepalive(t.Context(), inc); !errors.Is(err, ErrGone) {
			t.Errorf("a keepalive when the expiry is on its way: %v", err)
		}
		d.expire(t.Context(), due)
	}
	s.feed(d)
	if m := s.view.Incarnation(inc); m != nil && m.State.Alive() || len(d.expired(s.now)) != 0 {
		t.Errorf("in the end it is %+v", m)
	}
}

// between has something done right after the next look at the view, if anybody could do it then.
func (s *state) between(d *Driver, do func()) {
	s.looked = func() {
		if !d.mu.TryLock() {
			return // nobody can come between
		}
		d.mu.Unlock()
		s.looked = nil
		do()
	}
}

// Between the look at the state and the answer nothing comes: an expiry that was decided and carried out then would be
// forgotten by the table, and its member kept though it is over.
func TestDriver_MemberExpiredWhileAnswered_IsRefused(t *testing.T) {
	var inc placement.Incarnation
	s, d := begun(t, func(s *state) { inc = s.join("a") })
	s.now = s.now.Add(full)
	s.between(d, func() {
		d.expire(t.Context(), d.expired(s.now))
		s.feed(d)
	})
	_, err := d.Keepalive(t.Context(), inc)
	if m := s.view.Incarnation(inc); !m.State.Alive() && err == nil {
		t.Error("a member that is over was kept")
	}
}

func TestDriver_OwnerDoesNotConfirm_NextCandidate(t *testing.T) {
	s, d := begun(t, func(s *state) {
		s.join("a")
		s.join("b")
	})
	r := s.do(&fsm.Place{Identity: id(1)})
	s.feed(d)
	s.now = s.now.Add(activate - 1)
	if late := d.overdue(s.now); len(late) != 0 {
		t.Fatalf("%v is late before its time", late)
	}
	s.now = s.now.Add(1)
	late := d.overdue(s.now)
	if len(late) != 1 || late[0].id != id(1) {
		t.Fatalf("late: %v", late)
	}
	if again := d.overdue(s.now); len(again) != 0 {
		t.Errorf("%v is given up twice at once", again)
	}
	s.refuse = group.ErrQueueFull
	d.fail(t.Context(), late)
	s.refuse = nil
	late = d.overdue(s.now)
	d.fail(t.Context(), late)
	s.feed(d)
	e, owner := s.view.Lookup(id(1))
	if e.Phase != placement.Pending || owner.Incarnation == r.Entry.Owner || e.Epoch <= r.Entry.Epoch {
		t.Errorf("afterwards: %+v", e)
	}
	if f := d.Failures(id(1)); len(f) == 0 || f[0].Member != r.Owner.ID || f[0].Failure != (placement.Failure{Code: placement.FailureTimeout}) {
		t.Errorf("failures %v", f)
	}
	// The next one has the full time.
	s.now = s.now.Add(activate - 1)
	if late := d.overdue(s.now); len(late) != 0 {
		t.Errorf("%v is late before its time", late)
	}
	s.do(&fsm.Confirm{Identity: id(1), Incarnation: e.Owner, Epoch: e.Epoch})
	s.feed(d)
	if f := d.Failures(id(1)); len(f) != 0 {
		t.Errorf("failures of what is settled: %v", f)
	}
}

func TestDriver_Failures_AreFewAndForgotten(t *testing.T) {
	s, d := begun(t, nil)
	inc := s.join("a")
	for i := range placement.AttemptsMax + 5 {
		d.Failed(id(1), inc, placement.Failure{Text: fmt.Sprint(i)})
	}
	d.Failed(id(2), 99, placement.Failure{Text: "nobody"})
	f := d.Failures(id(1))
	if len(f) != placement.AttemptsMax || f[0].Text != "5" || f[0].Member != "a" {
		t.Errorf("failures %v", f)
	}
	if f := d.Failures(id(2)); len(f) != 1 || f[0].Member != "" {
		t.Errorf("failures of nobody: %v", f)
	}
	s.now = s.now.Add(failuresKept)
	d.overdue(s.now)
	if f := d.Failures(id(1)); len(f) != 0 || len(d.mu.failures) != 0 {
		t.Errorf("after half a minute: %v", f)
	}
}

// The failures of candidates are of one placement: they are over when it begins, and when anything but a failure ends it.
func TestDriver_Failures_AreOfOnePlacement(t *testing.T) {
	pending := placement.Entry{Phase: placement.Pending, Epoch: 7}
	next := placement.Entry{Phase: placement.Pending, Epoch: 8, Attempt: 1}
	ended := func(cause fsm.Cause) fsm.Change {
		return fsm.Change{Type: fsm.PlacementChanged, Cause: cause, Identity: id(1)}
	}
	is := func(cause fsm.Cause, e placement.Entry) fsm.Change {
		return fsm.Change{Type: fsm.PlacementChanged, Cause: cause, Identity: id(1), Entry: e}
	}
	for name, x := range map[string]struct {
		changes []fsm.Change
		left    int
	}{
		"the next candidate is asked": {[]fsm.Change{is(fsm.CauseFail, next)}, 1},
		"there is none":               {[]fsm.Change{ended(fsm.CauseFail)}, 1},
		"somebody removed it":         {[]fsm.Change{ended(fsm.CauseEvict)}, 0},
		"the next one died":           {[]fsm.Change{is(fsm.CauseFail, next), {Type: fsm.MemberEnded}}, 0},
		"it is placed anew":           {[]fsm.Change{ended(fsm.CauseFail), is(fsm.CausePlace, pending)}, 0},
		"it is settled":               {[]fsm.Change{is(fsm.CauseConfirm, placement.Entry{Phase: placement.Settled, Epoch: 8})}, 0},
	} {
		s, d := begun(t, nil)
		inc := s.join("a")
		for i := range x.changes {
			c := &x.changes[i]
			if c.Type == fsm.MemberEnded {
				c.Member = s.View().Incarnation(inc)
			}
			if c.Entry.Phase != placement.Absent {
				c.Entry.Owner = inc
			}
		}
		pending.Owner = inc
		d.note([]fsm.Change{is(fsm.CausePlace, pending)})
		d.Failed(id(1), inc, placement.Failure{Text: "no memory"})
		d.note(x.changes)
		if f := d.Failures(id(1)); len(f) != x.left {
			t.Errorf("%s: %d failures, want %d", name, len(f), x.left)
		}
	}
}

func TestDriver_Watch_IsToldOnce(t *testing.T) {
	s, d := begun(t, func(s *state) { s.join("a") })
	one, other, same, gone := d.Watch(id(1)), d.Watch(id(2)), d.Watch(id(1)), d.Watch(id(1))
	d.Unwatch(gone)
	told := func(w *Watch) bool {
		select {
		case <-w.C:
			return true
		default:
			return false
		}
	}
	s.do(&fsm.Place{Identity: id(1)})
	s.feed(d)
	if !told(one) || !told(same) || told(other) || told(gone) {
		t.Errorf("told: %t %t, and of another %t, and after the end %t", told(one), told(same), told(other), told(gone))
	}
	s.do(&fsm.Place{Identity: id(1)})
	s.feed(d)
	d.note([]fsm.Change{{Type: fsm.RemovalsCompleted}})
	if !told(other) || len(d.mu.watches) != 0 {
		t.Errorf("removals that are complete concern all: %t, %d watches left", told(other), len(d.mu.watches))
	}
	d.Unwatch(one)
	d.Unwatch(other)
}

func TestSession_OrdersWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(1)
		var want []Order
		for i := range 10 {
			want = append(want, Order{Identity: id(i), Epoch: 1})
		}
		go func() {
			time.Sleep(time.Second)
			for _, o := range want {
				s.add(o)
			}
		}()
		begin := time.Now()
		var got []Order
		for len(got) < len(want) {
			list, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, list...)
		}
		if !slices.Equal(got, want) || time.Since(begin) != time.Second {
			t.Errorf("got %v after %v", got, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nothing: %v", err)
		}
	})
}

func TestSession_End_StaysTheFirst(t *testing.T) {
	s := newSession(1)
	s.end(ErrGone)
	s.end(ErrReplaced)
	s.add(make([]Order, ordersMax+1)...)
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("next: %v, want ErrGone", err)
	}
}

// Who does not take its orders loses the session, not the leader its memory.
func TestSession_TooManyOrders_IsOver(t *testing.T) {
	s := newSession(1)
	s.add(make([]Order, ordersMax)...)
	if list, err := s.Next(t.Context()); err != nil || len(list) != ordersMax {
		t.Fatalf("%d orders, %v", len(list), err)
	}
	s.add(make([]Order, ordersMax)...)
	s.add(Order{})
	if _, err := s.Next(t.Context()); !errors.Is(err, ErrTooSlow) {
		t.Errorf("next: %v, want ErrTooSlow", err)
	}
	s.add(make([]Order, 5)...)
	if len(s.orders) != 0 {
		t.Errorf("%d orders wait for nobody", len(s.orders))
	}
}
