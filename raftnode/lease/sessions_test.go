package lease

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Each session has the full of its own TTL, from when the tenure learned of it.
func TestSessions_NewTenure_GrantsTheFullTime(t *testing.T) {
	s := NewSessions()
	s.Opened(1, 4*time.Second, 100*second)
	s.Opened(2, 40*time.Second, 100*second)
	s.Opened(3, 4*time.Second, 102*second)
	s.Opened(1, 4*time.Second, 102*second) // is in the table already
	for _, tt := range []struct {
		now  Instant
		want []placement.SessionID
	}{{105*second - 1, nil}, {105 * second, []placement.SessionID{1}}, {107*second - 1, nil}, {149 * second, []placement.SessionID{3}}, {150 * second, []placement.SessionID{2}}} {
		if got := s.Expire(tt.now, 10); !slices.Equal(got, tt.want) {
			t.Errorf("Expire(%v) = %v, want %v", time.Duration(tt.now), got, tt.want)
		}
	}
	if got := s.All(); !slices.Equal(got, []placement.SessionID{1, 2, 3}) {
		t.Errorf("All() = %v", got)
	}
}

func TestSessions_Answer_CountsFromBeforeThePulse(t *testing.T) {
	s := NewSessions()
	s.Opened(1, 4*time.Second, 0)
	if !s.Answer(1, true, 3*second) || !s.Answer(1, true, 2*second) { // answers come out of order
		t.Fatal("an open session was refused")
	}
	if got := s.Left(1, 4*second); got != 4*time.Second {
		t.Errorf("Left = %v, want 4s", got)
	}
	if due := s.Expire(8*second-1, 10); due != nil {
		t.Errorf("%v expired too early", due)
	}
	if due := s.Expire(8*second, 10); len(due) != 1 {
		t.Error("the session did not expire")
	}
}

// M3 and M4: what is marked, not open or not known gets no answer any more.
func TestSessions_MarkedOrClosed_IsRefused(t *testing.T) {
	s := NewSessions()
	s.Opened(1, 4*time.Second, 0)
	s.Opened(2, 4*time.Second, 0)
	if s.Answer(2, false, second) || s.Answer(3, true, second) {
		t.Error("a session that is not open was answered")
	}
	s.Answer(2, true, second)
	s.Expire(5*second, 10)
	if s.Answer(1, true, 9*second) || s.Left(1, 0) != 0 {
		t.Error("a session that is marked was answered")
	}
	s.Ended(2)
	if s.Answer(2, true, 9*second) || s.Expire(100*second, 10) != nil {
		t.Error("a session that has ended is in the table")
	}
}

func TestSessions_Expire_AtMostSoMany(t *testing.T) {
	s := NewSessions()
	for i := range placement.SessionID(10) {
		s.Opened(i+1, time.Second, Instant(i))
	}
	if got := s.Expire(100*second, 4); !slices.Equal(got, []placement.SessionID{1, 2, 3, 4}) {
		t.Errorf("the first are %v", got)
	}
	if !s.Answer(5, true, 100*second) {
		t.Error("one whose time is up, and whose expiry nobody decided, was refused")
	}
	if got := s.Expire(100*second, 10); !slices.Equal(got, []placement.SessionID{6, 7, 8, 9, 10}) {
		t.Errorf("then come %v", got)
	}
}

// Timers agree with a map that is looked through, however they are set, moved and dropped; and what they keep is bounded.
func TestTimers_AgreeWithAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var timers Timers[int]
	want := map[int]Instant{}
	for now := Instant(0); now < 3000; now++ {
		for range rng.IntN(6) {
			k, at := rng.IntN(50), now+Instant(rng.IntN(100))
			if rng.IntN(4) == 0 {
				timers.Drop(k)
				delete(want, k)
				continue
			}
			timers.Set(k, at)
			want[k] = at
		}
		var due []int
		for k, at := range want {
			if got, ok := timers.At(k); !ok || got != at {
				t.Fatalf("at %d: %d is due at %d, want %d", now, k, got, at)
			}
			if at <= now {
				due = append(due, k)
			}
		}
		got := timers.Due(now, 3)
		for _, k := range got {
			if want[k] > now {
				t.Fatalf("at %d: %d is due at %d", now, k, want[k])
			}
			delete(want, k)
		}
		if len(got) != min(3, len(due)) || timers.Len() != len(want) || len(timers.heap) > 2*50+20 {
			t.Fatalf("at %d: %d of %d are due; %d timers, %d kept", now, len(got), len(due), timers.Len(), len(timers.heap))
		}
	}
}
