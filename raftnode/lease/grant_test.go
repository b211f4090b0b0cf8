package lease

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const readLease = 4 * time.Second // 5 s, stretched

// leading is a tenure with Start 10 that grants read leases, and has waited for those of former leaders.
func leading() *Tenure {
	return Begin(Started{Term: 3, Index: 10, Barrier: 7, MaxReadLease: readLease, ReadLease: readLease}, 0)
}

// grant has a holder granted a lease, or fails.
func grant(t *testing.T, ten *Tenure, holder uint64, t0 Instant, index uint64) Grant {
	t.Helper()
	g, refusal := ten.Grant(Request{Holder: holder, Name: fmt.Sprintf("s%d", holder), Nonce: holder * 100}, t0, index, t0)
	if refusal != None {
		t.Fatalf("holder %d is refused: %v", holder, refusal)
	}
	return g
}

// S4: the floor of a new holder is what the leader has published, and the record is there with the grant.
func TestGrant_NewHolder_FloorIsTheLeadersIndex(t *testing.T) {
	ten := leading()
	if g := grant(t, ten, 1, 0, 12); g != (Grant{Nonce: 100, ReadLease: readLease, Floor: 12}) {
		t.Errorf("the grant is %+v", g)
	}
	if got := ten.Barrier(0, 20, 3); got != 12 {
		t.Errorf("right behind the grant the barrier is %d, want 12", got)
	}
}

// S4: a barrier that was used before the lock was taken is below the floor, whatever index was loaded before that.
func TestGrant_BarrierPassedTheIndex_FloorIsTheBarrier(t *testing.T) {
	ten := leading()
	ten.Barrier(0, 15, 3)
	if g := grant(t, ten, 1, 0, 12); g.Floor != 15 {
		t.Errorf("the floor is %d behind a barrier of 15", g.Floor)
	}
}

// S4: a record lasts 1+ρ times as long as the lease, from before the pulse.
func TestGrant_Record_LastsStretchedFromThePulse(t *testing.T) {
	ten := leading()
	g, refusal := ten.Grant(Request{Holder: 1}, 1*second, 12, 3*second)
	if refusal != None || g.Floor != 12 {
		t.Fatalf("got %+v, %v", g, refusal)
	}
	if got := ten.Barrier(6*second-1, 20, 3); got != 12 {
		t.Errorf("while the lease may last the barrier is %d, want 12", got)
	}
	if got := ten.Barrier(6*second, 20, 3); got != 20 {
		t.Errorf("behind it the barrier is %d, want 20", got)
	}
}

// S4: pulses overlap, so their instants come out of order.
func TestGrant_OlderPulse_RecordLastsAsLongAsBefore(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 2*second, 12)
	grant(t, ten, 1, 1*second, 12)
	if got := ten.Barrier(7*second-1, 20, 3); got != 12 {
		t.Errorf("the barrier is %d, want 12", got)
	}
}

// S4: a record that has lapsed is none.
func TestGrant_LapsedRecord_IsANewOne(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	if g := grant(t, ten, 1, 5*second, 20); g.Floor != 20 {
		t.Errorf("the floor is %d, want 20", g.Floor)
	}
	if got := ten.Barrier(5*second, 30, 3); got != 20 {
		t.Errorf("the barrier is %d, want 20", got)
	}
}

// S5: a renewal does not raise the low of a live record, since it may never arrive.
func TestGrant_Renewal_LowStays(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	if g := grant(t, ten, 1, 1*second, 20); g.Floor != 12 {
		t.Errorf("the floor of the renewal is %d, want 12", g.Floor)
	}
	if got := ten.Barrier(1*second, 20, 3); got != 12 {
		t.Errorf("the barrier is %d, want 12", got)
	}
}

