package mutants

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

const raftModule = "github.com/hashicorp/raft"

// raftDir is where the go command keeps the source of hashicorp/raft.
func raftDir(root string) (string, error) {
	c := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", raftModule)
	c.Dir = root
	out, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// raftFiles are the files of hashicorp/raft that the fault changes. They cannot be built from an overlay: Go refuses that for files
// of other modules.
func (m *Mutant) raftFiles(source string) (overlay.Files, error) {
	var files overlay.Files
	for _, p := range m.raft {
		if err := files.Patch(filepath.Join(source, p.file), p.text, p.with); err != nil {
			return files, err
		}
	}
	return files, nil
}

// replaceRaft puts a copy of hashicorp/raft that has the fault into dir, and beside it a go.mod of the module in root that takes
// the copy. It returns the path of that go.mod, for -modfile; the module's own stays as it is.
func (m *Mutant) replaceRaft(root, dir string) (string, error) {
	source, err := raftDir(root)
	if err != nil {
		return "", err
	}
	files, err := m.raftFiles(source)
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "raft")
	if err := os.CopyFS(to, os.DirFS(source)); err != nil {
		return "", err
	}
	for _, p := range m.raft {
		path := filepath.Join(to, p.file)
		if err := os.Remove(path); err != nil { // the copy may not be written to, as the source
			return "", err
		}
		if err := os.WriteFile(path, []byte(files.Contents(filepath.Join(source, p.file))), 0o600); err != nil {
			return "", err
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			return "", err
		}
		if name == "go.mod" {
			b = fmt.Appendf(b, "\nreplace %s => %s\n", raftModule, to)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "go.mod"), nil
}
