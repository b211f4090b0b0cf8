package placement

import "testing"

// The whole matrix of phases and transitions, one row each.
func TestTransitions(t *testing.T) {
	const (
		m1, m2 = Incarnation(100), Incarnation(200)
		e1, e2 = Epoch(1 << 12), Epoch(2 << 12)
	)
	absent := Entry{}
	pending := Entry{Phase: Pending, Owner: m1, Epoch: e1, Reason: ReasonRendezvous}
	settled := Entry{Phase: Settled, Owner: m1, Epoch: e1, Reason: ReasonRendezvous}
	draining := Entry{Phase: Settled, Owner: m1, Epoch: e1, Reason: ReasonRendezvous, Draining: true}
	tomb := Entry{Phase: Tombstone, Removed: 9}

	toM2 := func() Choice { return Choice{m2, ReasonRendezvous} }
	nobody := func() Choice { return Choice{} }
	never := func() Choice { t.Helper(); t.Error("choose was called"); return Choice{} }
	next := func(uint8) Choice { return Choice{m2, ReasonNextCandidate} }
	noNext := func(uint8) Choice { return Choice{} }

	type step func(Entry) (Entry, Verdict)
	place := func(e Entry) (Entry, Verdict) { return e.Place(e2, false, toM2) }
	placeOnPlace := func(e Entry) (Entry, Verdict) { return e.Place(e2, true, toM2) }
	placeNobody := func(e Entry) (Entry, Verdict) { return e.Place(e2, false, nobody) }
	placeIdle := func(e Entry) (Entry, Verdict) { return e.Place(e2, false, never) }
	confirm := func(e Entry) (Entry, Verdict) { return e.Confirm(m1, e1) }
	confirmEpoch := func(e Entry) (Entry, Verdict) { return e.Confirm(m1, e2) }
	confirmOther := func(e Entry) (Entry, Verdict) { return e.Confirm(m2, e1) }
	release := func(e Entry) (Entry, Verdict) { return e.Release(m1, e1, 9) }
	releaseEpoch := func(e Entry) (Entry, Verdict) { return e.Release(m1, e2, 9) }
	releaseOther := func(e Entry) (Entry, Verdict) { return e.Release(m2, e1, 9) }
	fail := func(e Entry) (Entry, Verdict) { return e.Fail(e1, e2, 3, next) }
	failEpoch := func(e Entry) (Entry, Verdict) { return e.Fail(e2, e2, 3, next) }
	failLast := func(e Entry) (Entry, Verdict) { return e.Fail(e1, e2, 1, next) }
	failNobody := func(e Entry) (Entry, Verdict) { return e.Fail(e1, e2, 3, noNext) }
	evict := func(e Entry) (Entry, Verdict) { return e.Evict(0) }
	evictAt := func(e Entry) (Entry, Verdict) { return e.Evict(e1) }
	evictEpoch := func(e Entry) (Entry, Verdict) { return e.Evict(e2) }

	placed := Entry{Phase: Pending, Owner: m2, Epoch: e2, Reason: ReasonRendezvous}
	placedSettled := Entry{Phase: Settled, Owner: m2, Epoch: e2, Reason: ReasonRendezvous}
	retried := Entry{Phase: Pending, Owner: m2, Epoch: e2, Attempt: 1, Reason: ReasonNextCandidate}

	tests := []struct {
		name string
		do   step
		from Entry
		to   Entry
		v    Verdict
	}{
		{"place absent", place, absent, placed, Done},
		{"place absent, settles at once", placeOnPlace, absent, placedSettled, Done},
		{"place absent, nobody", placeNobody, absent, absent, NoEligibleMember},
		{"place pending", placeIdle, pending, pending, Already},
		{"place settled", placeIdle, settled, settled, Already},
		{"place draining", placeIdle, draining, draining, Already},
		{"place tombstone", placeIdle, tomb, tomb, Unsettled},

		{"confirm absent", confirm, absent, absent, NotPlaced},
		{"confirm pending", confirm, pending, settled, Done},
		{"confirm pending, other epoch", confirmEpoch, pending, pending, EpochMismatch},
		{"confirm pending, other member", confirmOther, pending, pending, NotOwner},
		{"confirm settled", confirm, settled, settled, Already},
		{"confirm settled, other epoch", confirmEpoch, settled, settled, EpochMismatch},
		{"confirm settled, other member", confirmOther, settled, settled, NotOwner},
		{"confirm draining", confirm, draining, draining, Already},
		{"confirm tombstone", confirm, tomb, tomb, Unsettled},

		{"release absent", release, absent, absent, NotPlaced},
		{"release pending", release, pending, absent, Done},
		{"release pending, other epoch", releaseEpoch, pending, pending, EpochMismatch},
		{"release settled", release, settled, tomb, Done},
		{"release settled, other epoch", releaseEpoch, settled, settled, EpochMismatch},
		{"release settled, other member", releaseOther, settled, settled, NotOwner},
		{"release draining", release, draining, tomb, Done},
		{"release tombstone", release, tomb, tomb, Unsettled},

		{"fail absent", fail, absent, absent, NotPlaced},
		{"fail pending", fail, pending, retried, Done},
		{"fail pending, other epoch", failEpoch, pending, pending, EpochMismatch},
		{"fail pending, last attempt", failLast, pending, absent, Done},
		{"fail pending, nobody left", failNobody, pending, absent, Done},
		{"fail settled", fail, settled, settled, Already},
		{"fail tombstone", fail, tomb, tomb, Unsettled},

		{"evict absent", evict, absent, absent, NotPlaced},
		{"evict pending", evict, pending, absent, Done},
		{"evict settled", evict, settled, draining, Done},
		{"evict settled at its epoch", evictAt, settled, draining, Done},
		{"evict settled at another epoch", evictEpoch, settled, settled, EpochMismatch},
		{"evict draining", evict, draining, draining, Already},
		{"evict tombstone", evict, tomb, tomb, Unsettled},
	}
	for _, tt := range tests {
		if got, v := tt.do(tt.from); got != tt.to || v != tt.v {
			t.Errorf("%s: got %+v, %v; want %+v, %v", tt.name, got, v, tt.to, tt.v)
		}
	}
}

