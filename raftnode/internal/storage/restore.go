package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/snapshot"
)

// Progress is told of the bytes of the snapshot that a restore has written, and then of those that it has read back. Nil
// functions are not called.
type Progress struct{ Written, Read func(bytes int) }

// countedWriter tells of what is written.
type countedWriter struct {
	w  io.Writer
	on func(bytes int)
}

// Write implements io.Writer.
func (c countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	if c.on != nil {
		c.on(n)
	}
	return n, err
}

// counted tells of what is read.
func counted(r io.Reader, on func(bytes int)) io.Reader {
	if on == nil {
		return r
	}
	return io.TeeReader(r, countedWriter{io.Discard, on})
}

// ErrNotEmpty means that a restore was asked to use a directory that has something in it.
var ErrNotEmpty = errors.New("data directory is not empty")

// ErrUnfinished means that a restore into the directory has not come to its end.
var ErrUnfinished = errors.New("a restore into the data directory was not finished")

// restoringFile stands in a directory while a restore fills it: what else is there does not count before it is gone.
const restoringFile = "RESTORING"

// CheckRestore says whether a restore may use the directory: it is not there, or empty, or a restore into it was not
// finished. Otherwise the error is ErrNotEmpty, or one of the file system.
func CheckRestore(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Name() != lockFile {
			names = append(names, e.Name())
		}
	}
	begun := slices.Contains(names, restoringFile) || slices.Equal(names, []string{restoringFile + ".tmp"})
	if len(names) == 0 || begun && !slices.ContainsFunc(names, foreign) {
		return nil
	}
	return fmt.Errorf("%s: %w: there is %s", path, ErrNotEmpty, names[0])
}

// foreign says that a file is not one that a restore makes.
func foreign(name string) bool {
	return !slices.Contains([]string{restoringFile, identityFile, logFile, voteFile, snapshotsDir}, strings.TrimSuffix(name, ".tmp"))
}

// Restore makes the directory that of a server which begins a cluster alone, with the state of a view. The identity's
// Stores need not be set. What is written is read back. After a crash the directory is refused by LoadIdentity until
// Restore has been called for it again. See CheckRestore for the directories that it takes.
//
// on is told how far it is.
func Restore(path string, id Identity, view *snapshot.View, on Progress) (err error) {
	if err := CheckRestore(path); err != nil {
		return err
	}
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	d.onRead = on.Read
	if err := CheckRestore(path); err != nil { // now that nobody else uses it
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := d.writeFile(restoringFile, []byte("berth snapshot restore fills this directory; it is not that of a server yet\n")); err != nil {
		return err
	}
	if err := d.clear(); err != nil {
		return err
	}
	if err := d.fill(id, view, on.Written); err != nil {
		return err
	}
	if err := d.readBack(view.Digest()); err != nil {
		return err
	}
	id.Stores = true
	if err := d.SaveIdentity(id); err != nil {
		return err
	}
	if err := os.Remove(d.file(restoringFile)); err != nil {
		return fmt.Errorf("finish restore: %w", err)
	}
	return d.sync()
}

// clear removes what an unfinished restore left, but for its mark.
func (d *Dir) clear() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("look at data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockFile || e.Name() == restoringFile {
			continue
		}
		if err := os.RemoveAll(d.file(e.Name())); err != nil {
			return fmt.Errorf("remove unfinished %s: %w", e.Name(), err)
		}
	}
	return d.sync()
}

// unwatched is the guard of writes whose errors end the command that made them.
func unwatched() *Guard { return NewGuard(time.Hour, func(error) {}) }

// fill writes the log, the vote and one snapshot.
func (d *Dir) fill(id Identity, view *snapshot.View, onWritten func(bytes int)) (err error) {
	stores, err := d.OpenStores(Identity{}, unwatched(), hclog.NewNullLogger())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stores.Close()) }()
	_, transport := raft.NewInmemTransport(raft.ServerAddress(id.Server)) // the library writes addresses through one
	defer func() { _ = transport.Close() }()
	alone := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id.Server), Address: raft.ServerAddress(id.Server)}}}
	sink, err := stores.Snapshots.Create(raft.SnapshotVersionMax, view.Index, view.Term, alone, 1, transport)
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := view.Encode(countedWriter{sink, onWritten}); err != nil {
		return errors.Join(fmt.Errorf("write snapshot: %w", err), sink.Cancel())
	}
	if err := sink.Close(); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	// The terms of the log only grow, so the next one is above the snapshot's.
	return stores.Vote.SetUint64([]byte("CurrentTerm"), view.Term)
}

// readBack opens what was written, as a server does, and compares the state.
func (d *Dir) readBack(want snapshot.Digest) error {
	stores, err := d.OpenStores(Identity{Stores: true}, unwatched(), hclog.NewNullLogger())
	if err != nil {
		return err
	}
	restored, bad := stores.Snapshots.Restored()
	err = stores.Close()
	for _, b := range bad {
		err = errors.Join(err, b)
	}
	if err == nil && (restored == nil || restored.View.Digest() != want) {
		err = &CorruptError{Path: d.path, What: "the state that was read back is not the one that was written"}
	}
	return err
}
