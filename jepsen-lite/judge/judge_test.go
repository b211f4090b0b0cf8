package judge

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/checktest"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

// left makes the folder that a run leaves. change may change what is in it.
func left(t *testing.T, change func(w *checktest.World, logs map[string][]replay.Entry)) rundir.Dir {
	t.Helper()
	d, err := rundir.Create(t.TempDir(), "checktest", 5, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	w := checktest.Make(checktest.Config{Seed: 5, Ops: 400, Kills: 1})
	n := len(w.Log)
	uncommitted := append(slices.Clone(w.Log), replay.Entry{Index: uint64(n + 1), Term: 2, Command: []byte("never")})
	logs := map[string][]replay.Entry{"s1": w.Log, "s2": uncommitted, "s3": w.Log[:n-7]}
	change(w, logs)
	var b []byte
	for i := range w.Events {
		if b, err = history.Append(b, &w.Events[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := rundir.WriteFile(d.History(), b); err != nil {
		t.Fatal(err)
	}
	for name, log := range logs {
		path, err := d.Server(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(path, "log.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		if err := replay.Write(f, log); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func result(t *testing.T, r *check.Results, name string) check.Result {
	t.Helper()
	i := slices.IndexFunc(r.Checkers, func(x check.Result) bool { return x.Checker == name })
	if i < 0 {
		t.Fatalf("no checker %s", name)
	}
	return r.Checkers[i]
}

func TestDir_ValidRun_LeavesResultsAndPage(t *testing.T) {
	d := left(t, func(*checktest.World, map[string][]replay.Entry) {})
	j, err := Dir(d, check.Options{})
	if err != nil || !j.Results.Passed || result(t, j.Results, "log").Valid != check.True {
		t.Fatalf("%+v, %v", j, err)
	}
	b, err := os.ReadFile(d.Results())
	if err != nil {
		t.Fatal(err)
	}
	var r check.Results
	if err := json.Unmarshal(b, &r); err != nil || !r.Passed || r.Valid != check.True || len(r.Checkers) != len(check.Names()) {
		t.Errorf("%s: %v", b, err)
	}
	if page, err := os.ReadFile(d.Report()); err != nil || !strings.Contains(string(page), "Every promise was kept") {
		t.Errorf("the page: %v", err)
	}
	if _, err := os.Stat(d.Order(1)); err == nil {
		t.Error("there is a search for an order although there is one")
	}
}

// An identity without an order has the search for one beside the page, which leads there.
func TestDir_NoOrder_LeavesTheSearch(t *testing.T) {
	d := left(t, func(w *checktest.World, _ map[string][]replay.Entry) {
		identities, first := map[uint64]string{}, map[string]*history.Answer{}
		for i := range w.Events {
			e := &w.Events[i]
			if e.Invoke != nil {
				identities[e.Invoke.Op] = e.Invoke.Identity
			}
			if e.OK == nil || e.OK.Phase != history.Settled {
				continue
			}
			id := identities[e.OK.Op]
			old := first[id]
			if old == nil {
				first[id] = e.OK
			} else if old.Epoch < e.OK.Epoch && !e.OK.Created && i > len(w.Events)/2 {
				e.OK.Epoch = old.Epoch
				return
			}
		}
		t.Fatal("there is nothing to spoil")
	})
	j, err := Dir(d, check.Options{})
	if err != nil || j.Results.Passed || result(t, j.Results, "linearizable").Valid != check.False {
		t.Fatalf("%+v, %v", j.Results, err)
	}
	search, err := os.ReadFile(d.Order(1))
	if err != nil || len(search) < 1000 || !strings.Contains(string(search), "epoch") {
		t.Errorf("the search has %d bytes, %v", len(search), err)
	}
	if page, err := os.ReadFile(d.Report()); err != nil || !strings.Contains(string(page), `href="order-1.html"`) {
		t.Errorf("the page does not lead there: %v", err)
	}
}

func TestPath_LogsOfServers_AreHeldAgainstEachOther(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(w *checktest.World, logs map[string][]replay.Entry)
		want   check.Valid
	}{
		{"one differs", func(w *checktest.World, logs map[string][]replay.Entry) {
			logs["s3"] = slices.Clone(logs["s3"])
			logs["s3"][40].Term = 7
		}, check.False},
		{"one cannot be replayed", func(w *checktest.World, logs map[string][]replay.Entry) {
			for name := range logs {
				logs[name] = slices.Clone(logs[name])
				logs[name][40].Command = []byte("nonsense")
			}
		}, check.False},
		{"all begin late", func(w *checktest.World, logs map[string][]replay.Entry) {
			for name := range logs {
				logs[name] = logs[name][9:]
			}
		}, check.Idle},
		{"all end early", func(w *checktest.World, logs map[string][]replay.Entry) {
			for name := range logs {
				logs[name] = logs[name][:50]
			}
		}, check.Unknown},
		{"one has entries that were given up", func(w *checktest.World, logs map[string][]replay.Entry) {
			// s3 was cut off after it had applied less than half.
			for i := range w.Events {
				e := &w.Events[i]
				if e.Server != nil && e.Server.Name == "s3" {
					e.Server.Applied = min(e.Server.Applied, 40)
				}
				if e.Digest != nil && e.Digest.Server == "s3" && e.Digest.Index > 40 {
					e.Digest.Server = "s2"
				}
				if e.OK != nil && e.OK.Read != nil && e.OK.Read.Server == "s3" && e.OK.Read.Index > 40 {
					e.OK.Read.Server = "s2"
				}
			}
			logs["s3"] = slices.Clone(logs["s3"][:60])
			logs["s3"][50].Term, logs["s3"][50].Command = 9, []byte("given up")
		}, check.True},
		{"one begins late", func(w *checktest.World, logs map[string][]replay.Entry) { logs["s1"] = logs["s1"][9:] }, check.True},
		{"none were copied", func(w *checktest.World, logs map[string][]replay.Entry) { clear(logs) }, check.Idle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			j, err := Path(left(t, tt.change).Path(), check.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if x := result(t, j.Results, "log"); x.Valid != tt.want {
				t.Errorf("%s: %s, want %s", x.Valid, x.Why, tt.want)
			}
		})
	}
}

func TestPath_NoRun_IsAnError(t *testing.T) {
	if _, err := Path(t.TempDir(), check.Options{}); err == nil {
		t.Error("an empty folder was judged")
	}
	d := left(t, func(*checktest.World, map[string][]replay.Entry) {})
	if err := os.WriteFile(d.Log("s1"), []byte("no log\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Path(d.Path(), check.Options{}); err == nil || !strings.Contains(err.Error(), "log.jsonl") {
		t.Errorf("a damaged log: %v", err)
	}
	if err := os.WriteFile(d.History(), []byte("no history\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Path(d.Path(), check.Options{}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a damaged history: %v", err)
	}
}
