package history

import (
	"bytes"
	"testing"
	"time"
)

// Looks that follow each other are one belief; a process that was stopped believed nothing meanwhile.
func TestBelief_Stopped_TwoSpans(t *testing.T) {
	var b bytes.Buffer
	now := int64(0)
	r := NewRecorder(&b, func() int64 { return now })
	r.Record(Event{Run: &Run{Format: 1, Scenario: "x"}})
	belief := NewBelief(r, Hold{Identity: "cart/1", Member: "m", Epoch: 7, Ended: true})
	const ms = int64(time.Millisecond)
	for now = 10 * ms; now <= 100*ms; now += ms {
		belief.Look()
	}
	for now = 500 * ms; now <= 530*ms; now += ms {
		belief.Look()
	}
	belief.End("lost")
	belief.End("lost again")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	h, err := Load(&b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	type span struct{ from, to int64 }
	var spans []span
	for i, x := range h.Holds {
		if n := len(spans); n > 0 && x.V.From <= spans[n-1].to {
			spans[n-1].to = max(spans[n-1].to, x.V.To)
		} else {
			spans = append(spans, span{x.V.From, x.V.To})
		}
		if last := i == len(h.Holds)-1; x.V.Ended != last || last && x.V.Why != "lost" {
			t.Errorf("hold %d: %+v", i, x)
		}
	}
	if len(spans) != 2 || spans[0] != (span{10 * ms, 100 * ms}) || spans[1] != (span{500 * ms, 530 * ms}) {
		t.Errorf("believed in %v", spans)
	}
	if n := len(h.Holds); n > 12 {
		t.Errorf("%d lines for 121 ms", n)
	}
}
