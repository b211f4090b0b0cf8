package replay

import "github.com/seed13d31b7f/berth/raftnode"

// FromDataDir reads the log from the data directory of a server that has ended. Errors are those of raftnode.ReadLog.
func FromDataDir(path string) ([]Entry, error) {
	var entries []Entry
	err := raftnode.ReadLog(path, func(e raftnode.LogEntry) error {
		entries = append(entries, Entry{Index: e.Index, Term: e.Term, Command: e.Command})
		return nil
	})
	return entries, err
}
