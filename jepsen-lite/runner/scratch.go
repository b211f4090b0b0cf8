package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// newScratch makes a folder below dir for what a run needs beside its own folder: sockets, whose paths must be short. It is named
// for the process, and removes those of processes that are gone, which were killed before they could.
func newScratch(dir string) (string, error) {
	old, err := filepath.Glob(filepath.Join(dir, "berth-fault-*"))
	if err != nil {
		return "", err
	}
	for _, path := range old {
		var pid, rest int
		if _, err := fmt.Sscanf(filepath.Base(path), "berth-fault-%d-%d", &pid, &rest); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(path) // another user's stays
		}
	}
	return os.MkdirTemp(dir, fmt.Sprintf("berth-fault-%d-", os.Getpid()))
}
