package scratch

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// tests are a package's.
type tests func() int

func (f tests) Run() int { return f() }

func TestTests_FilesAreInMemory_AndGoneAfterwards(t *testing.T) {
	t.Setenv("TMPDIR", "")
	var dir string
	code := Tests(tests(func() int {
		dir = os.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "left"), nil, 0o600); err != nil {
			t.Error(err)
		}
		return 3
	}))
	if in := InMemory(); code != 3 || in == "" && dir != "/tmp" || in != "" && filepath.Dir(dir) != in {
		t.Errorf("status %d, the files are in %s; memory is %q", code, dir, in)
	}
	if _, err := os.Stat(dir); InMemory() != "" && !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

func TestTests_BenchmarksAndAGivenDirectory_StayOnTheDisk(t *testing.T) {
	given := t.TempDir()
	t.Setenv("TMPDIR", given)
	where := func() (dir string) {
		Tests(tests(func() int { dir = os.TempDir(); return 0 }))
		return dir
	}
	if got := where(); got != given {
		t.Errorf("the files are in %s, want %s", got, given)
	}
	bench := flag.Lookup("test.bench").Value
	before := bench.String()
	if err := bench.Set("X"); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bench.Set(before) }()
	t.Setenv("TMPDIR", "")
	if got := where(); got != "/tmp" {
		t.Errorf("the files of benchmarks are in %s", got)
	}
}
