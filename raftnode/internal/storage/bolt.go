package storage

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

func boltOptions() *bbolt.Options {
	return &bbolt.Options{
		Timeout:        2 * time.Second, // the directory is locked, so nobody has the file: never wait for ever
		NoFreelistSync: true,            // else each commit writes the whole list of free pages
		FreelistType:   bbolt.FreelistMapType,
	}
}

// openBolt opens a bbolt file through open, and turns every way in which a damaged file makes bbolt fail, panic or
// fault into a CorruptError. An existing file must have the bucket that is named.
func openBolt[T any](path, bucket string, open func() (T, error)) (store T, err error) {
	buckets, err := checkBolt(path)
	if err != nil {
		return store, err
	}
	if buckets != nil && !slices.Contains(buckets, bucket) {
		return store, &CorruptError{Path: path, What: "it is another file: it has no " + bucket}
	}
	old := debug.SetPanicOnFault(true) // a page beyond the end of a mapped file is a fault, not an error
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = &CorruptError{Path: path, What: fmt.Sprint("bbolt panicked: ", p)}
		}
	}()
	store, err = open()
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return store, &CorruptError{Path: path, What: "bbolt cannot read it", Err: err}
	}
	if err != nil {
		return store, fmt.Errorf("open %s: %w", path, err)
	}
	return store, nil
}
