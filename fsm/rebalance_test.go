package fsm

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// workshopAt goes on with a view.
func workshopAt(t *testing.T, v *snapshot.View) *workshop {
	return &workshop{t: t, m: New(v), index: v.Index, batch: Batch{Term: v.Term, Barrier: v.Barrier, Time: v.Time}}
}

// move has an identity go where it is to go: its owner is asked to stop, releases it, and it is placed anew and confirmed.
func (w *workshop) move(id placement.Identity, epoch placement.Epoch, to placement.MemberID) (placement.Verdict, *placement.Member) {
	r := w.do(&Move{Identity: id, Epoch: epoch, To: to})[0]
	if r.Entry.Phase == placement.Settled && r.Entry.Draining {
		w.do(&Release{id, r.Entry.Owner, r.Entry.Epoch, placement.Failure{}})
	}
	w.complete()
	w.complete()
	placed := w.do(&Place{Identity: id})[0]
	if placed.Entry.Owner != 0 {
		w.do(&Confirm{id, placed.Entry.Owner, placed.Entry.Epoch})
	}
	_, owner := w.m.Publish().Lookup(id)
	return r.Verdict, owner
}

// What is planned is what comes: every move is taken, ends where it was said to, and then everybody owns what was said. Whoever
// asks again is told to move nothing more, unless something was left for want of moves.
func TestRebalance_ComesTrue(t *testing.T) {
	made, done := 0, 0
	for seed := range uint64(underrace.Rounds(1600, 800)) {
		rng := rand.New(rand.NewPCG(seed, 30))
		v := randomCluster(t, rng, seed%2 == 0)
		what := Rebalancing{Within: rng.Uint32N(30), Most: 1 + rng.IntN(60)}
		if rng.IntN(3) == 0 {
			what.Kind = kindOf(predictionKinds[rng.IntN(len(predictionKinds))])
			if !v.HasKind(what.Kind) {
				continue
			}
		}
		p, err := Rebalance(v, what)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if n := len(p.Begun) + len(p.Moves); n > what.Most {
			t.Fatalf("seed %d: %d moves, at most %d", seed, n, what.Most)
		}
		w := workshopAt(t, v)
		astray := v.MoveCount() != len(p.Begun)
		for _, m := range p.Begun {
			_, owner := w.move(m.Identity, 0, m.To)
			astray = astray || owner == nil || owner.ID != m.To
		}
		for _, m := range p.Moves {
			if e, _ := v.Lookup(m.Identity); e.Phase != placement.Settled || e.Draining {
				t.Fatalf("seed %d: %v is %+v", seed, m.Identity, e)
			}
			if m.From.State != placement.MemberLive || m.To.State != placement.MemberLive {
				t.Fatalf("seed %d: from %v to %v", seed, m.From.State, m.To.State)
			}
			verdict, owner := w.move(m.Identity, m.Epoch, m.To.ID)
			if !astray && (verdict != placement.Done || owner == nil || owner.ID != m.To.ID) {
				t.Fatalf("seed %d: %v was to go to %s: %v, %v", seed, m.Identity, m.To.ID, verdict, owner)
			}
			made++
		}
		after := w.m.Publish()
		if after.Digest() != after.RecomputeDigest() {
			t.Fatalf("seed %d: the digest is another", seed)
		}
		if astray {
			continue // a move of before could not go where it was to go
		}
		for _, k := range p.Kinds {
			for _, m := range k.Members {
				if got := after.MemberKindLoad(m.Member.Incarnation, k.Kind); got != m.After {
					t.Fatalf("seed %d: %s owns %d of %s, and was to own %d: %+v", seed, m.Member.ID, got, k.Kind, m.After, p)
				}
				if (m.Before >= m.Share && m.After < m.Share) || (m.Before <= m.Share && m.After > m.Share) {
					t.Fatalf("seed %d: %+v goes beyond its share", seed, m)
				}
			}
		}
		again, err := Rebalance(after, what)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(p.Begun) + len(p.Moves); n < what.Most && len(again.Moves)+len(again.Begun) > 0 && !limited(v, p) {
			t.Fatalf("seed %d: %d moves of %d were made, and then %+v", seed, n, what.Most, again.Moves)
		}
		done++
	}
	t.Logf("%d moves of %d plans", made, done)
	if made < 500 || done < 200 {
		t.Error("that shows nothing")
	}
}

// limited says that capacities have a part in a plan: what one kind leaves free another one may take next time. And what was
// asked to stop is free then.
func limited(v *snapshot.View, p *Rebalanced) bool {
	for p := range v.Placements() {
		if p.Entry.Draining || p.Entry.Phase == placement.Pending {
			return true
		}
	}
	for _, k := range p.Kinds {
		if v.KindSettings(k.Kind).MemberCapacity != 0 {
			return true
		}
		for _, m := range k.Members {
			if m.Member.Capacity != 0 {
				return true
			}
		}
	}
	return false
}

// spreadOf places identities of a kind on three members, of which each confirms.
func spreadOf(t *testing.T, w *workshop, kind string, n int) {
	t.Helper()
	for i := range n {
		id := placement.Identity{Kind: kind, Key: fmt.Sprint(i)}
		r := w.do(&Place{Identity: id})[0]
		if r.Verdict != placement.Done {
			t.Fatal(r.Verdict)
		}
		w.do(&Confirm{id, r.Entry.Owner, r.Entry.Epoch})
	}
}

