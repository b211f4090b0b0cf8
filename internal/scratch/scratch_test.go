package scratch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestNew_OwnerGone_IsRemoved(t *testing.T) {
	dir := t.TempDir()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, fmt.Sprintf("berth-fault-%d-1", gone.Process.Pid))
	living := filepath.Join(dir, fmt.Sprintf("berth-fault-%d-1", os.Getppid()))
	other := filepath.Join(dir, "berth-fault-else")
	for _, path := range []string{dead, living, other} {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	mine, err := New(dir, "berth-fault")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path  string
		there bool
	}{{dead, false}, {living, true}, {other, true}, {mine, true}} {
		if _, err := os.Stat(x.path); (err == nil) != x.there {
			t.Errorf("%s is there: %t, want %t", x.path, err == nil, x.there)
		}
	}
}
