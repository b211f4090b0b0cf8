// Package scratch makes folders for what a program needs while it runs: what it builds, sockets, disks of servers that it starts. The
// program removes its own when it ends, also when it is interrupted. One that is killed cannot, so the next one that asks for such a
// folder does: each is named for the process that has it.
package scratch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// New makes a folder below dir, empty for the one that there is for such files, whose name begins with a prefix, which has no digits
// and no pattern in it. It is named for the process as well, which removes it when it ends, and New removes those of processes that
// are gone, which were killed before they could.
func New(dir, prefix string) (string, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	old, err := filepath.Glob(filepath.Join(dir, prefix+"-*"))
	if err != nil {
		return "", err
	}
	for _, path := range old {
		var pid, rest int
		if _, err := fmt.Sscanf(filepath.Base(path), prefix+"-%d-%d", &pid, &rest); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(path) // another user's stays
		}
	}
	return os.MkdirTemp(dir, fmt.Sprintf("%s-%d-", prefix, os.Getpid()))
}
