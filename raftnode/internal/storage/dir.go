package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockFile     = "LOCK"
	identityFile = "server.json"
	logFile      = "log.db"
	voteFile     = "vote.db"
	snapshotsDir = "snapshots"
)

// Dir is a data directory that this process holds.
type Dir struct {
	path string
	lock *os.File

	onRead func(bytes int) // of the snapshot that is read when the stores are opened; nil for nobody
}

// OpenDir makes the directory when it is not there, and locks it. It fails with ErrInUse when another process has it, and does
// not let go of it for two seconds: one that was killed holds it until its last write has come down.
func OpenDir(path string) (*Dir, error) {
	if err := makeDir(path); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open data directory: %w", err)
	}
	if err := flock(lock); err != nil {
		holder := holderOf(lock)
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w%s", path, ErrInUse, holder)
		}
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	d := &Dir{path: path, lock: lock}
	if err := d.noteHolder(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

const (
	lockPatience = 2 * time.Second
	lockRetry    = 20 * time.Millisecond
)

// flock locks a file, and waits for it for a while.
func flock(f *os.File) error {
	for begin := time.Now(); ; time.Sleep(lockRetry) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) || time.Since(begin) >= lockPatience {
			return err
		}
	}
}

// makeDir makes a directory when it is not there, and those above it, and makes their entries durable from above: else a
// power loss could take the directory, and what was synced in it. Each start does it for the directory itself, since the one
// that made it may have been killed right then.
func makeDir(path string) error {
	parent := filepath.Dir(path)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := makeDir(parent); err != nil {
			return err
		}
		if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) { // then somebody else made it
		return err
	}
	return nil
}

// holderOf reads who locked the directory, for the error.
func holderOf(lock *os.File) string {
	b := make([]byte, 32)
	n, _ := lock.ReadAt(b, 0)
	if pid := strings.TrimSpace(string(b[:n])); pid != "" {
		return " by process " + pid
	}
	return ""
}

func (d *Dir) noteHolder() error {
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("write to data directory: %w", err)
	}
	if _, err := d.lock.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0); err != nil {
		return fmt.Errorf("write to data directory: %w", err)
	}
	return nil
}

// Path is the directory.
func (d *Dir) Path() string { return d.path }

func (d *Dir) file(name string) string { return filepath.Join(d.path, name) }

// Close lets the directory go.
func (d *Dir) Close() error { return d.lock.Close() }

// sync makes the directory's own entries durable.
func (d *Dir) sync() error { return syncDir(d.path) }

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	err = f.Sync()
	return errors.Join(err, f.Close())
}

// writeFile replaces a file by one with the contents, so that after a crash either is there whole.
func (d *Dir) writeFile(name string, contents []byte) error {
	tmp := d.file(name + ".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	if err := os.Rename(tmp, d.file(name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return d.sync()
}

// size is a file's length, -1 when there is no such file.
func (d *Dir) size(name string) (int64, error) {
	fi, err := os.Stat(d.file(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return -1, nil
	case err != nil:
		return 0, fmt.Errorf("look at data directory: %w", err)
	}
	return fi.Size(), nil
}
