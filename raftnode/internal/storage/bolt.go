package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
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
// fault into a CorruptError.
func openBolt[T any](path string, open func() (T, error)) (store T, err error) {
	if err := checkBolt(path); err != nil {
		return store, err
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

// The parts of a bbolt meta page that say how long the file must be (go.etcd.io/bbolt/internal/common/meta.go).
const (
	boltMetaAt       = 16 // behind the page's header
	boltMetaBytes    = 64
	boltMagic        = 0xED0CDAED
	boltPageSizeAt   = 8
	boltPagesAt      = 40
	boltTxAt         = 48
	boltPageSizeMax  = 64 << 10
	boltPageSizeUnit = 512
)

// checkBolt finds out whether an existing file is shorter than its newest meta page says. bbolt maps the file, and a
// page that is not there ends the process.
func checkBolt(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	pages, pageSize := boltLength(f)
	if pages == 0 {
		return &CorruptError{Path: path, What: "it has no valid meta page"}
	}
	if want := pages * pageSize; fi.Size() < want {
		return &CorruptError{Path: path, What: fmt.Sprintf("it has %d bytes of at least %d", fi.Size(), want)}
	}
	return nil
}

// boltLength reads the two meta pages and returns how many pages the newer one counts.
func boltLength(r io.ReaderAt) (pages, pageSize int64) {
	read := func(at int64) (size, n int64, tx uint64) {
		var m [boltMetaBytes]byte
		if _, err := r.ReadAt(m[:], at+boltMetaAt); err != nil || binary.LittleEndian.Uint32(m[:]) != boltMagic {
			return 0, 0, 0
		}
		size = int64(binary.LittleEndian.Uint32(m[boltPageSizeAt:]))
		if size == 0 || size > boltPageSizeMax || size%boltPageSizeUnit != 0 {
			return 0, 0, 0
		}
		n = int64(binary.LittleEndian.Uint64(m[boltPagesAt:]))
		if n < 0 || n > 1<<40 {
			return 0, 0, 0
		}
		return size, n, binary.LittleEndian.Uint64(m[boltTxAt:])
	}
	size, n, tx := read(0)
	if size == 0 {
		size = int64(os.Getpagesize()) // the first meta page is damaged: look for the second where it usually is
	}
	size2, n2, tx2 := read(size)
	if n == 0 || n2 != 0 && tx2 > tx {
		return n2, size2
	}
	return n, size
}
