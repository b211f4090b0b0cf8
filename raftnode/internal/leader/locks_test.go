package leader

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (s *state) open(ttl time.Duration) placement.SessionID {
	s.t.Helper()
	return s.do(&fsm.OpenSession{Session: placement.Session{TTL: ttl, Holder: "h"}}).Session
}

func (s *state) lock(name string, id placement.SessionID, more ...time.Duration) placement.Epoch {
	s.t.Helper()
	a := &fsm.AcquireLock{Name: name, Session: id, Mode: placement.LockExclusive, Wait: true}
	if len(more) > 0 {
		a.Delay = more[0]
	}
	if len(more) > 1 {
		a.Patience = more[1]
	}
	return s.do(a).Token
}

func (s *state) holder(name string) placement.SessionID {
	l, _ := s.view.Lock(name)
	for c := range l.Holders() {
		return c.Session
	}
	return 0
}

// tick does what the driver does every tenth of a second, and returns what was due.
func (s *state) tick(d *Driver) dueLocks {
	due := d.dueLocks(s.now)
	d.proposeLocks(s.t.Context(), due)
	s.feed(d)
	return due
}

func TestDriver_KeepSession_OfThisTenureAlone(t *testing.T) {
	var id placement.SessionID
	s, d := begun(t, func(s *state) { id = s.open(8 * time.Second) })
	s.now = s.now.Add(2 * time.Second)
	if got, lost, err := d.KeepSession(t.Context(), id); err != nil || got != 8*time.Second || len(lost) != 0 {
		t.Errorf("keep: %v, %v, %v", got, lost, err)
	}
	x, _ := s.view.Session(id)
	if got := d.SessionLeft(x); got != 10*time.Second {
		t.Errorf("the lease lasts for %v, want 10s", got)
	}
	later := s.open(time.Second) // the driver has not read of it yet
	if got, _, err := d.KeepSession(t.Context(), later); err != nil || got != time.Second {
		t.Errorf("keep of a new session: %v, %v", got, err)
	}
	if _, _, err := d.KeepSession(t.Context(), 7); !errors.Is(err, ErrSessionOver) {
		t.Errorf("keep of no session: %v", err)
	}
	s.pulse = group.ErrNotLeader
	if _, _, err := d.KeepSession(t.Context(), id); !errors.Is(err, group.ErrNotLeader) {
		t.Errorf("without a pulse: %v", err)
	}
	s.pulse, s.tenure = nil, &group.Tenure{Term: 2}
	if _, _, err := d.KeepSession(t.Context(), id); !errors.Is(err, group.ErrNotLeader) {
		t.Errorf("by the pulse of another tenure: %v", err)
	}
}

// Each session ends when its own TTL is over, stretched, and not before; its expiry is proposed until it is done; and from the
// decision on it is not kept any more.
func TestDriver_SessionLeaseEnds_ExpiryIsProposedUntilItIsDone(t *testing.T) {
	var short, long placement.SessionID
	s, d := begun(t, func(s *state) {
		short, long = s.open(4*time.Second), s.open(40*time.Second)
		s.lock("nightly", short)
		s.lock("nightly", long)
	})
	s.now = s.now.Add(5*time.Second - 1)
	if due := s.tick(d); len(due.sessions) != 0 {
		t.Fatalf("%v is due before its time", due)
	}
	s.now = s.now.Add(1)
	for _, what := range []func(){
		func() { s.refuse = group.ErrQueueFull },
		func() { s.refuse, s.lose = nil, &group.UnknownError{Term: 1, Err: context.DeadlineExceeded} },
		func() { s.lose = nil },
	} {
		what()
		if due := s.tick(d); !slices.Equal(due.sessions, []placement.SessionID{short}) {
			t.Fatalf("due: %v, want %d", due.sessions, short)
		}
		if _, _, err := d.KeepSession(t.Context(), short); !errors.Is(err, ErrSessionOver) {
			t.Errorf("a keepalive when the expiry is on its way: %v", err)
		}
	}
	if due := s.tick(d); len(due.sessions) != 0 || s.holder("nightly") != long {
		t.Errorf("then %v are due, and %d holds the lock", due.sessions, s.holder("nightly"))
	}
	if _, open := s.view.Session(short); open || d.mu.locks.leases.Known(short) {
		t.Error("the session is not over")
	}
}

