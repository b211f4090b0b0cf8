package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// ReadLog gives the entries of the log in a data directory to f, in their order, each proved to be the one that was written, and
// ends at f's first error, which it returns. It holds the directory meanwhile and changes nothing else in it. Other errors are
// ErrInUse, ErrIncomplete when there is no log, *CorruptError, or those of the file system.
func ReadLog(path string, f func(*raft.Log) error) (err error) {
	file := filepath.Join(path, logFile)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: there is no %s", path, ErrIncomplete, logFile)
	} else if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	store, err := openBolt(file, logBucket, func() (*raftboltdb.BoltStore, error) {
		o := boltOptions()
		o.ReadOnly = true
		return raftboltdb.New(raftboltdb.Options{Path: file, MsgpackUseNewTimeFormat: true, BoltOptions: o})
	})
	if err != nil {
		return err
	}
	log := NewLog(store, store.Close, file, NewGuard(0, func(error) {}))
	defer func() { err = errors.Join(err, log.Close()) }()
	return log.each(f)
}

// each reads every entry, and proves that none is missing in between.
func (l *Log) each(f func(*raft.Log) error) error {
	first, err := l.read(l.store.FirstIndex)
	if err != nil {
		return err
	}
	last, err := l.read(l.store.LastIndex)
	if err != nil {
		return err
	}
	for i := first; i <= last && i != 0; i++ {
		var log raft.Log
		if err := l.get(i, &log); errors.Is(err, raft.ErrLogNotFound) {
			return &CorruptError{Path: l.path, What: fmt.Sprintf("entry %d of %d to %d is missing", i, first, last)}
		} else if err != nil {
			return err
		}
		if err := f(&log); err != nil {
			return err
		}
	}
	return nil
}
