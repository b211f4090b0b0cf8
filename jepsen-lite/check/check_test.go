package check

import (
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
