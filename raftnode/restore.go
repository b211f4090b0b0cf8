package raftnode

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/snapshot"
)

// RestoreConfig says what Restore is to make.
type RestoreConfig struct {
	// Name is the name of the server, and DataDir its directory: not there, or empty. Both are needed.
	Name, DataDir string
	// View is the state, as snapshot.Decode read it from a file. Needed.
	View *snapshot.View
	// AboveGeneration makes the recovery generation larger than that, for a file that was restored before: else two
	// clusters of one file make the same epochs. Zero: it is larger than the file's.
	AboveGeneration uint16
	// KeepLocks keeps the sessions and their locks. Without it they are gone, and whoever held a lock has to ask anew.
	KeepLocks bool
	// OnWritten and OnRead are told of the bytes that were written, and then of those that were read back. Nil for nobody.
	OnWritten, OnRead func(bytes int)
	// DryRun checks everything and writes nothing.
	DryRun bool
}

// Validate reports every fault of the RestoreConfig at once, each a *FieldError, joined.
func (c RestoreConfig) Validate() error {
	var errs []error
	var bad *placement.MemberError
	if errors.As(placement.MemberID(c.Name).Validate(), &bad) { // the rules of servers' names are those of members'
		errs = append(errs, &FieldError{Field: "Name", Value: c.Name, Rule: bad.Rule})
	}
	if c.DataDir == "" {
		errs = append(errs, &FieldError{Field: "DataDir", Rule: "it is needed"})
	}
	return errors.Join(errs...)
}

// Restore makes the data directory of the first server of a new cluster, whose state is that of a snapshot (see
// fsm.Restore for what is changed in it), and returns that state. The server is then started with the Config that it
// always has; servers with empty disks join it.
//
// The servers of the old cluster must have ended before the new one is started: only epochs protect from a cluster that
// goes on. The new server waits, at its first start, until the leases that the old servers granted are over.
//
// Errors are those of RestoreConfig.Validate, and a *RefusedError with ErrNotEmpty, ErrDataDir or ErrNotRestorable. When it
// did not come to its end, the directory is refused by Open, and taken by Restore again.
func Restore(c RestoreConfig) (*snapshot.View, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if err := storage.CheckRestore(c.DataDir); err != nil {
		return nil, c.dirError(err)
	}
	self := storage.Founder{Server: c.Name, Incarnation: ulid.Make().String()}
	id := storage.Identity{
		Server: self.Server, Incarnation: self.Incarnation, Founders: []storage.Founder{self}, Cluster: clusterID([]storage.Founder{self}),
		FormerTTL: time.Duration(min(max(c.View.Cluster.MaxMemberTTL, c.View.Cluster.MaxSessionTTL, c.View.Cluster.MaxReadLease, 1), math.MaxInt64/2)),
	}
	v, err := fsm.Restore(c.View, id.Cluster, c.AboveGeneration, c.KeepLocks)
	if err != nil {
		return nil, refused(fmt.Errorf("%w: %w", ErrNotRestorable, err), "restore another file, with the version of berth that saved it or a newer one")
	}
	if c.DryRun {
		return v, nil
	}
	if err := storage.Restore(c.DataDir, id, v, storage.Progress{Written: c.OnWritten, Read: c.OnRead}); err != nil {
		return nil, c.dirError(err)
	}
	return v, nil
}

// dirError says what to do about a directory that cannot be filled.
func (c *RestoreConfig) dirError(err error) error {
	switch {
	case errors.Is(err, storage.ErrNotEmpty):
		return refused(fmt.Errorf("%w: %w", ErrNotEmpty, err), "give --data-dir a directory that is empty or not there; a cluster that is restored shares no disk with the one before it")
	case errors.Is(err, storage.ErrInUse):
		return refused(fmt.Errorf("%w: %w", ErrDataDir, err), "stop the process that uses %s, or choose another --data-dir", c.DataDir)
	}
	return refused(fmt.Errorf("%w: %w", ErrDataDir, err), "check that %s is on a disk that is there, writable and not full, or choose another --data-dir; then restore again", c.DataDir)
}
