package storage

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/hashicorp/go-hclog"

	"github.com/seed13d31b7f/berth/snapshot"
)

// Stores are what Raft keeps on the disk.
type Stores struct {
	Log       *Log
	Vote      *VoteStore
	Snapshots *Snapshots
}

// OpenStores opens the log, the vote and the snapshots of the directory, and proves that they are whole and fit together.
// It makes them when the directory is new, which id says; on success the caller must save id with Stores set before it
// uses them. Errors are ErrIncomplete, ErrNewerVersion, *CorruptError, or those of the file system.
func (d *Dir) OpenStores(id Identity, guard *Guard, logger hclog.Logger) (_ *Stores, err error) {
	for _, name := range []string{logFile, voteFile} {
		n, err := d.size(name)
		if err != nil {
			return nil, err
		}
		if id.Stores && n <= 0 {
			return nil, fmt.Errorf("%s: %w: %s is missing or empty", d.path, ErrIncomplete, name)
		}
		if !id.Stores && n >= 0 { // left by a crash before it was used
			if err := os.Remove(d.file(name)); err != nil {
				return nil, fmt.Errorf("remove unfinished %s: %w", name, err)
			}
		}
	}
	s := &Stores{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Log, err = openLog(d.file(logFile), guard); err != nil {
		return nil, err
	}
	if s.Vote, err = openVoteStore(d.file(voteFile), guard); err != nil {
		return nil, err
	}
	if s.Snapshots, err = openSnapshots(d, logger); err != nil {
		return nil, err
	}
	// bbolt syncs its files, but not the directory that names them: after a power cut the files would be gone.
	if err := d.sync(); err != nil {
		return nil, err
	}
	return s, s.check()
}

// check proves that log and snapshots are whole, and that the log goes on where the snapshot ends.
func (s *Stores) check() error {
	if err := s.Log.Verify(); err != nil {
		return err
	}
	first, err := s.Log.store.FirstIndex()
	if err != nil {
		return &CorruptError{Path: s.Log.path, What: "it cannot be read", Err: err}
	}
	restored, bad := s.Snapshots.Restored()
	reached := uint64(0)
	if restored != nil {
		reached = restored.Index
	}
	if first <= reached+1 && (first != 0 || len(bad) == 0) {
		return nil // what a damaged snapshot held is in an older one and the log
	}
	what := fmt.Sprintf("the log begins at %d, and no whole snapshot reaches it", first)
	newer := false
	for _, id := range slices.Sorted(maps.Keys(bad)) {
		what += "; " + bad[id].Error()
		var e *snapshot.NewerFormatError
		newer = newer || errors.As(bad[id], &e)
	}
	if newer {
		return fmt.Errorf("%s: %w: %s", s.Snapshots.dir, ErrNewerVersion, what)
	}
	return &CorruptError{Path: s.Snapshots.dir, What: what}
}

// Close closes what is open.
func (s *Stores) Close() error {
	var errs []error
	if s.Log != nil {
		errs = append(errs, s.Log.Close())
	}
	if s.Vote != nil {
		errs = append(errs, s.Vote.Close())
	}
	return errors.Join(errs...)
}
