package raftnode

import (
	"errors"
	"fmt"
)

// The reasons why a server refuses to start, or ends by itself. Each comes in a *RefusedError that says what to do; the
// errors of the data directory (in use, incomplete, corrupt) do too.
var (
	// ErrOtherDisk: the cluster knows a server of this name with another disk.
	ErrOtherDisk = errors.New("the cluster knows this name with another disk")
	// ErrForeignCluster: the data directory belongs to another cluster than the servers that were found.
	ErrForeignCluster = errors.New("the data directory belongs to another cluster")
	// ErrRemoved: the server was removed from the cluster.
	ErrRemoved = errors.New("the server was removed from the cluster")
	// ErrForming: the servers that were found cannot form a cluster.
	ErrForming = errors.New("these servers cannot form a cluster")
	// ErrDataDir: the data directory cannot be used.
	ErrDataDir = errors.New("the data directory cannot be used")
	// ErrNotEmpty: a restore was asked to use a data directory that has something in it.
	ErrNotEmpty = errors.New("the data directory is not empty")
	// ErrNotRestorable: no cluster can begin with the snapshot, although it is whole.
	ErrNotRestorable = errors.New("the snapshot cannot be restored")
	// ErrVersion: this version is too old for the state of its cluster.
	ErrVersion = errors.New("this version is too old for its cluster")
	// ErrReopen: the server asks to be opened again, at once and with the same Config; nothing is wrong with its data.
	ErrReopen = errors.New("the server has to be opened again")
)

// RefusedError says why a server does not go on, and what to do.
type RefusedError struct {
	// Err is one of the errors above, with what was found.
	Err error
	// Next is what to do, in sentences with command lines.
	Next string
}

// Error says why, and what to do.
func (e *RefusedError) Error() string { return fmt.Sprintf("%v\n  next: %s", e.Err, e.Next) }

// Unwrap returns why.
func (e *RefusedError) Unwrap() error { return e.Err }

func refused(err error, next string, args ...any) error {
	return &RefusedError{Err: err, Next: fmt.Sprintf(next, args...)}
}
