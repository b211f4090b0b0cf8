package runner

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// merge makes the run's history of those of all processes, and the schedule of it.
func (r *run) merge() (err error) {
	others, err := filepath.Glob(filepath.Join(r.dir.Path(), "members", "*", "history-*.jsonl"))
	if err != nil {
		return err
	}
	own, err := os.Open(r.ownHistory())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, own.Close()) }()
	var readers []io.Reader
	for _, path := range others {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() == 0 {
			continue // it was killed before its first line
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		readers = append(readers, f)
	}
	out, err := os.OpenFile(r.dir.History(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(history.Merge(out, history.Limits{}, own, readers...), out.Close()); err != nil {
		return err
	}
	return r.schedule()
}

// schedule writes the faults alone, as they are in the history.
func (r *run) schedule() error {
	in, err := os.Open(r.dir.History())
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	f, err := os.OpenFile(r.dir.Faults(), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(f)
	lines := json.NewEncoder(out)
	_, err = history.Read(in, history.Limits{}, func(_ int, e *history.Event) error {
		if e.Fault == nil {
			return nil
		}
		return lines.Encode(e)
	})
	return errors.Join(err, out.Flush(), f.Close())
}