// S5: an acknowledgement moves the barrier on, by itself or with a request, and only forward.
func TestAck_RaisesTheLow(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	grant(t, ten, 2, 0, 12)
	ten.Ack(1, 18, 0)
	if got := ten.Barrier(0, 20, 3); got != 12 {
		t.Errorf("one of two acknowledged: the barrier is %d, want 12", got)
	}
	if g, _ := ten.Grant(Request{Holder: 2, Index: 15}, 0, 20, 0); g.Floor != 15 {
		t.Errorf("the floor behind a request that acknowledges 15 is %d", g.Floor)
	}
	ten.Ack(2, 14, 0)
	if got := ten.Barrier(0, 20, 3); got != 15 {
		t.Errorf("the barrier is %d, want 15", got)
	}
	ten.Ack(2, 99, 0)
	if got := ten.Barrier(0, 20, 3); got != 18 {
		t.Errorf("the barrier is %d, want 18", got)
	}
}

// S5: without a live record of that very incarnation an acknowledgement has no effect.
func TestAck_NoLiveRecord_HasNoEffect(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	ten.Ack(2, 20, 0)
	if got := ten.Barrier(0, 20, 3); got != 12 {
		t.Errorf("another incarnation acknowledged: the barrier is %d, want 12", got)
	}
	ten.Ack(2, 30, 0)
	if g := grant(t, ten, 2, 0, 12); g.Floor != 12 {
		t.Errorf("an acknowledgement from before the record counts: floor %d", g.Floor)
	}
}

// S6: the barrier is the least of the own index and of every live record's low, and only in the own term.
func TestBarrier_Holders_TheSlowestDecides(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 14)
	grant(t, ten, 2, 1*second, 12)
	for _, tt := range []struct {
		now         Instant
		index, term uint64
		want        uint64
	}{{1 * second, 11, 3, 11}, {1 * second, 20, 4, 11}, {1 * second, 20, 3, 12}, {6*second - 1, 20, 3, 12}, {6 * second, 20, 3, 20}} {
		if got := ten.Barrier(tt.now, tt.index, tt.term); got != tt.want {
			t.Errorf("at %v, index %d, term %d the barrier is %d, want %d", time.Duration(tt.now), tt.index, tt.term, got, tt.want)
		}
	}
}

// The slowest holder lapses first, and then the next one decides.
func TestBarrier_SlowestLapses_TheNextDecides(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	grant(t, ten, 2, 2*second, 14)
	if got := ten.Barrier(5*second, 20, 3); got != 14 {
		t.Errorf("the barrier is %d, want 14", got)
	}
}

// S3: holders of this tenure are granted while those of former leaders are waited for.
func TestBarrier_DuringTheWait_GrantsGoOn(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7, FormerReadLease: readLease, MaxReadLease: readLease, ReadLease: readLease}, 0)
	grant(t, ten, 1, 1*second, 12)
	if got := ten.WaitLeft(2 * second); got != 3*time.Second {
		t.Errorf("WaitLeft = %v, want 3s", got)
	}
	for _, tt := range []struct {
		now  Instant
		want uint64
	}{{5*second - 1, 7}, {5 * second, 12}, {6 * second, 20}} {
		if got := ten.Barrier(tt.now, 20, 3); got != tt.want {
			t.Errorf("at %v the barrier is %d, want %d", time.Duration(tt.now), got, tt.want)
		}
	}
	if got := ten.WaitLeft(5 * second); got != 0 {
		t.Errorf("behind the wait WaitLeft = %v", got)
	}
}

// S3: the next leader waits for what was announced, so nothing longer is granted.
func TestGrant_NotAnnounced_LastsAsLongAsWhatWas(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7, MaxReadLease: time.Second, ReadLease: readLease}, 0)
	if g := grant(t, ten, 1, 0, 12); g.ReadLease != time.Second {
		t.Errorf("a lease of %v was granted, and %v is the longest announced", g.ReadLease, time.Second)
	}
	if l, _ := ten.Own(0); l.Expiry != second {
		t.Errorf("the own lease lasts %v", time.Duration(l.Expiry))
	}
}

