package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

// copyLogs copies the logs of the servers, which have ended, into the folder of the run.
func (k *cluster) copyLogs() error {
	var errs []error
	for _, s := range k.list() {
		entries, err := replay.FromDataDir(s.data)
		if err == nil {
			err = writeLog(k.dir.Log(s.Name), entries)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the log of %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

func writeLog(path string, entries []replay.Entry) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(replay.Write(f, entries), f.Close())
}

// timeline is what the committed log of a run says: nil when no server has the whole of it, since it was compacted, or when the
// run did not come so far. It fails when two servers have different logs, or when the log cannot be replayed.
func timeline(dir rundir.Dir, h *history.History) (*replay.Timeline, error) {
	committed := uint64(0)
	for _, d := range h.Digests {
		if d.V.Final {
			committed = max(committed, d.V.Index)
		}
	}
	var logs [][]replay.Entry
	var whole []replay.Entry
	for _, name := range h.FinalServers() {
		entries, err := readLog(dir.Log(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, other := range logs {
			if err := replay.Agree(entries, other, committed); err != nil {
				return nil, fmt.Errorf("%s and another server: %w", name, err)
			}
		}
		logs = append(logs, entries)
		if len(entries) > 0 && entries[0].Index == 1 && entries[len(entries)-1].Index >= committed {
			whole = entries
		}
	}
	if whole == nil || committed == 0 {
		return nil, nil
	}
	return replay.Replay(whole, nil, committed)
}

func readLog(path string) ([]replay.Entry, error) {
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return replay.Read(f)
}
