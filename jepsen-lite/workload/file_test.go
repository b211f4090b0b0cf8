package workload

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

func TestWhole_NewestLife_MustHaveItsEnd(t *testing.T) {
	dir := t.TempDir()
	want := func(want bool) {
		t.Helper()
		if whole, err := Whole(dir); err != nil || whole != want {
			t.Errorf("whole: %t (%v), want %t", whole, err, want)
		}
	}
	want(true)
	life := func() *File {
		f, err := NewFile(dir, "m1", history.Now())
		if err != nil {
			t.Fatal(err)
		}
		f.Record(history.Event{Hold: &history.Hold{Identity: "room/1", Member: "m1", Epoch: 3}})
		return f
	}
	if err := life().Close(); err != nil {
		t.Fatal(err)
	}
	want(true)
	second := life()
	if err := second.Recorder.Close(); err != nil { // cut between two lines
		t.Fatal(err)
	}
	want(false)
	path := filepath.Join(dir, "history-2.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b[:len(b)-5], 0o600); err != nil { // and within one
		t.Fatal(err)
	}
	want(false)
	if err := life().Close(); err != nil {
		t.Fatal(err)
	}
	want(true)
}
