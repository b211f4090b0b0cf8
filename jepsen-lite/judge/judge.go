// Package judge gives a run its verdict: it reads what the run left, has it checked, and writes the results, the page, and for an
// identity without an order the search for one. It is what ends a run, and what `berth check` does to an old one with the checkers
// of today.
//
// A run's folder has the committed logs that were copied from its servers, when they were (rundir.Dir.Log). They must agree up to
// the newest index that anybody saw; the longest is replayed. A log that disagrees, or that the state machine does not take, is a
// broken promise of its own, told by the checker "log".
package judge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
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

// logsOf reads the logs in a run's folder.
func logsOf(d rundir.Dir) (logs [][]replay.Entry, err error) {
	paths, err := filepath.Glob(d.Log("*"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		log, err := readLog(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		logs = append(logs, log)
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

// Timeline is what the logs of a run's servers say, up to the newest index that anybody saw. The error says that they disagree, or
// that they do not say enough.
func Timeline(h *history.History, logs [][]replay.Entry) (*replay.Timeline, error) {
	logs = slices.DeleteFunc(slices.Clone(logs), func(l []replay.Entry) bool { return len(l) == 0 })
	if len(logs) == 0 {
		return nil, fmt.Errorf("%w: the logs that were copied are empty", replay.ErrBadLog)
	}
	committed := newest(h)
	for i, a := range logs {
		for _, b := range logs[i+1:] {
			if err := replay.Agree(a, b, committed); err != nil {
				return nil, err
			}
		}
	}
	// The longest: the one that begins first, and of those the one that ends last.
	longest := slices.MinFunc(logs, func(a, b []replay.Entry) int {
		return cmp.Or(cmp.Compare(a[0].Index, b[0].Index), cmp.Compare(b[len(b)-1].Index, a[len(a)-1].Index))
	})
	return replay.Replay(longest, nil, committed)
}

// newest is the largest log index that anybody saw applied, and which is therefore committed.
func newest(h *history.History) (index uint64) {
	for i := range h.Ops {
		if r := h.Ops[i].Answer.Read; r != nil {
			index = max(index, r.Index)
		}
	}
	for i := range h.Digests {
		index = max(index, h.Digests[i].V.Index)
	}
	for i := range h.Servers {
		index = max(index, h.Servers[i].V.Applied)
	}
	for i := range h.Watches {
		if w := &h.Watches[i].V; w.What != history.WatchOpen {
			index = max(index, w.Index)
		}
	}
	return index
}

// Damaged says that an error of Path is about what is in a history or in a log, and not about whether there is one.
func Damaged(err error) bool {
	var line *history.LineError
	return errors.As(err, &line) || errors.Is(err, replay.ErrBadLog)
}
