// Package judge gives a run its verdict: it reads what the run left, has it checked, and writes the results, the page, and for an
// identity without an order the search for one. It is what ends a run, and what `berth check` does to an old one with the checkers
// of today.
//
// A run's folder has the logs that were copied from its servers, when they were (rundir.Dir.Log). Two of them must agree up to what
// both had applied, and one that was not compacted is replayed. A log that disagrees, or that the state machine does not take, is a
// broken promise of its own, told by the checker "log".
package judge

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/jepsen-lite/report"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

// Judged is a history with its results.
type Judged struct {
	History *history.History
	Results *check.Results
}

// Path judges a history, or the history in the folder of a run with its logs. It writes nothing. Errors are those of
// history.Open, rundir.Open, and of logs that cannot be read.
func Path(path string, o check.Options) (*Judged, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.IsDir() {
		h, err := history.Open(path)
		if err != nil {
			return nil, err
		}
		return &Judged{h, check.Run(h, o)}, nil
	}
	d, err := rundir.Open(path)
	if err != nil {
		return nil, err
	}
	h, err := history.Open(d.History())
	if err != nil {
		return nil, err
	}
	if o.Log == nil && o.LogErr == nil {
		logs, err := logsOf(d)
		if err != nil {
			return nil, err
		}
		if len(logs) > 0 {
			o.Log, o.LogErr = Timeline(h, logs)
		}
	}
	return &Judged{h, check.Run(h, o)}, nil
}

// Dir judges a run and writes its results, its page, and the searches for orders that were not found.
func Dir(d rundir.Dir, o check.Options) (*Judged, error) {
	j, err := Path(d.Path(), o)
	if err != nil {
		return nil, err
	}
	return j, j.Write(d)
}

// Write writes the results of a run into its folder.
func (j *Judged) Write(d rundir.Dir) error {
	orders := map[string]string{}
	for _, r := range j.Results.Checkers {
		if r.Valid != check.False || orders[r.Subject] != "" {
			continue
		}
		var b bytes.Buffer
		if ok, err := check.Visualize(j.History, r.Subject, &b); err != nil {
			return err
		} else if !ok {
			continue
		}
		path := d.Order(len(orders) + 1)
		if err := rundir.WriteFile(path, b.Bytes()); err != nil {
			return err
		}
		orders[r.Subject] = filepath.Base(path)
	}
	if err := rundir.WriteJSON(d.Results(), j.Results); err != nil {
		return err
	}
	return j.writePage(d.Report(), orders)
}

// WritePage writes the page alone.
func (j *Judged) WritePage(path string) error { return j.writePage(path, nil) }

func (j *Judged) writePage(path string, orders map[string]string) error {
	var b bytes.Buffer
	if err := report.Write(&b, j.History, j.Results, report.Options{Orders: orders}); err != nil {
		return err
	}
	return rundir.WriteFile(path, b.Bytes())
}

// logsOf reads the logs in a run's folder, by server.
func logsOf(d rundir.Dir) (map[string][]replay.Entry, error) {
	paths, err := filepath.Glob(d.Log("*"))
	if err != nil {
		return nil, err
	}
	logs := map[string][]replay.Entry{}
	for _, path := range paths {
		log, err := readLog(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		logs[filepath.Base(filepath.Dir(path))] = log
	}
	return logs, nil
}

func readLog(path string) ([]replay.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	log, err := replay.Read(f)
	return log, errors.Join(err, f.Close())
}

// Timeline is what the logs of a run's servers say, up to the newest index that one of them showed. It is nil when none of them begins with
// the first entry, since they were compacted. The error says that two disagree, or that one cannot be replayed.
func Timeline(h *history.History, logs map[string][]replay.Entry) (*replay.Timeline, error) {
	applied := appliedBy(h)
	best := "" // of the logs that were not compacted, that of the server that has applied most
	names := slices.Sorted(maps.Keys(logs))
	for i, name := range names {
		log := logs[name]
		for _, other := range names[:i] {
			// What a server has not applied may have been given up since.
			if err := replay.Agree(logs[other], log, min(applied[other], applied[name])); err != nil {
				return nil, fmt.Errorf("%s and %s: %w", other, name, err)
			}
		}
		if len(log) > 0 && log[0].Index == 1 && (best == "" || applied[name] > applied[best]) {
			best = name
		}
	}
	if best == "" {
		return nil, nil
	}
	return replay.Replay(logs[best], nil, applied[best])
}

// appliedBy are the largest log indexes that servers showed: up to there their logs are committed.
func appliedBy(h *history.History) map[string]uint64 {
	by := map[string]uint64{}
	note := func(server string, index uint64) { by[server] = max(by[server], index) }
	for i := range h.Ops {
		if r := h.Ops[i].Answer.Read; r != nil {
			note(r.Server, r.Index)
		}
	}
	for i := range h.Digests {
		note(h.Digests[i].V.Server, h.Digests[i].V.Index)
	}
	for i := range h.Servers {
		note(h.Servers[i].V.Name, h.Servers[i].V.Applied)
	}
	return by
}

// Damaged says that an error of Path is about what is in a history or in a log, and not about whether there is one.
func Damaged(err error) bool {
	var line *history.LineError
	return errors.As(err, &line) || errors.Is(err, replay.ErrBadLog)
}
