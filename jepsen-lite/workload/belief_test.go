package workload

import (
	"bytes"
	"errors"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// beliefs runs looks on a clock that the looks move, and returns the holds that they prove.
func beliefs(t *testing.T, looks func(b *belief, clock *int64)) []history.Timed[history.Hold] {
	t.Helper()
	var out bytes.Buffer
	clock := new(int64)
	r := history.NewRecorder(&out, func() int64 { return *clock })
	r.Record(history.Event{Run: &history.Run{Format: history.Format, Scenario: "test"}})
	b := &belief{rec: r, hold: history.Hold{Identity: "room/1", Member: "m1", Epoch: 3}}
	looks(b, clock)
	b.end("lost")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := history.Load(&out, history.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return h.Holds
}

const step = int64(10_000_000)

func owner0() error { return nil }

func TestBelief_Looks_ProveWhatLiesBetween(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		for range 3 {
			*clock += step
			_ = b.look(owner0)
		}
	})
	if len(got) != 1 || got[0].V.From != step || got[0].V.To != 3*step || !got[0].V.Ended {
		t.Errorf("holds are %+v", got)
	}
}

// A process that is stopped within a look may see the clock of after it, and the answer of before.
func TestBelief_StoppedWithinALook_ProvesNothingOfThatTime(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		*clock = step
		_ = b.look(owner0)
		*clock = 2 * step
		_ = b.look(func() error {
			*clock += 1000 * step // stopped here
			return nil
		})
	})
	for _, h := range got {
		if h.V.To > 2*step && h.V.From < 1000*step {
			t.Errorf("it is said to have believed from %d to %d", h.V.From, h.V.To)
		}
	}
}

func TestBelief_StoppedBetweenLooks_BeginsAnew(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		for _, at := range []int64{1, 2, 1000, 1001} {
			*clock = at * step
			_ = b.look(owner0)
		}
	})
	if len(got) != 2 || got[0].V.To != 2*step || got[1].V.From != 1000*step {
		t.Errorf("holds are %+v", got)
	}
}

func TestBelief_NoOwner_ProvesNothing(t *testing.T) {
	got := beliefs(t, func(b *belief, _ *int64) {
		if err := b.look(func() error { return errors.New("lost") }); err == nil {
			t.Error("look is no error")
		}
	})
	if len(got) != 0 {
		t.Errorf("holds are %+v", got)
	}
}
