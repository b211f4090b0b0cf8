package storage

import (
	"errors"
	"fmt"
)

// ErrInUse means that another process holds the data directory.
var ErrInUse = errors.New("data directory is in use")

// ErrIncomplete means that files of a data directory are missing that were there before. Whatever the rest says, this
// server no longer knows what it promised, so it must not take part under its old identity.
var ErrIncomplete = errors.New("data directory is incomplete")

// ErrStalled means that a write to the disk did not return in time.
var ErrStalled = errors.New("disk does not answer")

// ErrNewerVersion means that a snapshot was written by a newer version of berth, and that nothing older has what it holds.
var ErrNewerVersion = errors.New("data directory is of a newer version")

// CorruptError means that a file does not hold what was written to it.
type CorruptError struct {
	// Path is the file.
	Path string
	// What is wrong with it, a clause.
	What string
	// Err is the cause, when there is one.
	Err error
}

// Error names the file and what is wrong with it.
func (e *CorruptError) Error() string {
	s := fmt.Sprintf("%s is corrupt: %s", e.Path, e.What)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *CorruptError) Unwrap() error { return e.Err }
