package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"syscall"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// deleteChunk is the number of entries that one transaction takes from the front of the log: each holds the only write
// lock, and 8,000 entries at once hold it for 27 to 150 ms.
const deleteChunk = 256

// Log is a raft.LogStore around another one, which adds what the package comment promises.
type Log struct {
	store raft.LogStore
	close func() error
	path  string
	guard *Guard

	closed   atomic.Bool
	appended atomic.Uint64 // bytes of data since the start
	// snapshot is the index of the newest snapshot that was made or installed; see OnTail.
	snapshot *atomic.Uint64
	onTail   func()
}

const logBucket = "logs" // raft-boltdb's

func openLog(path string, guard *Guard) (*Log, error) {
	store, err := openBolt(path, logBucket, func() (*raftboltdb.BoltStore, error) {
		return raftboltdb.New(raftboltdb.Options{Path: path, MsgpackUseNewTimeFormat: true, BoltOptions: boltOptions()})
	})
	if err != nil {
		return nil, err
	}
	return NewLog(store, store.Close, path, guard), nil
}

// NewLog returns a Log around any store. path is named in errors.
func NewLog(store raft.LogStore, close func() error, path string, guard *Guard) *Log {
	return &Log{store: store, close: close, path: path, guard: guard, snapshot: new(atomic.Uint64), onTail: func() {}}
}

// IsMonotonic makes Raft clear the whole log when it installs a snapshot; with gaps, a log that conflicts with the
// snapshot could never be mended (hashicorp/raft#697).
func (l *Log) IsMonotonic() bool { return true }

// AppendedBytes is the size of all entries that were appended since the log was opened.
func (l *Log) AppendedBytes() uint64 { return l.appended.Load() }

// FirstIndex returns the index of the oldest entry, zero for none.
func (l *Log) FirstIndex() (uint64, error) { return l.index(l.store.FirstIndex) }

// LastIndex returns the index of the newest entry, zero for none.
func (l *Log) LastIndex() (uint64, error) { return l.index(l.store.LastIndex) }

func (l *Log) index(f func() (uint64, error)) (uint64, error) {
	i, err := l.read(f)
	if err != nil {
		l.fail(err)
	}
	return i, err
}

// read reads an index from the store.
func (l *Log) read(f func() (uint64, error)) (i uint64, err error) {
	err = l.guard.mapped(func() (err error) {
		i, err = f()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", l.path, err)
	}
	return i, nil
}

// fail ends the server, unless the log was closed and is read by a straggler.
func (l *Log) fail(err error) {
	if !l.closed.Load() {
		l.guard.Fail(err)
	}
}

// GetLog reads an entry and proves that it is the one that was written. It returns raft.ErrLogNotFound when there is
// none; any other error ends the server.
func (l *Log) GetLog(index uint64, log *raft.Log) error {
	err := l.get(index, log)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		l.fail(err)
	}
	return err
}

func (l *Log) get(index uint64, log *raft.Log) error {
	err := l.guard.mapped(func() error { return l.store.GetLog(index, log) })
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return raft.ErrLogNotFound // Raft compares the value
	case errors.Is(err, syscall.EIO):
		return fmt.Errorf("read entry %d of %s: %w", index, l.path, err)
	case err != nil:
		return &CorruptError{Path: l.path, What: fmt.Sprintf("entry %d cannot be read", index), Err: err}
	}
	n := len(log.Extensions) - crcBytes
	if n < 0 {
		return &CorruptError{Path: l.path, What: fmt.Sprintf("entry %d has no checksum", index)}
	}
	want := binary.LittleEndian.Uint32(log.Extensions[n:])
	if log.Extensions = log.Extensions[:n:n]; n == 0 {
		log.Extensions = nil
	}
	if log.Index != index || checksum(log) != want {
		return &CorruptError{Path: l.path, What: fmt.Sprintf("the checksum of entry %d is wrong", index)}
	}
	return nil
}

const crcBytes = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is CRC-32C over everything of an entry that means something.
func checksum(log *raft.Log) uint32 {
	var h [21]byte
	binary.LittleEndian.PutUint64(h[0:], log.Index)
	binary.LittleEndian.PutUint64(h[8:], log.Term)
	h[16] = byte(log.Type)
	binary.LittleEndian.PutUint32(h[17:], uint32(len(log.Data)))
	crc := crc32.Update(0, castagnoli, h[:])
	crc = crc32.Update(crc, castagnoli, log.Data)
	return crc32.Update(crc, castagnoli, log.Extensions)
}

// StoreLog appends one entry.
func (l *Log) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

// StoreLogs appends entries and returns when they are durable.
func (l *Log) StoreLogs(logs []*raft.Log) error {
	sealed := make([]raft.Log, len(logs))
	pointers := make([]*raft.Log, len(logs))
	for i, log := range logs {
		sealed[i], pointers[i] = *log, &sealed[i]
		sealed[i].Extensions = binary.LittleEndian.AppendUint32(append([]byte{}, log.Extensions...), checksum(log))
		l.appended.Add(uint64(len(log.Data)))
	}
	return l.guard.write("append to log", func() error { return l.store.StoreLogs(pointers) })
}

// DeleteRange deletes the entries from first to last. From the front it does so piece by piece: a crash in between
// leaves a shorter log, which is whole. A piece of the end is one transaction, since a crash in between would leave a
// gap.
func (l *Log) DeleteRange(first, last uint64) error {
	end, err := l.LastIndex()
	if err != nil {
		return err
	}
	for last < end && last-first >= deleteChunk {
		if err := l.delete(first, first+deleteChunk-1); err != nil {
			return err
		}
		first += deleteChunk
	}
	if err := l.delete(first, last); err != nil {
		return err
	}
	if begin, err := l.FirstIndex(); err == nil && begin == 0 && last > l.snapshot.Load() {
		l.onTail()
	}
	return nil
}

func (l *Log) delete(first, last uint64) error {
	return l.guard.write("compact log", func() error { return l.store.DeleteRange(first, last) })
}

// OnTail has f called when an installed snapshot took away a log that reached beyond it. Raft still remembers the last
// index of that log, refuses every entry that the leader sends, and is sent the snapshot again, without end
// (hashicorp/raft#697); it has to be opened again.
func (l *Log) OnTail(snapshot *atomic.Uint64, f func()) { l.snapshot, l.onTail = snapshot, f }

// Verify reads every entry and proves that it is whole, and that none is missing in between.
func (l *Log) Verify() error { return l.each(func(*raft.Log) error { return nil }) }

// Close closes the store.
func (l *Log) Close() error {
	l.closed.Store(true)
	return l.guard.close(l.close)
}