// A join alone moves nothing; asked for, a quarter goes to the fourth member, and the rest stays.
func TestRebalance_FourthMember_GetsItsShare(t *testing.T) {
	w := newWorkshop(t)
	w.do(&SetKind{Kind: "cart", Settings: placement.KindSettings{Strategy: placement.LeastLoaded{}.Name()}})
	for i := range 3 {
		w.do(&Join{placement.Member{ID: placement.MemberID(fmt.Sprint("m", i)), Address: "a:1", Kinds: []string{"cart"}}})
	}
	spreadOf(t, w, "cart", 60)
	if p, err := Rebalance(w.m.Publish(), Rebalancing{Within: 10, Most: 1000}); err != nil || len(p.Moves) != 0 {
		t.Fatalf("of 20, 20 and 20 %+v, %v", p, err)
	}
	w.do(&Join{placement.Member{ID: "m3", Address: "a:1", Kinds: []string{"cart"}}})
	v := w.m.Publish()
	p, err := Rebalance(v, Rebalancing{Within: 10, Most: 1000})
	if err != nil || len(p.Moves) != 14 || p.Kinds[0].Uneven != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, m := range p.Moves {
		if m.To.ID != "m3" {
			t.Errorf("%v goes to %s", m.Identity, m.To.ID)
		}
	}
	// Two were begun and given up for the time being: the next one goes on with them, and makes no more than were left.
	first, second := p.Moves[0], p.Moves[1]
	w.do(&Move{Identity: first.Identity, Epoch: first.Epoch, To: "m3"}, &Move{Identity: second.Identity, Epoch: second.Epoch, To: "m3"})
	w.do(&Release{second.Identity, second.From.Incarnation, second.Epoch, placement.Failure{}})
	next, err := Rebalance(w.m.Publish(), Rebalancing{Within: 10, Most: 1000})
	if err != nil || len(next.Begun) != 2 || len(next.Moves) != len(p.Moves)-2 {
		t.Errorf("after two were begun: %d begun, %d moves, %v", len(next.Begun), len(next.Moves), err)
	}
	if fewer, err := Rebalance(w.m.Publish(), Rebalancing{Within: 10, Most: 5}); err != nil || len(fewer.Begun)+len(fewer.Moves) != 5 || fewer.Kinds[0].Uneven == 0 {
		t.Errorf("at most five: %+v, %v", fewer, err)
	}
}

// Who drains, is blocked or does not host the kind takes no part; neither does what is blocked or asked to stop, nor a kind that
// lies near to those that ask for it, unless it is named.
func TestRebalance_WhoTakesNoPart(t *testing.T) {
	w := newWorkshop(t)
	near := placement.PreferLocal{}.Name()
	w.do(&SetKind{Kind: "near", Settings: placement.KindSettings{Strategy: near}})
	m0 := w.do(&Join{placement.Member{ID: "m0", Address: "a:1", Kinds: []string{"cart", "near"}}})[0].Incarnation
	spreadOf(t, w, "cart", 40)
	spreadOf(t, w, "near", 40)
	drains := w.do(&Join{placement.Member{ID: "m1", Address: "a:1", Kinds: []string{"cart", "near"}}})[0].Incarnation
	w.do(&Join{placement.Member{ID: "m2", Address: "a:1", Kinds: []string{"cart", "near"}}})
	w.do(&Join{placement.Member{ID: "m3", Address: "a:1", Kinds: []string{"room"}}})
	w.do(&Join{placement.Member{ID: "m4", Address: "a:1", Kinds: []string{"cart", "near"}}})
	w.do(&Drain{Incarnation: drains})
	w.do(&Block{Subject: snapshot.Subject{Member: "m2"}})
	blocked, stops := placement.Identity{Kind: "cart", Key: "1"}, placement.Identity{Kind: "cart", Key: "2"}
	w.do(&Evict{Identity: stops}, &Block{Subject: snapshot.Subject{Identity: blocked}})
	p, err := Rebalance(w.m.Publish(), Rebalancing{Most: 1000})
	if err != nil || len(p.Kinds) != 2 || p.Kinds[0].Kind != "cart" || len(p.Kinds[0].Members) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if len(p.Moves) != 19 && len(p.Moves) != 20 {
		t.Errorf("%d moves", len(p.Moves))
	}
	for _, m := range p.Moves {
		if m.To.ID != "m4" || m.From.Incarnation != m0 || m.Identity == stops || m.Identity == blocked {
			t.Errorf("%+v", m)
		}
	}
	if p, err := Rebalance(w.m.Publish(), Rebalancing{Kind: "near", Most: 1000}); err != nil || len(p.Moves) < 19 || p.Kinds[0].Strategy != near {
		t.Errorf("of the kind that was named: %+v, %v", p, err)
	}
}

func TestRebalance_BadRequests_AreRefused(t *testing.T) {
	w := newWorkshop(t)
	v := w.m.Publish()
	for _, bad := range []Rebalancing{{}, {Most: -1}, {Most: RebalanceMovesMax + 1}, {Most: 1, Within: RebalanceWithinMax + 1}, {Most: 1, Kind: "none"}} {
		var e *RebalanceError
		if p, err := Rebalance(v, bad); !errors.As(err, &e) || p != nil {
			t.Errorf("%+v: %v, %v", bad, p, err)
		}
	}
	if _, err := Rebalance(snapshot.Empty(), Rebalancing{Most: 1}); !errors.Is(err, ErrNoState) {
		t.Error(err)
	}
	if p, err := Rebalance(v, Rebalancing{Most: 1}); err != nil || len(p.Moves) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
