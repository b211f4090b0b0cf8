package storage

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// snapshotsRetained: the newest, and one to fall back to when the newest is damaged.
	snapshotsRetained = 2

	metaFile = "meta.json"
	sealFile = "meta.crc"
)

// Snapshots is a raft.SnapshotStore around raft.FileSnapshotStore. It gives each snapshot a seal, a checksum over the
// library's own record of it, which says up to which log index it goes and who the servers are and is unprotected
// otherwise; and it lists only snapshots that were read whole when the directory was opened, or made since.
type Snapshots struct {
	*raft.FileSnapshotStore
	dir      string
	newest   atomic.Uint64
	restored *Restored
	bad      map[string]error
	onRead   func(bytes int)
}

// Restored is the newest whole snapshot of a directory, decoded.
type Restored struct {
	View *snapshot.View
	// ID names the snapshot; Index and Term are its position in the log. The view's own index may be lower: Raft has
	// entries that the state machine does not see.
	ID          string
	Index, Term uint64
}

// View gives the state that a snapshot was decoded to, to whoever is handed it as a reader.
type View interface{ View() *snapshot.View }

type decoded struct {
	io.Reader
	view *snapshot.View
}

func (d decoded) View() *snapshot.View { return d.view }
func (d decoded) Close() error         { return nil }

func openSnapshots(d *Dir, logger hclog.Logger) (*Snapshots, error) {
	dir := d.file(snapshotsDir)
	if err := removeUnfinished(dir); err != nil {
		return nil, err
	}
	store, err := raft.NewFileSnapshotStoreWithLogger(d.path, snapshotsRetained, logger)
	if err != nil {
		return nil, fmt.Errorf("open snapshots: %w", err)
	}
	s := &Snapshots{FileSnapshotStore: store, dir: dir, bad: map[string]error{}, onRead: d.onRead}
	return s, s.verify()
}

// removeUnfinished deletes what a crash left of a snapshot that was being written.
func removeUnfinished(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open snapshots: %w", err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return fmt.Errorf("remove unfinished snapshot: %w", err)
		}
	}
	return nil
}

// verify decodes the newest snapshot that can be, and notes what is wrong with those before it.
func (s *Snapshots) verify() error {
	list, err := s.FileSnapshotStore.List()
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, meta := range list {
		if s.restored != nil {
			break // older ones were whole when they were made; they are not needed
		}
		view, err := s.decode(meta.ID)
		if err != nil {
			s.bad[meta.ID] = err
			continue
		}
		s.restored = &Restored{View: view, ID: meta.ID, Index: meta.Index, Term: meta.Term}
		s.newest.Store(meta.Index)
	}
	return s.verifyRecords()
}

// verifyRecords notes the snapshots, newer than the one that is used, whose record cannot be read: the library passes them over as if
// they were not there, and with a log that was cleared for one of them the server would begin with nothing.
func (s *Snapshots) verifyRecords() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, e := range entries {
		id := e.Name()
		var term, index, made uint64
		if n, _ := fmt.Sscanf(id, "%d-%d-%d", &term, &index, &made); n != 3 || s.restored != nil && index <= s.restored.Index || s.bad[id] != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.dir, id, metaFile))
		switch {
		case err != nil:
			s.bad[id] = fmt.Errorf("read snapshot: %w", err)
		case json.Unmarshal(b, &raft.SnapshotMeta{}) != nil:
			s.bad[id] = &CorruptError{Path: filepath.Join(s.dir, id), What: "its record cannot be read"}
		}
	}
	return nil
}

func (s *Snapshots) decode(id string) (*snapshot.View, error) {
	if err := s.checkSeal(id); err != nil {
		return nil, err
	}
	_, r, err := s.FileSnapshotStore.Open(id)
	if err != nil {
		return nil, &CorruptError{Path: filepath.Join(s.dir, id), What: "it cannot be opened", Err: err}
	}
	view, err := snapshot.Decode(counted(r, s.onRead))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.dir, id), err)
	}
	return view, nil
}

// Restored returns the newest whole snapshot, nil when there is none, and what is wrong with newer ones, which are left
// where they are.
func (s *Snapshots) Restored() (*Restored, map[string]error) { return s.restored, s.bad }

// Newest is the log index of the newest snapshot that was found, made or installed.
func (s *Snapshots) Newest() *atomic.Uint64 { return &s.newest }

// List returns the snapshots that are whole, newest first.
func (s *Snapshots) List() ([]*raft.SnapshotMeta, error) {
	all, err := s.FileSnapshotStore.List()
	if err != nil {
		return nil, err
	}
	var whole []*raft.SnapshotMeta
	for _, meta := range all {
		if s.bad[meta.ID] == nil {
			whole = append(whole, meta)
		}
	}
	return whole, nil
}

// Open returns a snapshot. The one that was decoded at the start is handed out as its view (interface View), once: the
// memory is the state machine's from then on.
func (s *Snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	if r := s.restored; r != nil && r.ID == id && r.View != nil {
		list, err := s.List()
		if err != nil {
			return nil, nil, err
		}
		for _, meta := range list {
			if meta.ID == id {
				view := r.View
				r.View = nil
				return meta, decoded{bytes.NewReader(nil), view}, nil
			}
		}
	}
	if err := s.checkSeal(id); err != nil {
		return nil, nil, err
	}
	return s.FileSnapshotStore.Open(id)
}

// Create begins a snapshot.
func (s *Snapshots) Create(version raft.SnapshotVersion, index, term uint64, configuration raft.Configuration, configurationIndex uint64, trans raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(version, index, term, configuration, configurationIndex, trans)
	if err != nil {
		return nil, err
	}
	return &sealingSink{SnapshotSink: sink, store: s, index: index}, nil
}

type sealingSink struct {
	raft.SnapshotSink
	store *Snapshots
	index uint64
}

// Close makes the snapshot durable and seals it.
func (s *sealingSink) Close() error {
	if err := s.SnapshotSink.Close(); err != nil {
		return err
	}
	if err := s.store.seal(s.ID()); err != nil {
		return err
	}
	s.store.newest.Store(max(s.store.newest.Load(), s.index))
	return nil
}

func (s *Snapshots) seal(id string) error {
	crc, err := s.metaChecksum(id)
	if err != nil {
		return err
	}
	d := Dir{path: filepath.Join(s.dir, id)}
	return d.writeFile(sealFile, binary.LittleEndian.AppendUint32(nil, crc))
}

func (s *Snapshots) metaChecksum(id string) (uint32, error) {
	b, err := os.ReadFile(filepath.Join(s.dir, id, metaFile))
	if err != nil {
		return 0, fmt.Errorf("read snapshot: %w", err)
	}
	return crc32.Checksum(b, castagnoli), nil
}

func (s *Snapshots) checkSeal(id string) error {
	path := filepath.Join(s.dir, id)
	crc, err := s.metaChecksum(id)
	if err != nil {
		return err
	}
	seal, err := os.ReadFile(filepath.Join(path, sealFile))
	if err != nil {
		return &CorruptError{Path: path, What: "it has no seal", Err: err}
	}
	if len(seal) != crcBytes || binary.LittleEndian.Uint32(seal) != crc {
		return &CorruptError{Path: path, What: "its record does not have the checksum that it was sealed with"}
	}
	return nil
}