// A new tenure grants every session its full time.
func TestDriver_NewTenure_SessionsHaveTheFullTime(t *testing.T) {
	var id placement.SessionID
	s, d := begun(t, func(s *state) { id = s.open(4 * time.Second) })
	s.now = s.now.Add(4 * time.Second)
	d = New(&group.Tenure{Term: 1, Begun: s.now, View: s.view}, s, d.config)
	s.now = s.now.Add(5*time.Second - 1)
	if due := s.tick(d); len(due.sessions) != 0 {
		t.Errorf("%v is due before its time", due.sessions)
	}
	s.now = s.now.Add(1)
	if due := s.tick(d); !slices.Equal(due.sessions, []placement.SessionID{id}) {
		t.Errorf("due: %v", due.sessions)
	}
}

// The same as TestDriver_MemberExpiredWhileAnswered_IsRefused.
func TestDriver_SessionExpiredWhileAnswered_IsRefused(t *testing.T) {
	var id placement.SessionID
	s, d := begun(t, func(s *state) { id = s.open(4 * time.Second) })
	s.now = s.now.Add(full)
	s.between(d, func() { s.tick(d) })
	_, _, err := d.KeepSession(t.Context(), id)
	if _, open := s.view.Session(id); !open && err == nil {
		t.Error("a session that is over was kept")
	}
}

// The holder of a broken lock is told so with its next keepalive, and the lock is free when its TTL is over, stretched, and
// not before; with a new tenure the time is counted anew.
func TestDriver_LockIsBroken_KeepsItsPlaceUntilTheLeaseIsOver(t *testing.T) {
	var holder, next placement.SessionID
	var token placement.Epoch
	s, d := begun(t, func(s *state) {
		holder, next = s.open(8*time.Second), s.open(time.Minute)
		token = s.lock("nightly", holder, 2*time.Second)
		s.lock("nightly", next)
	})
	s.do(&fsm.BreakLock{Name: "nightly"})
	s.feed(d)
	if _, lost, err := d.KeepSession(t.Context(), holder); err != nil || len(lost) != 1 || lost[0].Name != "nightly" {
		t.Errorf("the holder is told: %v, %v", lost, err)
	}
	if _, lost, err := d.KeepSession(t.Context(), next); err != nil || len(lost) != 0 {
		t.Errorf("another is told: %v, %v", lost, err)
	}
	s.now = s.now.Add(9 * time.Second)
	l, _ := s.view.Lock("nightly")
	c, _, _ := l.Claim(token)
	if got := d.DelayLeft("nightly", c); got != time.Second {
		t.Errorf("%v are left, want 1s", got)
	}
	d = New(&group.Tenure{Term: 1, Begun: s.now, View: s.view}, s, d.config)
	for range 4 {
		s.now = s.now.Add(10*time.Second/4 - 1)
		_, _, _ = d.KeepSession(t.Context(), holder)
		if due := s.tick(d); len(due.delays) != 0 || s.holder("nightly") != 0 {
			t.Fatalf("%v is due, and %d holds the lock", due.delays, s.holder("nightly"))
		}
	}
	s.now = s.now.Add(4)
	s.refuse = group.ErrQueueFull
	if due := s.tick(d); len(due.delays) != 1 {
		t.Fatalf("due: %v", due.delays)
	}
	s.refuse = nil
	if due := s.tick(d); len(due.delays) != 1 || s.holder("nightly") != next {
		t.Errorf("due: %v, and %d holds the lock, want %d", due.delays, s.holder("nightly"), next)
	}
}

