package raftnode

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
)

// LogEntry is one entry of a server's log, as it is on the disk.
type LogEntry struct {
	Index, Term uint64
	// Command is what the state machine is given; nil for an entry that Raft made for itself. It belongs to the receiver.
	Command []byte
}

// ReadLog gives the entries of the log in the data directory of a server that has ended to f, in their order, and ends at f's
// first error, which it returns. Each is proved to be the one that was written. The newest ones may not be committed, and the
// oldest may have been compacted into a snapshot. Other errors are a *RefusedError with ErrDataDir.
func ReadLog(dataDir string, f func(LogEntry) error) error {
	var own error // f's
	err := storage.ReadLog(dataDir, func(e *raft.Log) error {
		x := LogEntry{Index: e.Index, Term: e.Term}
		if e.Type == raft.LogCommand {
			x.Command = e.Data
		}
		own = f(x)
		return own
	})
	switch {
	case err == nil || own != nil:
		return own
	case errors.Is(err, storage.ErrInUse):
		return refused(fmt.Errorf("%w: %w", ErrDataDir, err), "stop the server, or read a copy of %s", dataDir)
	}
	return refused(fmt.Errorf("%w: %w", ErrDataDir, err), "name the --data-dir of a server that has ended")
}
