package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// judge checks a history with the log behind it.
func judge(t *testing.T, w *checktest.World, events []history.Event) *Results {
	t.Helper()
	h, err := history.FromEvents(events)
	if err != nil {
		t.Fatal(err)
	}
	timeline, err := replay.Replay(w.Log, nil, uint64(len(w.Log)))
	if err != nil {
		t.Fatal(err)
	}
	return Run(h, Options{Log: timeline, Search: time.Minute})
}

// A run that breaks a promise on purpose passes when that one is broken, and no other.
func TestRun_ExpectedToFail_NothingElseMayBeBroken(t *testing.T) {
	for _, x := range []struct {
		breaks               []string
		twoOwners, something bool
		passed               bool
	}{
		{[]string{"owner"}, true, false, true},
		{[]string{"lock", "owner"}, true, false, true},
		{[]string{"owner"}, false, false, false},
		{[]string{"owner"}, true, true, false},
		{[]string{"owner"}, false, true, false},
		{[]string{"lock"}, true, false, false},
		{nil, true, true, true},
		{nil, false, false, false},
	} {
		w := checktest.Make(checktest.Config{Seed: 5, Ops: 300, Clients: 3})
		w.Events[0].Run.ExpectedToFail, w.Events[0].Run.Breaks = true, x.breaks
		events := w.Events
		if x.twoOwners {
			end := events[len(events)-2].At
			for i := range 2 {
				events = slices.Insert(events, len(events)-1, history.Event{At: end, Hold: &history.Hold{
					Identity: "cart/two", Member: fmt.Sprint("m", i+1), Epoch: uint64(1000 + i), From: end - 2000, To: end,
				}})
			}
		}
		if x.something {
			end := events[len(events)-2].At
			events = slices.Insert(events, len(events)-1, history.Event{At: end, Process: &history.Process{Name: "s1", Kind: "server", What: history.ProcessCrash, Status: "panic"}})
		}
		if r := judge(t, w, events); r.Passed != x.passed {
			for _, c := range r.Checkers {
				t.Logf("%s %s %s", c.Checker, c.Valid, c.Why)
			}
			t.Errorf("%+v: passed is %t", x, r.Passed)
		}
	}
}

// An owner that looked once may have been told so long before: in the time of another it proves nothing. It does when it looks again.
func TestRun_OneLookInTheTimeOfAnother_ProvesNothing(t *testing.T) {
	for _, of := range []func(h *history.Hold){
		func(h *history.Hold) { h.Identity = "cart/two" },
		func(h *history.Hold) { h.Lock = "gate" },
	} {
		for length, passed := range map[int64]bool{0: true, 10: false} {
			w := checktest.Make(checktest.Config{Seed: 5, Ops: 300, Clients: 3})
			events := w.Events
			end := events[len(events)-2].At
			holds := []history.Hold{{Member: "m1", Epoch: 1000, From: end - 2000, To: end}, {Member: "m2", Epoch: 1001, From: end - 1000, To: end - 1000 + length, Ended: true, Why: "released"}}
			for i := range holds {
				of(&holds[i])
				events = slices.Insert(events, len(events)-1, history.Event{At: end, Hold: &holds[i]})
			}
			if r := judge(t, w, events); r.Passed != passed {
				t.Errorf("%+v: passed is %t", holds, r.Passed)
			}
		}
	}
}

// Histories that are right are accepted by every checker, with and without their log.
func TestRun_RandomValidHistories_AllAccept(t *testing.T) {
	for seed := range uint64(24) {
		c := checktest.Config{Seed: seed, Ops: 300 + int(seed)*10, Clients: 2 + int(seed%6), Unknown: int(seed%4) * 4, Kills: int(seed % 3)}
		w := checktest.Make(c)
		r := judge(t, w, w.Events)
		if !r.Passed || r.Valid != True {
			t.Errorf("%+v: %s", c, r.Valid)
		}
		for _, x := range r.Checkers {
			if x.Valid != True || x.Looked == 0 {
				t.Errorf("%+v: %s says %s after %d: %s %v", c, x.Checker, x.Valid, x.Looked, x.Why, x.Ops)
			}
		}
		h, _ := history.FromEvents(w.Events)
		for _, x := range Run(h, Options{}).Checkers {
			if want := x.Checker != "log" && x.Checker != "requests"; (x.Valid == True) != want {
				t.Errorf("%+v, without the log: %s says %s: %s", c, x.Checker, x.Valid, x.Why)
			}
		}
	}
}