// A lock-delay ends when it is over; one whose lock was given up before is not proposed.
func TestDriver_SessionExpires_LockDelayIsEnded(t *testing.T) {
	var a, b placement.SessionID
	s, d := begun(t, func(s *state) {
		a, b = s.open(4*time.Second), s.open(time.Minute)
		s.lock("one", a, 4*time.Second)
		s.lock("one", b)
		s.lock("two", b, 4*time.Second)
	})
	s.do(&fsm.BreakLock{Name: "two"})
	s.feed(d)
	s.do(&fsm.ReleaseLock{Name: "two", Session: b})
	s.feed(d)
	if d.mu.locks.delays.Len() != 0 {
		t.Error("a claim that was given up keeps a place")
	}
	s.now = s.now.Add(5 * time.Second)
	s.tick(d)
	if s.holder("one") != 0 {
		t.Fatal("the lock is free at once")
	}
	s.now = s.now.Add(5*time.Second - 1)
	if due := s.tick(d); len(due.delays) != 0 {
		t.Fatalf("%v is due before its time", due.delays)
	}
	s.now = s.now.Add(1)
	if s.tick(d); s.holder("one") != b {
		t.Errorf("%d holds the lock, want %d", s.holder("one"), b)
	}
}

// A claim that nobody asks for is withdrawn after its patience; one that is asked for waits on.
func TestDriver_NobodyAsks_ClaimIsWithdrawn(t *testing.T) {
	var ids []placement.SessionID
	var tokens []placement.Epoch
	s, d := begun(t, func(s *state) {
		for range 4 {
			ids = append(ids, s.open(5*time.Minute))
		}
	})
	for i, id := range ids {
		tokens = append(tokens, s.lock("nightly", id, 0, []time.Duration{0, time.Second, time.Second, 0}[i]))
	}
	s.feed(d)
	watched := d.WatchClaim("nightly", tokens[1])
	s.now = s.now.Add(time.Second - 1)
	if due := s.tick(d); len(due.withdrawn) != 0 {
		t.Fatalf("%v is due before its time", due.withdrawn)
	}
	s.now = s.now.Add(1)
	s.refuse = group.ErrQueueFull
	if due := s.tick(d); len(due.withdrawn) != 1 || due.withdrawn[0].token != tokens[2] {
		t.Fatalf("due: %v", due.withdrawn)
	}
	s.refuse = nil
	s.tick(d)
	if l, _ := s.view.Lock("nightly"); l.Use.Waiting != 2 {
		t.Errorf("%d wait, want 2: one that is asked for, and one of patience without end", l.Use.Waiting)
	}
	s.now = s.now.Add(time.Second)
	if due := s.tick(d); len(due.withdrawn) != 0 {
		t.Errorf("%v is due, and is asked for", due.withdrawn)
	}
	d.UnwatchClaim(watched)
	s.now = s.now.Add(time.Second - 1)
	if due := s.tick(d); len(due.withdrawn) != 0 {
		t.Errorf("%v is due before its time", due.withdrawn)
	}
	// It is granted while its withdrawal is on its way: it stays.
	s.now = s.now.Add(1)
	due := d.dueLocks(s.now)
	s.do(&fsm.ReleaseLock{Name: "nightly", Session: ids[0]})
	d.proposeLocks(t.Context(), due)
	s.feed(d)
	if len(due.withdrawn) != 1 || s.holder("nightly") != ids[1] {
		t.Errorf("due %v; %d holds the lock, want %d", due.withdrawn, s.holder("nightly"), ids[1])
	}
}

func TestDriver_WatchClaim_IsTold(t *testing.T) {
	var a, b placement.SessionID
	s, d := begun(t, func(s *state) { a, b = s.open(time.Minute), s.open(time.Minute) })
	s.lock("one", a)
	token := s.lock("one", b)
	s.feed(d)
	one, other, gone := d.WatchClaim("one", token), d.WatchClaim("two", token), d.WatchClaim("one", token)
	if !d.UnwatchClaim(gone) {
		t.Error("a claim that is asked for is not left")
	}
	told := func(w *ClaimWatch) bool {
		select {
		case <-w.C:
			return true
		default:
			return false
		}
	}
	s.do(&fsm.CloseSession{Session: a})
	s.feed(d)
	if !told(one) || told(other) || told(gone) {
		t.Errorf("told: %t, of another %t, and after the end %t", told(one), told(other), told(gone))
	}
	d.look(s.view)
	if !told(one) || !told(other) || told(other) {
		t.Errorf("changes that were lost concern all, once")
	}
	if d.UnwatchClaim(one) || d.UnwatchClaim(other) || len(d.mu.locks.watches) != 0 {
		t.Errorf("claims are left to nobody; %d watches are left", len(d.mu.locks.watches))
	}
}

