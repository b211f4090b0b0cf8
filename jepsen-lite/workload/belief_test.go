package workload

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
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

// Looks are far apart where others want all processors, or where a clock goes slowly.
func TestBelief_LooksFarApart_ProveWhatLiesBetween(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		for _, at := range []int64{1, 2, 1000} {
			*clock = at * step
			_ = b.look(owner0)
		}
	})
	if len(got) == 0 || got[0].V.From != step || got[len(got)-1].V.To != 1000*step {
		t.Errorf("holds are %+v", got)
	}
	for i := 1; i < len(got); i++ {
		if got[i].V.From != got[i-1].V.To {
			t.Errorf("holds are %+v", got)
		}
	}
}

// Who is stopped and is no owner any more when it goes on did not believe in it meanwhile.
func TestBelief_StoppedBetweenLooks_EndsWithTheLastThatFoundAnOwner(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		for _, at := range []int64{1, 2} {
			*clock = at * step
			_ = b.look(owner0)
		}
		*clock = 1000 * step
		_ = b.look(func() error { return errors.New("lost") })
	})
	if len(got) != 1 || got[0].V.From != step || got[0].V.To != 2*step || !got[0].V.Ended {
		t.Errorf("holds are %+v", got)
	}
}

// One look alone may have been answered long before it ended.
func TestBelief_StoppedWithinTheFirstLook_ProvesNothing(t *testing.T) {
	got := beliefs(t, func(b *belief, clock *int64) {
		*clock = step
		_ = b.look(func() error {
			*clock += 1000 * step // stopped here
			return nil
		})
		_ = b.look(func() error { return errors.New("lost") })
	})
	if len(got) != 1 || got[0].V.From != got[0].V.To || !got[0].V.Ended {
		t.Errorf("holds are %+v", got)
	}
}

// Whose lease ran out where there was no fault, as on a machine that has much else to do, has ended what it owned: the checkers go by that word.
func TestEnding_LeaseRanOut_IsLost(t *testing.T) {
	for cause, want := range map[error]string{
		lookupclient.ErrLeaseLost: history.Lost, fmt.Errorf("member m1: %w", lookupclient.ErrLeaseLost): history.Lost,
		lookupclient.ErrStopRequested: lookupclient.ErrStopRequested.Error(),
	} {
		if got := ending(cause); got != want {
			t.Errorf("%v: %q, want %q", cause, got, want)
		}
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
