package storage

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/snapshot"
)

func testGuard(t *testing.T) *Guard {
	return NewGuard(time.Minute, func(err error) { t.Errorf("the guard stopped the server: %v", err) })
}

var testIdentity = Identity{Server: "s1", Incarnation: "01J", Cluster: "C", Founders: []Founder{{"s1", "01J", "h:1"}}}

// filled makes a directory with a log of n entries and a snapshot at each of the given indexes.
func filled(t *testing.T, n uint64, snapshots ...uint64) string {
	t.Helper()
	path := t.TempDir()
	d, stores := open(t, path, testIdentity)
	id := testIdentity
	id.Stores = true
	if err := d.SaveIdentity(id); err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= n; i++ {
		if err := stores.Log.StoreLog(&raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: fmt.Appendf(nil, "command-%03d", i), AppendedAt: time.Unix(int64(i), 0)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range snapshots {
		takeSnapshot(t, stores, at)
	}
	if err := stores.Vote.SetUint64([]byte("CurrentTerm"), 1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stores.Close(), d.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

func takeSnapshot(t *testing.T, stores *Stores, at uint64) {
	t.Helper()
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(at, 1)
	_, transport := raft.NewInmemTransport("s1")
	defer transport.Close()
	sink, err := stores.Snapshots.Create(1, at, 1, raft.Configuration{Servers: []raft.Server{{ID: "s1", Address: "s1"}}}, 1, transport)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Publish().Encode(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string, id Identity) (*Dir, *Stores) {
	t.Helper()
	d, stores, err := tryOpen(path, id, testGuard(t))
	if err != nil {
		t.Fatal(err)
	}
	return d, stores
}

func tryOpen(path string, id Identity, guard *Guard) (*Dir, *Stores, error) {
	d, err := OpenDir(path)
	if err != nil {
		return nil, nil, err
	}
	stores, err := d.OpenStores(id, guard, hclog.NewNullLogger())
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return d, stores, nil
}

func reopen(path string) error {
	d, err := OpenDir(path)
	if err != nil {
		return err
	}
	defer d.Close()
	id, _, err := d.LoadIdentity()
	if err != nil {
		return err
	}
	stores, err := d.OpenStores(id, NewGuard(time.Minute, func(error) {}), hclog.NewNullLogger())
	if err != nil {
		return err
	}
	return stores.Close()
}

func TestDir_InUse_IsRefusedWithTheHolder(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenDir(path)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("second open: %v, want ErrInUse with the process", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = OpenDir(path); err != nil {
		t.Errorf("after it was let go: %v", err)
	} else {
		_ = d.Close()
	}
}

func TestDir_CannotBeMade_IsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDir(filepath.Join(file, "below")); err == nil {
		t.Error("a directory below a file was made")
	}
}

func TestIdentity_RoundTrip(t *testing.T) {
	d, err := OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, ok, err := d.LoadIdentity(); ok || err != nil {
		t.Fatalf("new directory: %t, %v", ok, err)
	}
	if err := d.SaveIdentity(testIdentity); err != nil {
		t.Fatal(err)
	}
	got, ok, err := d.LoadIdentity()
	if !ok || err != nil || got.Server != "s1" || got.Cluster != "C" || len(got.Founders) != 1 {
		t.Errorf("read back %+v, %t, %v", got, ok, err)
	}
	for what, text := range map[string]string{"garbage": "{", "newer": `{"format":2,"server":"s","incarnation":"i"}`, "empty": `{"format":1}`, "cut": ""} {
		if err := os.WriteFile(d.file(identityFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.LoadIdentity(); err == nil {
			t.Errorf("%s identity was accepted", what)
		}
	}
}

func TestStores_EverythingIsThereAgain(t *testing.T) {
	path := filled(t, 20, 5, 15)
	d, stores := open(t, path, Identity{Stores: true})
	defer d.Close()
	defer stores.Close()
	var l raft.Log
	if err := stores.Log.GetLog(7, &l); err != nil || string(l.Data) != "command-007" || l.Extensions != nil || l.Term != 1 {
		t.Errorf("entry 7 is %+v, %v", l, err)
	}
	if err := stores.Log.GetLog(21, &l); err != raft.ErrLogNotFound {
		t.Errorf("entry 21: %v, want the very ErrLogNotFound", err)
	}
	r, bad := stores.Snapshots.Restored()
	if r == nil || r.Index != 15 || r.View.Index != 15 || len(bad) != 0 {
		t.Fatalf("restored %+v, bad %v", r, bad)
	}
	if stores.Snapshots.Newest().Load() != 15 {
		t.Errorf("newest snapshot is %d", stores.Snapshots.Newest().Load())
	}
	// The decoded view is handed out once, then the file is.
	_, rc, err := stores.Snapshots.Open(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := rc.(View); !ok || v.View().Index != 15 {
		t.Error("the decoded view was not handed out")
	}
	_, rc, err = stores.Snapshots.Open(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := snapshot.Decode(rc); err != nil || v.Index != 15 {
		t.Errorf("the file decodes to %v, %v", v, err)
	}
	_ = rc.Close()
}

// What is missing, cut or flipped is refused with a typed error, and never taken for a new directory.
func TestStores_DamagedDirectory_IsRefused(t *testing.T) {
	cut := func(name string, n int64) func(string) error {
		return func(path string) error { return os.Truncate(filepath.Join(path, name), n) }
	}
	remove := func(name string) func(string) error {
		return func(path string) error { return os.Remove(filepath.Join(path, name)) }
	}
	flip := func(name, text string) func(string) error {
		return func(path string) error {
			file := filepath.Join(path, name)
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if !bytes.Contains(b, []byte(text)) {
				return fmt.Errorf("%s does not hold %q", name, text)
			}
			other := []byte(text)
			other[len(other)-1] ^= 1
			return os.WriteFile(file, bytes.ReplaceAll(b, []byte(text), other), 0o600)
		}
	}
	tests := []struct {
		name   string
		damage func(path string) error
		want   error // nil: a CorruptError
	}{
		{"identity missing", remove(identityFile), ErrIncomplete},
		{"log missing", remove(logFile), ErrIncomplete},
		{"vote missing", remove(voteFile), ErrIncomplete},
		{"log empty", cut(logFile, 0), ErrIncomplete},
		{"vote empty", cut(voteFile, 0), ErrIncomplete},
		{"log cut to one byte", cut(logFile, 1), nil},
		{"log cut to one page", cut(logFile, 4096), nil},
		{"log cut to two pages", cut(logFile, 8192), nil},
		{"log cut to five pages", cut(logFile, 5*4096), nil},
		{"vote cut to two pages", cut(voteFile, 8192), nil},
		{"log entry flipped", flip(logFile, "command-013"), nil},
		{"log is garbage", func(path string) error {
			return os.WriteFile(filepath.Join(path, logFile), bytes.Repeat([]byte("garbage!"), 8192), 0o600)
		}, nil},
		{"vote is garbage", func(path string) error {
			return os.WriteFile(filepath.Join(path, voteFile), bytes.Repeat([]byte("garbage!"), 8192), 0o600)
		}, nil},
	}
	for _, tt := range tests {
		path := filled(t, 20)
		if err := tt.damage(path); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		err := reopen(path)
		var c *CorruptError
		if tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && !errors.As(err, &c) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestStores_LogCutAnywhere_NeverFaults(t *testing.T) {
	path := filled(t, 20)
	whole, err := os.ReadFile(filepath.Join(path, logFile))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 1024 {
		if err := os.WriteFile(filepath.Join(path, logFile), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		// The tail of the file beyond its last page in use may be missing: then nothing is lost.
		if err := reopen(path); err == nil && n < 8192 {
			t.Fatalf("cut to %d of %d bytes: accepted", n, len(whole))
		}
	}
}

func TestStores_DamagedSnapshot_OlderOneAndLogAreUsed(t *testing.T) {
	damage := map[string]func(dir string) error{
		"state flipped":     func(dir string) error { return flipByte(filepath.Join(dir, "state.bin"), 40) },
		"state cut":         func(dir string) error { return os.Truncate(filepath.Join(dir, "state.bin"), 20) },
		"meta flipped":      func(dir string) error { return flipByte(filepath.Join(dir, metaFile), 30) },
		"meta cut":          func(dir string) error { return os.Truncate(filepath.Join(dir, metaFile), 20) },
		"seal missing":      func(dir string) error { return os.Remove(filepath.Join(dir, sealFile)) },
		"state.bin missing": func(dir string) error { return os.Remove(filepath.Join(dir, "state.bin")) },
	}
	for name, f := range damage {
		path := filled(t, 20, 5, 15)
		dirs, err := filepath.Glob(filepath.Join(path, snapshotsDir, "*-15-*"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("%v, %v", dirs, err)
		}
		if err := f(dirs[0]); err != nil {
			t.Fatal(err)
		}
		d, stores := open(t, path, Identity{Stores: true})
		r, _ := stores.Snapshots.Restored()
		list, err := stores.Snapshots.List()
		if err != nil || r == nil || r.Index != 5 || len(list) != 1 {
			t.Errorf("%s: restored %+v, list %d, %v; want the snapshot at 5", name, r, len(list), err)
		}
		_ = errors.Join(stores.Close(), d.Close())
	}
}

func flipByte(path string, at int64) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 4
	return os.WriteFile(path, b, 0o600)
}

func TestStores_NoSnapshotReachesTheLog_IsRefused(t *testing.T) {
	path := filled(t, 20, 15)
	d, stores := open(t, path, Identity{Stores: true})
	if err := stores.Log.DeleteRange(1, 10); err != nil {
		t.Fatal(err)
	}
	_ = errors.Join(stores.Close(), d.Close())
	if err := reopen(path); err != nil {
		t.Fatalf("before the damage: %v", err)
	}
	dirs, _ := filepath.Glob(filepath.Join(path, snapshotsDir, "*-15-*"))
	if err := flipByte(filepath.Join(dirs[0], "state.bin"), 40); err != nil {
		t.Fatal(err)
	}
	var c *CorruptError
	if err := reopen(path); !errors.As(err, &c) || !strings.Contains(err.Error(), "the log begins at 11") {
		t.Errorf("damaged: %v", err)
	}
	if err := os.RemoveAll(dirs[0]); err != nil {
		t.Fatal(err)
	}
	if err := reopen(path); !errors.As(err, &c) {
		t.Errorf("snapshot gone: %v", err)
	}
}

// A log that was cleared for a snapshot whose record is not there, or no record, is not that of a server that has nothing.
func TestStores_NoRecordOfTheSnapshotAndNoLog_IsRefused(t *testing.T) {
	for name, damage := range map[string]func(meta string) error{
		"cut":  func(meta string) error { return os.Truncate(meta, 20) },
		"gone": os.Remove,
		"not read": func(meta string) error {
			return errors.Join(os.Remove(meta), os.Mkdir(meta, 0o700))
		},
	} {
		path := filled(t, 20, 15)
		d, stores := open(t, path, Identity{Stores: true})
		if err := stores.Log.DeleteRange(1, 20); err != nil {
			t.Fatal(err)
		}
		_ = errors.Join(stores.Close(), d.Close())
		if err := reopen(path); err != nil {
			t.Fatalf("before the damage: %v", err)
		}
		dirs, _ := filepath.Glob(filepath.Join(path, snapshotsDir, "*-15-*"))
		if err := damage(filepath.Join(dirs[0], metaFile)); err != nil {
			t.Fatal(err)
		}
		var c *CorruptError
		if err := reopen(path); !errors.As(err, &c) {
			t.Errorf("its record is %s: %v", name, err)
		}
	}
}

func TestStores_UnfinishedSnapshot_IsRemoved(t *testing.T) {
	path := filled(t, 3)
	tmp := filepath.Join(path, snapshotsDir, "1-3-99.tmp")
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := reopen(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tmp); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", tmp, err)
	}
}

// hashicorp/raft#661: after a crash between the writes of a vote, the old vote must stand whole.
func TestVoteStore_CrashBetweenTermAndCandidate_LeavesTheOldVote(t *testing.T) {
	path := filepath.Join(t.TempDir(), voteFile)
	vote := func() (uint64, string) {
		s, err := openVoteStore(path, testGuard(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		term, _ := s.GetUint64([]byte(voteTerm))
		cand, _ := s.Get([]byte(voteCand))
		return term, string(cand)
	}
	s, err := openVoteStore(path, testGuard(t))
	if err != nil {
		t.Fatal(err)
	}
	put := func(term uint64, cand string) {
		if err := s.SetUint64([]byte(voteTerm), term); err != nil {
			t.Fatal(err)
		}
		if cand == "" {
			return // crash
		}
		if err := s.Set([]byte(voteCand), []byte(cand)); err != nil {
			t.Fatal(err)
		}
	}
	put(3, "s2")
	put(4, "")
	_ = s.Close()
	if term, cand := vote(); term != 3 || cand != "s2" {
		t.Errorf("after the crash the vote is (%d, %s), want (3, s2)", term, cand)
	}
	if s, err = openVoteStore(path, testGuard(t)); err != nil {
		t.Fatal(err)
	}
	put(4, "s3")
	if err := s.SetUint64([]byte("CurrentTerm"), 9); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if term, cand := vote(); term != 4 || cand != "s3" {
		t.Errorf("the vote is (%d, %s), want (4, s3)", term, cand)
	}
}

func TestVoteStore_UnknownKey_HasTheTextThatRaftCompares(t *testing.T) {
	s, err := openVoteStore(filepath.Join(t.TempDir(), voteFile), testGuard(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Get([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.GetUint64([]byte("x")); err == nil || err.Error() != "not found" {
		t.Errorf("GetUint64: %v", err)
	}
}

// slowStore delays or fails its writes.
type slowStore struct {
	*raft.InmemStore
	delay   time.Duration
	err     error
	deletes []string
}

func (s *slowStore) StoreLogs(l []*raft.Log) error {
	time.Sleep(s.delay)
	if s.err != nil {
		return s.err
	}
	return s.InmemStore.StoreLogs(l)
}

func (s *slowStore) DeleteRange(a, b uint64) error {
	s.deletes = append(s.deletes, fmt.Sprintf("%d-%d", a, b))
	return s.InmemStore.DeleteRange(a, b)
}

func TestGuard_StalledDisk_StopsTheServerOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type stop struct {
			err   error
			after time.Duration
		}
		stops := make(chan stop, 9)
		var begin atomic.Pointer[time.Time]
		g := NewGuard(2*time.Second, func(err error) { stops <- stop{err, time.Since(*begin.Load())} })
		store := &slowStore{InmemStore: raft.NewInmemStore(), delay: 1999 * time.Millisecond}
		l := NewLog(store, func() error { return nil }, "log", g)
		if err := l.StoreLog(&raft.Log{Index: 1}); err != nil || len(stops) != 0 {
			t.Errorf("a slow write: %v, %d stops", err, len(stops))
		}
		now := time.Now()
		begin.Store(&now)
		store.delay = time.Hour
		_ = l.StoreLog(&raft.Log{Index: 2})
		_ = l.StoreLog(&raft.Log{Index: 3})
		if s := <-stops; len(stops) != 0 || !errors.Is(s.err, ErrStalled) || s.after != 2*time.Second {
			t.Errorf("stopped by %v after %v and %d times more, want ErrStalled once after 2s", s.err, s.after, len(stops))
		}
	})
}

func TestGuard_FailingDisk_StopsTheServer(t *testing.T) {
	full := errors.New("no space left on device")
	var stopped []error
	g := NewGuard(time.Minute, func(err error) { stopped = append(stopped, err) })
	store := &slowStore{InmemStore: raft.NewInmemStore(), err: full}
	l := NewLog(store, func() error { return nil }, "log", g)
	if err := l.StoreLog(&raft.Log{Index: 1}); !errors.Is(err, full) {
		t.Errorf("StoreLog: %v", err)
	}
	if len(stopped) != 1 || !errors.Is(stopped[0], full) {
		t.Errorf("stopped by %v", stopped)
	}
}

// A page that the disk does not give while the file is mapped into memory is an error that says so, and the server ends of it: it is no
// crash. The file is cut off here, for which the system has the same signal.
func TestGuard_PageOfAMappedFileIsGone_StopsTheServer(t *testing.T) {
	for name, use := range map[string]func(*Stores) error{
		"an entry is read": func(s *Stores) error { return s.Log.GetLog(1, new(raft.Log)) },
		"the last index is read": func(s *Stores) error {
			_, err := s.Log.LastIndex()
			return err
		},
		"an entry is written":  func(s *Stores) error { return s.Log.StoreLog(&raft.Log{Index: 501, Term: 1}) },
		"entries are deleted":  func(s *Stores) error { return s.Log.DeleteRange(1, 100) },
		"the log is compacted": func(s *Stores) error { return s.Log.DeleteRange(1, 500) },
		"a vote is written":    func(s *Stores) error { return s.Vote.SetUint64([]byte("CurrentTerm"), 2) },
	} {
		path := filled(t, 500)
		var stopped []error
		id := testIdentity
		id.Stores = true
		d, stores, err := tryOpen(path, id, NewGuard(time.Minute, func(err error) { stopped = append(stopped, err) }))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{logFile, voteFile} {
			if err := os.Truncate(filepath.Join(path, file), 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := use(stores); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
		if len(stopped) != 1 || !strings.Contains(stopped[0].Error(), "a page of the file cannot be read: input/output error") {
			t.Errorf("%s: stopped by %v", name, stopped)
		}
		_ = errors.Join(stores.Close(), d.Close())
	}
}

func TestLog_DeleteRange_CutsTheFrontAndNotTheEnd(t *testing.T) {
	store := &slowStore{InmemStore: raft.NewInmemStore()}
	l := NewLog(store, func() error { return nil }, "log", testGuard(t))
	for i := uint64(1); i <= 1000; i++ {
		if err := l.StoreLog(&raft.Log{Index: i}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.DeleteRange(1, 600); err != nil {
		t.Fatal(err)
	}
	if err := l.DeleteRange(700, 1000); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(store.deletes, " "), "1-256 257-512 513-600 700-1000"; got != want {
		t.Errorf("deleted %s, want %s", got, want)
	}
}

func TestLog_OnTail_OnlyWhenTheLogReachedBeyondTheSnapshot(t *testing.T) {
	for _, tt := range []struct {
		last, snapshot uint64
		want           int
	}{{10, 20, 0}, {20, 20, 0}, {21, 20, 1}} {
		l := NewLog(raft.NewInmemStore(), func() error { return nil }, "log", testGuard(t))
		var at atomic.Uint64
		n := 0
		l.OnTail(&at, func() { n++ })
		for i := uint64(1); i <= tt.last; i++ {
			_ = l.StoreLog(&raft.Log{Index: i})
		}
		_ = l.DeleteRange(1, 3) // compaction
		at.Store(tt.snapshot)
		_ = l.DeleteRange(4, tt.last)
		if n != tt.want {
			t.Errorf("log to %d, snapshot at %d: called %d times, want %d", tt.last, tt.snapshot, n, tt.want)
		}
	}
}

// A server that was killed holds its directory for as long as its last write takes; the one that is started in its place waits.
func TestOpenDir_HolderIsGoing_WaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := t.TempDir()
		first, err := OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { _ = first.Close() })
		begin := time.Now()
		second, err := OpenDir(path)
		if took := time.Since(begin); err != nil || took < time.Second || took > lockPatience {
			t.Fatalf("after %v: %v", took, err)
		}
		begin = time.Now()
		if third, err := OpenDir(path); !errors.Is(err, ErrInUse) || time.Since(begin) < lockPatience {
			t.Errorf("after %v: %v, %v", time.Since(begin), third, err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
}