// S8: the leader's own lease counts from before the pulse, and its floor is the Start.
func TestOwn_FloorIsTheStart(t *testing.T) {
	ten := leading()
	if got, ok := ten.Own(2 * second); !ok || got != (Lease{Expiry: 6 * second, Floor: 10}) {
		t.Errorf("Own = %+v, %v", got, ok)
	}
	if got := ten.Barrier(2*second, 20, 3); got != 20 {
		t.Errorf("the own lease holds the barrier back: it is %d, want 20", got)
	}
}

// Without read leases there are no holders, and the barrier is what is published.
func TestGrant_Off_IsRefused(t *testing.T) {
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7}, 0)
	if g, refusal := ten.Grant(Request{Holder: 1}, 0, 12, 0); refusal != NoLeases || g != (Grant{}) {
		t.Errorf("got %+v, %v", g, refusal)
	}
	if l, ok := ten.Own(0); ok {
		t.Errorf("Own = %+v", l)
	}
	if got := ten.Barrier(0, 12, 3); got != 12 {
		t.Errorf("the barrier is %d, want 12", got)
	}
}

func TestGrant_PulseTookLonger_IsRefused(t *testing.T) {
	ten := leading()
	if _, refusal := ten.Grant(Request{Holder: 1}, 1*second, 12, 6*second); refusal != Late {
		t.Errorf("refusal %v, want %v", refusal, Late)
	}
	if got := ten.Holders(1 * second); got != nil {
		t.Errorf("the table holds %v", got)
	}
}

// A holder that a removal has waited for longer than Grace gets no renewal; when its lease is over it may begin again.
func TestGrant_HolderLags_GetsNoRenewal(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	grant(t, ten, 2, 0, 12)
	ten.Removed(13, 1*second)
	late := Instant(1*second) + Instant(GraceDefault) + 1
	ten.Ack(2, 13, late)
	for _, tt := range []struct {
		now    Instant
		holder uint64
		want   Refusal
	}{{late - 1, 1, None}, {late, 1, Behind}, {late, 2, None}, {late, 3, None}, {late - 1 + Instant(Stretch(readLease)), 1, None}} {
		if _, got := ten.Grant(Request{Holder: tt.holder}, tt.now, 14, tt.now); got != tt.want {
			t.Errorf("at %v holder %d: %v, want %v", time.Duration(tt.now), tt.holder, got, tt.want)
		}
	}
	ten = leading()
	grant(t, ten, 1, 0, 12)
	ten.Removed(13, 1*second)
	if _, got := ten.Grant(Request{Holder: 1, Index: 13}, late, 14, late); got != None {
		t.Errorf("a request that acknowledges the removal: %v", got)
	}
}

func TestGrant_TooManyHolders_IsRefused(t *testing.T) {
	ten := leading()
	for i := range uint64(HoldersMax) {
		grant(t, ten, i+1, Instant(i), 12)
	}
	if _, got := ten.Grant(Request{Holder: HoldersMax + 1}, 1*second, 12, 1*second); got != Full {
		t.Errorf("refusal %v, want %v", got, Full)
	}
	grant(t, ten, 1, 1*second, 12) // who is there may stay
	if _, got := ten.Grant(Request{Holder: HoldersMax + 1}, 1*second, 12, 5*second+1); got != None {
		t.Errorf("one has lapsed: %v, want none", got)
	}
}

// What people look at: who there is, and who holds removals back.
func TestHolders_HeldBy(t *testing.T) {
	ten := leading()
	grant(t, ten, 3, 0, 12)
	grant(t, ten, 1, 1*second, 13)
	grant(t, ten, 2, 1*second, 12)
	want := []Record{{1, "s1", 13, 6 * second}, {2, "s2", 12, 6 * second}, {3, "s3", 12, 5 * second}}
	if got := ten.Holders(1 * second); !slices.Equal(got, want) {
		t.Errorf("Holders = %v, want %v", got, want)
	}
	if got, ok := ten.HeldBy(13, 1*second); !ok || got != want[1] {
		t.Errorf("HeldBy(13) = %v, %v, want %v", got, ok, want[1])
	}
	if got, ok := ten.HeldBy(12, 1*second); ok {
		t.Errorf("HeldBy(12) = %v", got)
	}
	if got := ten.Holders(5 * second); !slices.Equal(got, want[:2]) {
		t.Errorf("behind the end of one Holders = %v, want %v", got, want[:2])
	}
}

