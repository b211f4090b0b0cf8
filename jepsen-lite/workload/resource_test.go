package workload

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// recorder records into memory; the events are those of the history so far.
func recorder(t *testing.T) (*history.Recorder, func() *history.History) {
	t.Helper()
	var b bytes.Buffer
	r := history.NewRecorder(&b, history.Clock(history.Now()))
	r.Record(history.Event{Run: &history.Run{Format: history.Format, Scenario: "test"}})
	return r, func() *history.History {
		t.Helper()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		h, err := history.Load(&b, history.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
}

func TestResource_OlderToken_IsRefused(t *testing.T) {
	rec, done := recorder(t)
	path := filepath.Join(t.TempDir(), "resource")
	r, err := ListenResource(path, rec, false)
	if err != nil {
		t.Fatal(err)
	}
	a, b := NewWriter(path), NewWriter(path)
	for _, x := range []struct {
		w        *Writer
		who      string
		resource string
		token    uint64
		want     bool
	}{{a, "a", "room/1", 5, true}, {a, "a", "room/1", 5, true}, {b, "b", "room/1", 7, true}, {a, "a", "room/1", 5, false}, {a, "a", "room/2", 5, true}} {
		if got, err := x.w.Write(x.resource, x.who, x.token); err != nil || got != x.want {
			t.Errorf("%s writes %s under %d: %t (%v), want %t", x.who, x.resource, x.token, got, err, x.want)
		}
	}
	if one, two := r.Turns("room/1"), r.Turns("room/2"); one != 2 || two != 1 {
		t.Errorf("%d and %d owners have written, want 2 and 1", one, two)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Write("room/1", "a", 9); err == nil {
		t.Error("a resource that was closed answers")
	}
	if h := done(); len(h.Writes) != 5 || h.Writes[3].V.Accepted || !h.Writes[2].V.Accepted {
		t.Errorf("recorded %+v", h.Writes)
	}
}

func TestResource_Unfenced_AcceptsOlderTokens(t *testing.T) {
	rec, done := recorder(t)
	path := filepath.Join(t.TempDir(), "resource")
	r, err := ListenResource(path, rec, true)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(path)
	for _, token := range []uint64{7, 5} {
		if accepted, err := w.Write("gate", "a", token); err != nil || !accepted {
			t.Errorf("a write under %d: %t (%v)", token, accepted, err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if h := done(); len(h.Writes) != 2 || !h.Writes[1].V.Accepted || r.Turns("gate") != 1 {
		t.Errorf("recorded %+v", h.Writes)
	}
}
