// Package overlay makes builds that differ from what is in the tree, for go build -overlay: of this module, for faults that
// are built in on purpose, or of Go itself, for clocks and for the order in which goroutines run. Nothing in the tree or in
// Go's own directory is touched.
//
//	var f overlay.Files
//	err := f.Patch("raftnode/internal/storage/log.go", "BoltOptions: boltOptions()", "BoltOptions: boltOptions(), NoSync: true")
//	path, err := f.Write(dir) // for go build -overlay path
//
// A patch names the text that it replaces, which must be there exactly once: when the file has changed, the build fails
// loudly, with a *PatternError, instead of testing nothing. Files of other modules cannot be replaced; Go refuses that.
package overlay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Files are what a build has in the place of files that are there, or beside them. The zero value is none.
type Files struct {
	contents map[string]string // by absolute path
}

// PatternError is a text that was to be replaced, and is not in the file exactly once.
type PatternError struct {
	File, Pattern string
	// Found is how often it is there.
	Found int
}

// Error has all three.
func (e *PatternError) Error() string {
	return fmt.Sprintf("overlay: %s has %q %d times, want once: it has changed, and the patch must be changed with it", e.File, e.Pattern, e.Found)
}

// Patch replaces a text that is in a file exactly once. A file may be patched more than once.
func (f *Files) Patch(path, pattern, text string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	have, ok := f.contents[path]
	if !ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		have = string(b)
	}
	if n := strings.Count(have, pattern); n != 1 {
		return &PatternError{File: path, Pattern: pattern, Found: n}
	}
	f.set(path, strings.Replace(have, pattern, text, 1))
	return nil
}

// Contents is what a file has in the build, empty for one that is as it is. path is as it was given to Patch or Add.
func (f *Files) Contents(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	return f.contents[path]
}

// Add adds a file, which must not be there.
func (f *Files) Add(path, contents string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || f.contents[path] != "" {
		return fmt.Errorf("overlay: add %s: %w", path, fs.ErrExist)
	}
	f.set(path, contents)
	return nil
}

func (f *Files) set(path, contents string) {
	if f.contents == nil {
		f.contents = map[string]string{}
	}
	f.contents[path] = contents
}

// Write writes the files into a directory, which is made when it is not there, and returns the path of what is given to
// go build -overlay.
func (f *Files) Write(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	replace := map[string]string{}
	for i, path := range slices.Sorted(maps.Keys(f.contents)) {
		to := filepath.Join(dir, fmt.Sprintf("%d-%s", i, filepath.Base(path)))
		if err := os.WriteFile(to, []byte(f.contents[path]), 0o600); err != nil {
			return "", fmt.Errorf("overlay: %w", err)
		}
		replace[path] = to
	}
	b, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		return "", fmt.Errorf("overlay: %w", err)
	}
	return to, nil
}

// Runtime is the directory of Go's own package runtime, of the go command that is found first.
func Runtime() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("overlay: go env: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src", "runtime"), nil
}
