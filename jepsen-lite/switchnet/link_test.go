package switchnet

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// sendAll sends frames one millisecond apart and returns how long each copy took after the first was sent.
func sendAll(l Link, frames, bytes int) []time.Duration {
	w := wire{link: l, rng: rand.New(rand.NewPCG(1, 2))}
	var list []time.Duration
	for i := range frames {
		now := begin.Add(time.Duration(i) * time.Millisecond)
		for _, at := range w.carry(now, bytes) {
			list = append(list, at.Sub(begin))
		}
	}
	return list
}

func TestLink_Zero_CarriesAtOnce(t *testing.T) {
	for i, at := range sendAll(Link{}, 100, 1500) {
		if at != time.Duration(i)*time.Millisecond {
			t.Fatalf("frame %d arrives at %v", i, at)
		}
	}
}

func TestLink_Cut_CarriesNothing(t *testing.T) {
	if got := sendAll(Link{Cut: true, Duplicate: PartsMax}, 100, 1500); len(got) != 0 {
		t.Errorf("%d frames arrive", len(got))
	}
}

func TestLink_DelayAndJitter_KeepTheOrder(t *testing.T) {
	got := sendAll(Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}, 1000, 1500)
	if len(got) != 1000 || !slices.IsSorted(got) {
		t.Fatalf("%d frames arrive, in order: %t", len(got), slices.IsSorted(got))
	}
	var least, most time.Duration = time.Hour, 0
	for i, at := range got {
		took := at - time.Duration(i)*time.Millisecond
		least, most = min(least, took), max(most, took)
	}
	if least < 10*time.Millisecond || most > 30*time.Millisecond || most-least < 10*time.Millisecond {
		t.Errorf("frames take %v to %v, want all of 10ms to 30ms", least, most)
	}
}

func TestLink_Reorder_SomeAreOvertaken(t *testing.T) {
	if got := sendAll(Link{Delay: 5 * time.Millisecond, Reorder: 2000}, 1000, 100); slices.IsSorted(got) {
		t.Error("no frame was overtaken")
	}
}

func TestLink_LossAndDuplicate_AsOftenAsTold(t *testing.T) {
	if got := len(sendAll(Link{Loss: 2000}, 10_000, 100)); got < 7700 || got > 8300 {
		t.Errorf("of 10000 frames %d arrive, want about 8000", got)
	}
	if got := len(sendAll(Link{Duplicate: 3000}, 10_000, 100)); got < 12_700 || got > 13_300 {
		t.Errorf("10000 frames arrive %d times, want about 13000", got)
	}
}

func TestLink_Rate_IsTheOneToldAndTheBacklogIsLost(t *testing.T) {
	// 1500 bytes a millisecond are offered and 100,000 bytes a second fit.
	got := sendAll(Link{BytesPerSecond: 100_000}, 1000, 1500)
	if rate := float64(len(got)) * 1500 / got[len(got)-1].Seconds(); rate < 95_000 || rate > 105_000 {
		t.Errorf("%.0f bytes a second come through, want 100000", rate)
	}
	if len(got) > 100 {
		t.Errorf("%d frames come through: none was lost", len(got))
	}
}

func TestLink_Validate_NamesEveryFault(t *testing.T) {
	err := Link{Delay: -1, Jitter: DelayMax + 1, Loss: PartsMax + 1, Duplicate: PartsMax + 1, Reorder: PartsMax + 1, BytesPerSecond: 1}.Validate()
	for _, field := range []string{"Delay", "Jitter", "Loss", "Duplicate", "Reorder", "BytesPerSecond"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if err := (Link{Delay: DelayMax, Loss: PartsMax, BytesPerSecond: RateMin}).Validate(); err != nil {
		t.Error(err)
	}
}