func TestFail_AttemptsAreBounded(t *testing.T) {
	e := Entry{Phase: Pending, Owner: 1, Epoch: 1}
	n := 0
	for e.Phase == Pending {
		n++
		next := e.Epoch + 1
		e, _ = e.Fail(e.Epoch, next, 1000, func(uint8) Choice { return Choice{1, ReasonNextCandidate} })
	}
	if n != AttemptsMax {
		t.Errorf("%d attempts were made, want %d", n, AttemptsMax)
	}
}

func TestSeen(t *testing.T) {
	settled := Entry{Phase: Settled, Owner: 1, Epoch: 5}
	pending := Entry{Phase: Pending, Owner: 1, Epoch: 5}
	tests := []struct {
		name          string
		e             Entry
		died, barrier uint64
		want          Entry
	}{
		{"settled, owner alive", settled, 0, 100, settled},
		{"settled, owner died above the barrier", settled, 9, 8, Entry{Phase: Tombstone, Removed: 9}},
		{"settled, owner died at the barrier", settled, 9, 9, Entry{}},
		{"pending, owner alive", pending, 0, 100, pending},
		{"pending, owner died", pending, 9, 0, Entry{}},
		{"tombstone above the barrier", Entry{Phase: Tombstone, Removed: 9}, 0, 8, Entry{Phase: Tombstone, Removed: 9}},
		{"tombstone at the barrier", Entry{Phase: Tombstone, Removed: 9}, 0, 9, Entry{}},
		{"absent", Entry{}, 0, 0, Entry{}},
	}
	for _, tt := range tests {
		if got := tt.e.Seen(tt.died, tt.barrier); got != tt.want {
			t.Errorf("%s: Seen(%d, %d) = %+v, want %+v", tt.name, tt.died, tt.barrier, got, tt.want)
		}
	}
}
