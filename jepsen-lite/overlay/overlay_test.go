package overlay

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFiles_BuildHasThem_AndTheTreeDoesNot(t *testing.T) {
	dir := t.TempDir()
	main := filepath.Join(dir, "main.go")
	const source = "package main\n\nfunc main() { print(\"one\") }\n"
	must(t, os.WriteFile(main, []byte(source), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\n"), 0o600))
	var f Files
	must(t, f.Patch(main, `"one"`, "two()"))
	must(t, f.Patch(main, "two()", "two(), three"))
	must(t, f.Add(filepath.Join(dir, "two.go"), "package main\n\nconst three = 3\n\nfunc two() string { return \"two\" }\n"))
	path, err := f.Write(filepath.Join(dir, "overlay"))
	must(t, err)
	c := exec.Command("go", "run", "-overlay", path, ".")
	c.Dir = dir
	if out, err := c.CombinedOutput(); string(out) != "two3" || err != nil {
		t.Errorf("%s, %v", out, err)
	}
	if b, err := os.ReadFile(main); string(b) != source || err != nil {
		t.Errorf("the source is %s, %v", b, err)
	}
}

func TestFiles_PatternIsNotThereOnce_IsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	must(t, os.WriteFile(path, []byte("a b a"), 0o600))
	for pattern, found := range map[string]int{"a": 2, "c": 0} {
		var f Files
		var e *PatternError
		if err := f.Patch(path, pattern, "x"); !errors.As(err, &e) || e.Found != found || e.File != path {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	var f Files
	if err := f.Patch(path+"x", "a", "b"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if err := f.Add(path, "x"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
}
