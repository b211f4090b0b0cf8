package check

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// A stale look-up among hundreds of operations is shown by the three that matter: one that saw the old epoch, one that saw the new,
// and the one that saw the old again.
func TestShrink_StaleLookup_ThreeOperations(t *testing.T) {
	w := checktest.Make(checktest.Config{Seed: 7, Ops: 1000, Identities: 2, Clients: 6})
	h, err := history.FromEvents(w.Events)
	if err != nil {
		t.Fatal(err)
	}
	spoiled := uint64(0)
	for i := 400; i < len(h.Ops) && spoiled == 0; i++ {
		b := &h.Ops[i]
		earlier := func(want func(epoch uint64) bool) *history.Op {
			for j := range h.Ops[:i] {
				if x := &h.Ops[j]; settledLookup(x) && x.Identity == b.Identity && x.End < b.Begin && want(x.Answer.Epoch) {
					return x
				}
			}
			return nil
		}
		if !settledLookup(b) || earlier(func(e uint64) bool { return e == b.Answer.Epoch }) == nil {
			continue
		}
		if old := earlier(func(e uint64) bool { return e < b.Answer.Epoch }); old != nil {
			b.Answer.Epoch, spoiled = old.Answer.Epoch, b.Op
		}
	}
	r := Run(h, Options{Only: []string{"linearizable", "order"}})
	for _, x := range r.Checkers {
		if x.Valid != False || len(x.Ops) > 3 || len(x.Ops) < 2 || x.Ops[len(x.Ops)-1] != spoiled {
			t.Errorf("%s: %s, operations %v, want at most 3 with %d: %s", x.Checker, x.Valid, x.Ops, spoiled, x.Why)
		}
	}
	var b bytes.Buffer
	shown, err := Visualize(h, r.Checkers[0].Subject, &b)
	if err != nil || !shown || !strings.Contains(b.String(), "settled on") {
		t.Errorf("shown is %t, %d bytes, %v", shown, b.Len(), err)
	}
	b.Reset()
	if shown, err := Visualize(h, "cart/nowhere", &b); err != nil || shown || b.Len() > 0 {
		t.Errorf("of nothing: shown is %t, %d bytes, %v", shown, b.Len(), err)
	}
}

// Two Places that were told that they made one epoch are what is shown, with the removal that shows that it is over, also when a look-up of an epoch that comes later was called
// before the Place that made that.
func TestShrink_OneEpochIsMadeTwice_BothPlaces(t *testing.T) {
	events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x", Workload: []string{WorkLookup}}}}
	add := func(op uint64, begin, end int64, f history.F, a history.Answer) {
		a.Op = op
		events = append(events, history.Event{At: begin, Invoke: &history.Call{Op: op, Client: "c", F: f, Identity: "cart/1"}}, history.Event{At: end, OK: &a})
	}
	settled := func(epoch uint64, created bool) history.Answer {
		return history.Answer{Phase: history.Settled, Member: "m", Epoch: epoch, Created: created}
	}
	add(9, 1, 5, history.Remove, history.Answer{Phase: history.Absent})
	add(1, 10, 20, history.Place, settled(1, true))
	add(2, 11, 21, history.Place, settled(1, true))
	add(3, 12, 40, history.Lookup, settled(2, false))
	add(4, 22, 24, history.Remove, history.Answer{Phase: history.Absent, Epoch: 1})
	add(5, 25, 30, history.Place, settled(2, true))
	slices.SortStableFunc(events, func(a, b history.Event) int { return cmp.Compare(a.At, b.At) })
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	if x := Run(h, Options{Only: []string{"linearizable"}}).Checkers[0]; x.Valid != False || !slices.Equal(x.Ops, []uint64{1, 2, 4}) {
		t.Errorf("%s, operations %v, want both and the removal: %s", x.Valid, x.Ops, x.Why)
	}
}

// A search that is broken off is no pass.
func TestLinearizable_SearchBrokenOff_Unknown(t *testing.T) {
	events := []history.Event{{Run: &history.Run{Format: 1, Scenario: "x", Workload: []string{WorkLookup}}}}
	// Hundreds of look-ups at once, of twenty epochs, and then two that cannot both be: many orders, none of them right.
	const n = 400
	add := func(op uint64, begin, end int64, f history.F, a history.Answer) {
		a.Op = op
		events = append(events, history.Event{At: begin, Invoke: &history.Call{Op: op, Client: "c", F: f, Identity: "cart/1"}}, history.Event{At: end, OK: &a})
	}
	for i := range uint64(n) {
		e := i%20 + 1
		add(2*i+1, int64(i%7), 1000+int64(i%5), history.Lookup, history.Answer{Phase: history.Settled, Member: "m", Epoch: e})
		add(2*i+2, int64(i%7), 1000+int64(i%5), history.Lookup, history.Answer{Phase: history.Absent})
	}
	for e := range uint64(20) {
		add(3*n+e, 0, 1000, history.Place, history.Answer{Phase: history.Settled, Member: "m", Epoch: e + 1, Created: true})
		add(4*n+e, 0, 1000, history.Remove, history.Answer{Phase: history.Absent, Epoch: e + 1})
	}
	add(5*n, 1001, 1002, history.Lookup, history.Answer{Phase: history.Settled, Member: "m", Epoch: 3})
	add(5*n+1, 1003, 1004, history.Lookup, history.Answer{Phase: history.Settled, Member: "m", Epoch: 4})
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	r := Run(h, Options{Only: []string{"linearizable"}, Search: 20e6})
	if x := r.Checkers[0]; x.Valid != Unknown || r.Valid != Unknown || r.Passed || !strings.Contains(x.Why, "broken off") {
		t.Errorf("%+v", x)
	}
}
