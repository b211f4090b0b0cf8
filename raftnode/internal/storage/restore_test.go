package storage

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/seed13d31b7f/berth/snapshot"
)

func restoredView() *snapshot.View {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(1000, 7)
	e.SetCluster(snapshot.Cluster{ID: "C", Generation: 3, EpochBase: 1000})
	return e.Publish()
}

// checkRestored wants a directory that holds what testIdentity and restoredView say.
func checkRestored(t *testing.T, path string) {
	t.Helper()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	id, ok, err := d.LoadIdentity()
	if err != nil || !ok || !id.Stores || id.Server != testIdentity.Server || id.Cluster != testIdentity.Cluster || len(id.Founders) != 1 {
		t.Fatalf("identity %+v, %v, %v", id, ok, err)
	}
	stores, err := d.OpenStores(id, testGuard(t), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	defer stores.Close()
	r, bad := stores.Snapshots.Restored()
	if r == nil || len(bad) != 0 || r.Index != 1000 || r.Term != 7 || r.View.Digest() != restoredView().Digest() {
		t.Fatalf("snapshot %+v, %v", r, bad)
	}
	list, err := stores.Snapshots.List()
	if err != nil || len(list) != 1 || len(list[0].Configuration.Servers) != 1 || string(list[0].Configuration.Servers[0].ID) != testIdentity.Server {
		t.Errorf("snapshots %+v, %v", list, err)
	}
	if term, err := stores.Vote.GetUint64([]byte("CurrentTerm")); term != 7 || err != nil {
		t.Errorf("term %d, %v", term, err)
	}
	if last, err := stores.Log.LastIndex(); last != 0 || err != nil {
		t.Errorf("the log ends at %d, %v", last, err)
	}
}

func TestRestore_MakesADirectory(t *testing.T) {
	for _, path := range []string{t.TempDir(), filepath.Join(t.TempDir(), "not", "there")} {
		if err := Restore(path, testIdentity, restoredView(), Progress{}); err != nil {
			t.Fatal(err)
		}
		checkRestored(t, path)
		if err := Restore(path, testIdentity, restoredView(), Progress{}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("restored again: %v, want ErrNotEmpty", err)
		}
		checkRestored(t, path)
	}
}

// Whatever a crash left is refused as a data directory, and can be restored into again.
func TestRestore_Unfinished_IsRefusedAndMadeAgain(t *testing.T) {
	for _, missing := range [][]string{
		{}, {identityFile}, {identityFile, snapshotsDir}, {identityFile, snapshotsDir, voteFile}, {identityFile, snapshotsDir, voteFile, logFile},
	} {
		path := t.TempDir()
		if err := Restore(path, testIdentity, restoredView(), Progress{}); err != nil {
			t.Fatal(err)
		}
		for _, name := range missing {
			if err := os.RemoveAll(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{restoringFile, identityFile + ".tmp"} {
			if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := reopen(path); !errors.Is(err, ErrUnfinished) {
			t.Errorf("without %v: opened with %v, want ErrUnfinished", missing, err)
		}
		if err := Restore(path, testIdentity, restoredView(), Progress{}); err != nil {
			t.Errorf("without %v: restored again: %v", missing, err)
		}
		checkRestored(t, path)
	}
}

// A restore that was ended while it wrote that it begins has begun: a server must not form a cluster of its own there.
func TestRestore_EndedAsItBegins_IsRefusedAndMadeAgain(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, restoringFile+".tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reopen(path); !errors.Is(err, ErrUnfinished) {
		t.Errorf("opened with %v, want ErrUnfinished", err)
	}
	if err := Restore(path, testIdentity, restoredView(), Progress{}); err != nil {
		t.Errorf("restored again: %v", err)
	}
	checkRestored(t, path)
}

func TestRestore_DirectoryWithAnythingInIt_IsRefused(t *testing.T) {
	for _, name := range []string{"notes.txt", identityFile, logFile, restoringFile + "x"} {
		path := t.TempDir()
		if err := os.WriteFile(filepath.Join(path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Restore(path, testIdentity, restoredView(), Progress{}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: %v, want ErrNotEmpty", name, err)
		}
		if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
			t.Errorf("%s: the directory has %v, %v", name, entries, err)
		}
	}
	// A restore that was not finished is no leave to delete what it did not make.
	path := t.TempDir()
	for _, name := range []string{restoringFile, "notes.txt"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Restore(path, testIdentity, restoredView(), Progress{}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("%v, want ErrNotEmpty", err)
	}
	// Just begun: nothing is there but the mark that was being written.
	path = t.TempDir()
	if err := os.WriteFile(filepath.Join(path, restoringFile+".tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Restore(path, testIdentity, restoredView(), Progress{}); err != nil {
		t.Error(err)
	}
	checkRestored(t, path)
}

func TestRestore_InUse_IsRefused(t *testing.T) {
	path := t.TempDir()
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := Restore(path, testIdentity, restoredView(), Progress{}); !errors.Is(err, ErrInUse) {
		t.Errorf("%v, want ErrInUse", err)
	}
}