func TestOldestWait_UntilTheBarrierPasses(t *testing.T) {
	ten := leading()
	grant(t, ten, 1, 0, 12)
	ten.Removed(11, 0) // is not waited for when the barrier passes it
	ten.Removed(13, 1*second)
	ten.Removed(14, 2*second)
	ten.Removed(14, 3*second)
	ten.Barrier(2*second, 14, 3)
	if got := ten.OldestWait(3 * second); got != 2*time.Second {
		t.Errorf("OldestWait = %v, want 2s", got)
	}
	ten.Ack(1, 13, 3*second)
	ten.Barrier(3*second, 14, 3)
	if got := ten.OldestWait(3 * second); got != time.Second {
		t.Errorf("behind the first OldestWait = %v, want 1s", got)
	}
	ten.Ack(1, 14, 3*second)
	ten.Barrier(3*second, 14, 3)
	if got := ten.OldestWait(3 * second); got != 0 {
		t.Errorf("when none waits OldestWait = %v", got)
	}
}

// However many removals wait, the table of them is small, and none is forgotten.
func TestRemovals_Many_AreFewMarks(t *testing.T) {
	r := newRemovals(time.Second)
	for i := range Instant(100_000) {
		r.note(uint64(i)+1, i*second/1000)
	}
	if len(r.marks) != marksMax || cap(r.marks) > 2*marksMax {
		t.Errorf("%d marks in memory for %d", len(r.marks), cap(r.marks))
	}
	if got := r.late(100 * second); got != 100_000 {
		t.Errorf("the newest that is late is %d", got)
	}
	if got := r.late(3 * second); got < 1751 || got > 2000 {
		t.Errorf("3 s after the first, of 1000 a second, the newest that is late is %d, want 1751 to 2000", got)
	}
	if r.passed(99_999); r.oldest(100*second) == 0 {
		t.Error("the newest is forgotten")
	}
	if r.passed(100_000); len(r.marks) != 0 {
		t.Errorf("%v is not forgotten", r.marks)
	}
}

// The time of a barrier must not depend on the number of holders.
func BenchmarkBarrier(b *testing.B) {
	for _, n := range []uint64{0, 3, HoldersMax} {
		b.Run(fmt.Sprintf("holders=%d", n), func(b *testing.B) {
			ten := leading()
			for i := range n {
				ten.Grant(Request{Holder: i + 1}, 0, 12, 0)
			}
			b.ReportAllocs()
			for b.Loop() {
				ten.Barrier(0, 20, 3)
			}
		})
	}
}

// A clock that goes back by an hour neither ends what was granted sooner nor holds a removal up for an hour.
func TestTenure_ClockGoesBack_WhatIsLeftStays(t *testing.T) {
	const hour = 3600 * second
	ten := Begin(Started{Term: 3, Index: 10, Barrier: 7, FormerReadLease: readLease, MaxReadLease: readLease, ReadLease: readLease}, hour)
	grant(t, ten, 1, hour+1*second, 12) // until hour + 6 s
	ten.Removed(13, hour+2*second)
	ten.Back(time.Hour)
	for _, tt := range []struct {
		now  Instant
		want uint64
	}{{5*second - 1, 7}, {5 * second, 12}, {6*second - 1, 12}, {6 * second, 20}} {
		if got := ten.OldestWait(tt.now); tt.want < 13 && got != tt.now.Sub(2*second) {
			t.Errorf("at %v the removal has waited for %v", time.Duration(tt.now), got)
		}
		if got := ten.Barrier(tt.now, 20, 3); got != tt.want {
			t.Errorf("at %v the barrier is %d, want %d", time.Duration(tt.now), got, tt.want)
		}
	}
}
