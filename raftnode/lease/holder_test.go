package lease

import (
	"testing"
	"time"
)

// H1: the lease counts from before the request was sent, and one request is outstanding.
func TestHolder_Granted_CountsFromTheRequest(t *testing.T) {
	h := NewHolder(7)
	nonce, ok := h.Request(1 * second)
	if !ok || nonce == 0 {
		t.Fatalf("Request = %d, %v", nonce, ok)
	}
	if _, ok := h.Request(2 * second); ok {
		t.Error("a second request while one is outstanding")
	}
	if got := h.Waiting(3 * second); got != 2*time.Second {
		t.Errorf("Waiting = %v, want 2s", got)
	}
	l, ok := h.Granted(Grant{Nonce: nonce, ReadLease: 4 * time.Second, Floor: 12})
	if !ok || l != (Lease{Expiry: 5 * second, Floor: 12}) {
		t.Errorf("Granted = %+v, %v", l, ok)
	}
	if got := h.Waiting(3 * second); got != 0 {
		t.Errorf("behind the answer Waiting = %v", got)
	}
}

// H2: only the answer to the outstanding request counts, once, and none to a former life.
func TestHolder_OtherNonce_IsRefused(t *testing.T) {
	former, h := NewHolder(1000), NewHolder(2000)
	old, _ := former.Request(0)
	if _, ok := h.Granted(Grant{Nonce: 0, ReadLease: time.Second}); ok {
		t.Error("a grant that was not asked for was taken")
	}
	first, _ := h.Request(0)
	h.GiveUp()
	if _, ok := h.Granted(Grant{Nonce: first, ReadLease: time.Second}); ok {
		t.Error("a grant for a request that was given up was taken")
	}
	second, ok := h.Request(1 * second)
	if !ok {
		t.Fatal("no request after one that was given up")
	}
	for _, nonce := range []uint64{first, old, 0} {
		if _, ok := h.Granted(Grant{Nonce: nonce, ReadLease: time.Second}); ok {
			t.Errorf("the grant of another request was taken: %d", nonce)
		}
	}
	if _, ok := h.Granted(Grant{Nonce: second, ReadLease: time.Second}); !ok {
		t.Error("the answer was refused")
	}
	if _, ok := h.Granted(Grant{Nonce: second, ReadLease: time.Second}); ok {
		t.Error("the answer was taken twice")
	}
}

func TestAsking_NonceWraps_IsNeverZero(t *testing.T) {
	a := Asking{nonce: ^uint64(0)}
	if nonce, ok := a.Ask(0); !ok || nonce == 0 {
		t.Errorf("Ask = %d, %v", nonce, ok)
	}
}

// H2: it renews when a quarter of the lease is over.
func TestHolder_Due_EveryQuarter(t *testing.T) {
	h := NewHolder(7)
	if !h.Due(0) {
		t.Error("nothing was granted, and it does not ask")
	}
	nonce, _ := h.Request(1 * second)
	if h.Due(9 * second) {
		t.Error("it would ask twice")
	}
	h.Granted(Grant{Nonce: nonce, ReadLease: 4 * time.Second})
	if h.Due(2*second-1) || !h.Due(2*second) {
		t.Error("it does not renew at a quarter")
	}
}

// H3: the state that answers has the floor, and the clock is before the expiry.
func TestLease_Serves(t *testing.T) {
	l := &Lease{Expiry: 5 * second, Floor: 12}
	for _, tt := range []struct {
		l     *Lease
		index uint64
		now   Instant
		want  bool
	}{{l, 12, 5*second - 1, true}, {l, 11, 0, false}, {l, 12, 5 * second, false}, {l, 13, 0, true}, {nil, 99, -1, false}} {
		if got := tt.l.Serves(tt.index, tt.now); got != tt.want {
			t.Errorf("%+v serves index %d at %v: %v, want %v", tt.l, tt.index, time.Duration(tt.now), got, tt.want)
		}
	}
	if l.Left(4*second) != time.Second || l.Left(6*second) != 0 || (*Lease)(nil).Left(0) != 0 {
		t.Errorf("Left = %v, %v", l.Left(4*second), l.Left(6*second))
	}
}

// M2: a member's lease counts from before the keepalive was sent, and never becomes shorter.
func TestKept_CountsFromTheKeepalive(t *testing.T) {
	k := Keep(1*second, 4*time.Second)
	for _, tt := range []struct {
		k    Kept
		want Instant
	}{{k, 5 * second}, {k.Extend(3*second, 4*time.Second), 7 * second}, {k.Extend(2*second, time.Second), 5 * second}} {
		if tt.k.Expiry != tt.want {
			t.Errorf("it ends at %v, want %v", time.Duration(tt.k.Expiry), time.Duration(tt.want))
		}
	}
	if k.Left(4*second) != time.Second || k.Left(5*second) != 0 || k.Left(9*second) != 0 {
		t.Errorf("Left = %v at 4 s, %v at 5 s", k.Left(4*second), k.Left(5*second))
	}
}

func TestAsking_Began_CountsAsAnswered(t *testing.T) {
	var a Asking
	nonce, _ := a.Ask(1 * second)
	a.Began(2 * second)
	if _, ok := a.Answered(nonce); ok || a.Outstanding() || a.Asked() != 2*second {
		t.Errorf("%+v still waits for an answer", a)
	}
}
