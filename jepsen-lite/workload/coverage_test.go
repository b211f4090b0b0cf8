package workload

import (
	"math/rand/v2"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// What has ended ok is owed once more, until one has that began since; what is owed is drawn soon.
func TestCoverage_Anew_EachKindThatWasIsOwedOnceMore(t *testing.T) {
	w := &Clients{}
	a := &asker{Clients: w, rng: rand.New(rand.NewPCG(1, 1))}
	w.coverage.ok(history.Move, w.coverage.now())
	w.coverage.ok(history.Lookup, w.coverage.now())
	if !w.Covered() {
		t.Error("something is owed before anybody wants it")
	}
	before := w.coverage.now()
	w.Again()
	w.coverage.ok(history.Move, before) // which had begun before
	w.coverage.ok(history.Place, w.coverage.now())
	w.coverage.ok(history.Lookup, w.coverage.now())
	if w.Covered() {
		t.Error("no move has begun since")
	}
	moves := 0
	for range 100 {
		if a.next() == history.Move {
			moves++
		}
	}
	if moves < 30 {
		t.Errorf("%d of 100 operations are what is owed", moves)
	}
	w.coverage.ok(history.Move, w.coverage.now())
	if !w.Covered() {
		t.Errorf("%v are owed", w.coverage.rest())
	}
}
