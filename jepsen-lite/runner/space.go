package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

const (
	// spaceMin is the room that a folder must have for a run to begin. A run of 8 s of three servers writes some 7 MB, and a
	// berth whose clocks can be skewed has 60 MB.
	spaceMin = 128 << 20
	// spaceFloor is the room at which a run is broken off. Not smaller: the processes of a run that write a second or two more
	// must not be cut off in the middle, each in its own way.
	spaceFloor = 32 << 20
	// filesMin is how many files there must be room for.
	filesMin = 1000
	// spaceEvery is how often the room is looked at.
	spaceEvery = 200 * time.Millisecond
)

// SpaceError: a folder that a run writes to has no room, so the run did not begin, or is worth nothing, and has been removed.
type SpaceError struct {
	// Path is the folder, and Use what it is to the run.
	Path, Use string
	// Err is what failed, or how little room there is.
	Err error
}

// Error names the folder and says what to do.
func (e *SpaceError) Error() string {
	next := "or name another one by --store"
	if e.Use == scratchUse {
		next = "or name another one by the environment variable TMPDIR"
	}
	return fmt.Sprintf("no room in %s, %s: %v; make room there, %s", e.Path, e.Use, e.Err, next)
}

// Unwrap returns what failed.
func (e *SpaceError) Unwrap() error { return e.Err }

const (
	storeUse   = "the folder for runs"
	scratchUse = "the folder for temporary files"
)

// room fails with a SpaceError when a folder, which need not be there yet, has less room than that.
func room(path, use string, bytes uint64) error {
	at, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	var s unix.Statfs_t
	for {
		if err = unix.Statfs(at, &s); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	if err != nil {
		return &UnavailableError{fmt.Errorf("look how much room there is in %s, %s: %w", path, use, err)}
	}
	if free := uint64(s.Bavail) * uint64(s.Bsize); free < bytes {
		return &SpaceError{path, use, fmt.Errorf("%s are free, and %s are needed", humanize.IBytes(free), humanize.IBytes(bytes))}
	}
	if s.Files > 0 && uint64(s.Ffree) < filesMin {
		return &SpaceError{path, use, fmt.Errorf("there is room for %d files, and %d are needed", s.Ffree, filesMin)}
	}
	return nil
}

// rooms looks at both folders that a run writes to.
func (r *run) rooms(bytes uint64) error {
	return errors.Join(room(r.config.Root, storeUse, bytes), room(os.TempDir(), scratchUse, bytes))
}

// watchRoom has the run broken off when there is little room left, or when its history cannot be written. The function that it
// returns ends that.
func (r *run) watchRoom(breakOff context.CancelCauseFunc) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(spaceEvery)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-r.rec.Failed():
				breakOff(r.rec.Err())
				return
			case <-t.C:
			}
			if err := r.rooms(spaceFloor); err != nil {
				breakOff(err)
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// noRoom is the SpaceError behind the errors of a run, nil when there is none.
func (r *run) noRoom(errs ...error) *SpaceError {
	err := errors.Join(errs...)
	var space *SpaceError
	if errors.As(err, &space) || err != nil && errors.As(r.rooms(spaceFloor), &space) {
		return space
	}
	return fullDisk(err, r.config.Root)
}

// fullDisk is the SpaceError for an error of a system that has no room, nil for others. store is the folder for runs.
func fullDisk(err error, store string) *SpaceError {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return nil
	}
	space := &SpaceError{store, storeUse, err}
	var at *fs.PathError
	if errors.As(err, &at) {
		if in, err := filepath.Rel(os.TempDir(), at.Path); err == nil && filepath.IsLocal(in) {
			space.Path, space.Use = os.TempDir(), scratchUse
		}
	}
	return space
}
