package workload

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// livesMax is how many lives of one process write a history.
const livesMax = 1000

// File is the history of one life of a process.
type File struct {
	*history.Recorder
	// Life is the number of the life, from 1 on.
	Life int
	file *os.File
}

// NewFile makes the next history file in a directory: history-1.jsonl, history-2.jsonl and so on, for each life of the
// process its own. start is the moment of the run's beginning, of history.Now. Close it.
func NewFile(dir, name string, start int64) (*File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for life := 1; life <= livesMax; life++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("history-%d.jsonl", life)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		r := history.NewRecorder(f, history.Clock(start))
		r.Record(history.Event{Run: &history.Run{Format: history.Format, Scenario: name}})
		return &File{r, life, f}, nil
	}
	return nil, fmt.Errorf("%s has had %d lives", name, livesMax)
}

// Close writes what waits, and that this is the end: a history without one was cut.
func (f *File) Close() error {
	f.Record(history.Event{End: &history.End{}})
	return errors.Join(f.Recorder.Close(), f.file.Close())
}

// Whole says whether the newest history file in a directory has its end, as that of a process that was not killed has. There may
// be none yet.
func Whole(dir string) (bool, error) {
	for life := livesMax; life > 0; life-- {
		f, err := os.Open(filepath.Join(dir, fmt.Sprintf("history-%d.jsonl", life)))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		h, err := history.Load(f, history.Limits{})
		if err := errors.Join(err, f.Close()); err != nil {
			return false, err
		}
		return h.End != nil, nil
	}
	return true, nil
}
