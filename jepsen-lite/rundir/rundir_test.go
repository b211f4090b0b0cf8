package rundir

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestCreate_TwiceInOneSecond_TwoFolders(t *testing.T) {
	root := t.TempDir()
	a, err := Create(root, "partition", 42, noon)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Create(root, "partition", 42, noon)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(root, "partition", "20261121T120000Z-seed42"); a.Path() != want || b.Path() != want+"-2" {
		t.Errorf("the runs are in %s and %s, want %s and -2", a.Path(), b.Path(), want)
	}
	latest, err := filepath.EvalSymlinks(filepath.Join(root, "latest"))
	if real, _ := filepath.EvalSymlinks(b.Path()); err != nil || latest != real {
		t.Errorf("latest is %s, %v, want %s", latest, err, real)
	}
}

func TestRemove_Run_NothingIsLeftOfIt(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "a", "b")
	first, err := Create(root, "partition", 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Create(root, "partition", 2, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Remove(); err != nil {
		t.Error(err)
	}
	if latest, err := filepath.EvalSymlinks(filepath.Join(root, "latest")); err != nil || filepath.Base(latest) != filepath.Base(second.Path()) {
		t.Errorf("without the first one, latest is %s (%v)", latest, err)
	}
	if err := second.Remove(); err != nil {
		t.Error(err)
	}
	// The second found the folders there, so they stay; a run that is alone takes its own with it.
	if list, err := os.ReadDir(root); err != nil || len(list) != 1 || list[0].Name() != "partition" {
		t.Errorf("in the root there are %v (%v), want the folder of the scenario", list, err)
	}
	alone, err := Create(filepath.Join(base, "c", "d"), "partition", 3, noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := alone.Remove(); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(base); err != nil || len(list) != 1 {
		t.Errorf("there are %v (%v), want a alone", list, err)
	}
}

func TestOpen_NoHistory_ErrNoRun(t *testing.T) {
	d, err := Create(t.TempDir(), "partition", 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(d.Path()); !errors.Is(err, ErrNoRun) {
		t.Errorf("open: %v, want ErrNoRun", err)
	}
	if err := WriteFile(d.History(), []byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(d.Path()); err != nil {
		t.Errorf("open: %v", err)
	}
}

func TestDir_NameThatLeavesTheFolder_Refused(t *testing.T) {
	d, err := Create(t.TempDir(), "partition", 1, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../s1", "a/b", ".hidden", "a\x00b"} {
		if path, err := d.Server(name); err == nil {
			t.Errorf("server %q is in %s", name, path)
		}
		if _, err := Create(t.TempDir(), name, 1, noon); err == nil {
			t.Errorf("there is a run of the scenario %q", name)
		}
	}
	path, err := d.Member("m-1.example")
	if fi, statErr := os.Stat(path); err != nil || statErr != nil || !fi.IsDir() {
		t.Errorf("member: %s, %v, %v", path, err, statErr)
	}
}

func TestWriteJSON_CannotBeMade_LeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := WriteJSON(filepath.Join(dir, "x.json"), func() {}); err == nil {
		t.Error("a function was written as JSON")
	}
	target := filepath.Join(dir, "taken")
	if err := os.Mkdir(target, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteJSON(target, 1); err == nil {
		t.Error("a folder was written over")
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 {
		t.Errorf("there are %v, %v, want the folder alone", list, err)
	}
}
