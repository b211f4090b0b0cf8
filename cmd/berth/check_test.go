package main

import (
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// historyScript is `history DIR [two-owners | broken-off]`: makes the folder of a run, with a history that is right unless it says
// how it is to be wrong, and the log of a server.
func historyScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "history DIR [two-owners | broken-off]")
	w := checktest.Make(checktest.Config{Seed: 1, Ops: 300, Unknown: 5})
	if len(args) > 1 && args[1] == "broken-off" {
		w.Events = w.Events[:len(w.Events)-1]
	}
	if len(args) > 1 && args[1] == "two-owners" {
		var last *history.Hold
		for i := range w.Events {
			switch x := w.Events[i].Hold; {
			case x == nil || x.Identity != "cart/0":
			case last != nil && x.From < x.To:
				last.To = x.From + 1
				last = nil
			default:
				last = x
			}
		}
	}
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(filepath.Join(dir, "servers", "s1"), 0o755))
	var b []byte
	for i := range w.Events {
		var err error
		b, err = history.Append(b, &w.Events[i])
		ts.Check(err)
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "history.jsonl"), b, 0o644))
	f, err := os.Create(filepath.Join(dir, "servers", "s1", "log.jsonl"))
	ts.Check(err)
	ts.Check(replay.Write(f, w.Log))
	ts.Check(f.Close())
}
