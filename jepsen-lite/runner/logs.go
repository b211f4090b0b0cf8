package runner

import (
	"errors"
	"fmt"
	"os"

	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
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