// A claim is left to whoever asks for it, and not to one who has gone.
func TestDriver_LingerOnClaim_LeavesItToWhoAsks(t *testing.T) {
	s, d := begun(t, nil)
	token := s.lock("one", s.open(time.Minute))
	s.feed(d)
	watch := func() *ClaimWatch { return d.WatchClaim("one", token) }
	gone := func(w *ClaimWatch) *ClaimWatch {
		d.LingerOnClaim(w)
		return w
	}
	is := func(what string, w *ClaimWatch, want bool) {
		if left := d.UnwatchClaim(w); left != want {
			t.Errorf("%s: it is left to others: %t", what, left)
		}
	}
	first, second := watch(), watch()
	first = gone(first)
	is("the second, beside one who has gone", second, false)
	is("the first, whom nobody joined since", first, false)
	first = gone(watch())
	second = watch()
	is("the second, beside one who has gone before", second, false)
	is("the first, whom the second joined", first, true)
	first, second = gone(watch()), gone(watch())
	is("the first, whom one joined who has gone", first, true)
	is("the second of two who have gone", second, false)
	first, second = gone(watch()), watch()
	is("the first, beside one who asks", first, true)
	is("the second, alone", second, false)
}

// What happened among changes that were lost is found out from the view.
func TestDriver_ChangesLost_LocksAreFound(t *testing.T) {
	var over, stays placement.SessionID
	s, d := begun(t, func(s *state) {
		over, stays = s.open(time.Minute), s.open(8*time.Second)
		s.lock("one", stays)
	})
	s.now = s.now.Add(4 * time.Second)
	s.do(&fsm.CloseSession{Session: over})
	late := s.open(8 * time.Second)
	s.lock("one", late, 0, time.Second)
	s.do(&fsm.BreakLock{Name: "one"})
	s.changes = nil
	d.look(s.view)
	if got, want := d.mu.locks.leases.All(), []placement.SessionID{stays, late}; !slices.Equal(got, want) {
		t.Errorf("sessions %v, want %v", got, want)
	}
	if d.mu.locks.delays.Len() != 1 || d.mu.locks.patience.Len() != 1 {
		t.Errorf("%d delays and %d that wait", d.mu.locks.delays.Len(), d.mu.locks.patience.Len())
	}
	d.look(s.view) // what is known keeps its time
	s.now = s.now.Add(6 * time.Second)
	if due := d.dueLocks(s.now); !slices.Equal(due.sessions, []placement.SessionID{stays}) || len(due.withdrawn) != 1 || len(due.delays) != 0 {
		t.Errorf("due: %+v", due)
	}
	s.now = s.now.Add(4 * time.Second)
	if due := d.dueLocks(s.now); len(due.delays) != 1 {
		t.Errorf("due: %+v", due)
	}
}

// Many sessions that die together are expired in parts, which leave room in the queue.
func TestDriver_ManySessionsDie_ExpireInParts(t *testing.T) {
	const n = lockBatch + 10
	s, d := begun(t, func(s *state) {
		e := snapshot.NewEditor(s.view)
		for i := range n {
			e.OpenSession(placement.Session{ID: placement.SessionID(i + 1), TTL: time.Second, Holder: fmt.Sprint(i)})
		}
		s.view = e.Publish()
		s.machine = fsm.New(s.view)
		s.machine.Observed = true
	})
	s.now = s.now.Add(2 * time.Second)
	for _, want := range []int{lockBatch, 10, 0} {
		if due := s.tick(d); len(due.sessions) != want {
			t.Errorf("%d sessions are due, want %d", len(due.sessions), want)
		}
	}
	if s.view.SessionCount() != 0 || len(d.mu.locks.leases.All()) != 0 {
		t.Errorf("%d sessions are left", s.view.SessionCount())
	}
}
