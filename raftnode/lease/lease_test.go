package lease

import (
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

const second = Instant(time.Second)

func TestStretch(t *testing.T) {
	if got := Stretch(4 * time.Second); got != 5*time.Second {
		t.Errorf("Stretch(4s) = %v, want 5s", got)
	}
}

// S3: leases of former leaders are waited for, by the longest ever announced and stretched.
func TestTenure_Wait_KeepsTheReplicatedBarrier(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7, FormerReadLease: 4 * time.Second}, 100*second)
	for _, tt := range []struct {
		now  Instant
		want uint64
	}{{100 * second, 7}, {105*second - 1, 7}, {105 * second, 20}, {101 * second, 20}} {
		if got := ten.Barrier(tt.now, 20, 3); got != tt.want {
			t.Errorf("at %v the barrier is %d, want %d", time.Duration(tt.now), got, tt.want)
		}
	}
}

// A clock that goes backward must not hold up removals once the wait is over.
func TestTenure_ClockGoesBack_WaitStaysOver(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7, FormerReadLease: 4 * time.Second}, 100*second)
	if got := ten.Barrier(99*second, 20, 3); got != 7 {
		t.Errorf("before the wait is over the barrier is %d, want 7", got)
	}
	ten.Barrier(105*second, 20, 3)
	if got := ten.Barrier(50*second, 30, 3); got != 30 {
		t.Errorf("when the clock has gone back the barrier is %d, want 30", got)
	}
}

// S6: a leader that was deposed and applies its successor's entries calls none of its removals complete.
func TestTenure_OtherTerm_BarrierStays(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7}, 0)
	if got := ten.Barrier(0, 12, 3); got != 12 {
		t.Errorf("in its own term the barrier is %d, want 12", got)
	}
	if got := ten.Barrier(0, 20, 4); got != 12 {
		t.Errorf("in another term the barrier is %d, want 12", got)
	}
	if got := ten.Barrier(0, 5, 3); got != 12 {
		t.Errorf("the barrier went back to %d", got)
	}
}

func TestMembers_NewTenure_GrantsTheFullTime(t *testing.T) {
	m := NewMembers(100*second, 4*time.Second, []placement.Incarnation{1, 2})
	m.Joined(3, 102*second)
	m.Joined(1, 102*second) // is in the table already
	for _, tt := range []struct {
		now  Instant
		want []placement.Incarnation
	}{{105*second - 1, nil}, {105 * second, []placement.Incarnation{1, 2}}, {106 * second, nil}, {107 * second, []placement.Incarnation{3}}} {
		if got := m.Expire(tt.now); !slices.Equal(got, tt.want) {
			t.Errorf("Expire(%v) = %v, want %v", time.Duration(tt.now), got, tt.want)
		}
	}
}

func TestMembers_Answer_CountsFromBeforeThePulse(t *testing.T) {
	m := NewMembers(0, 4*time.Second, []placement.Incarnation{1})
	if !m.Answer(1, true, 3*second) {
		t.Fatal("a living member was refused")
	}
	if !m.Answer(1, true, 2*second) { // answers come out of order
		t.Fatal("a living member was refused")
	}
	if got := m.Left(1, 4*second); got != 4*time.Second {
		t.Errorf("Left = %v, want 4s", got)
	}
	if due := m.Expire(8*second - 1); due != nil {
		t.Errorf("%v expired too early", due)
	}
	if due := m.Expire(8 * second); len(due) != 1 {
		t.Error("the member did not expire")
	}
}

// M3 and M4: who is marked, or not alive, gets no answer any more.
func TestMembers_MarkedOrDead_IsRefused(t *testing.T) {
	m := NewMembers(0, 4*time.Second, []placement.Incarnation{1, 2})
	if m.Answer(2, false, 1*second) {
		t.Error("a member that is not alive was answered")
	}
	m.Answer(2, true, 1*second)
	m.Expire(5 * second)
	if m.Answer(1, true, 9*second) {
		t.Error("a member that is marked was answered")
	}
	if got := m.Expiring(); !slices.Equal(got, []placement.Incarnation{1}) {
		t.Errorf("Expiring() = %v, want [1]", got)
	}
	m.Ended(1)
	if got := m.Expiring(); len(got) != 0 || m.Left(1, 0) != 0 {
		t.Errorf("after its end the table still holds %v", got)
	}
}
