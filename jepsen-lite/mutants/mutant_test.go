package mutants

import (
	"path/filepath"
	"testing"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

// What is patched must be there: who changes it changes the mutant with it.
func TestAll_Patches_FitTheTree(t *testing.T) {
	names := map[string]bool{}
	for _, m := range All() {
		var files overlay.Files
		for _, p := range m.patches {
			if err := files.Patch(filepath.Join("../..", p.file), p.text, p.with); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
		source, err := raftDir("../..")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.raftFiles(source); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if len(m.patches)+len(m.raft) == 0 || len(m.Checkers) == 0 || (m.Package == "") != (m.Test == "") || m.About == "" || names[m.Name] {
			t.Errorf("%s says too little, or something that another one says", m.Name)
		}
		names[m.Name] = true
	}
}
