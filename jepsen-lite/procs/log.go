package procs

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
)

// readTail reads the last bytes of a file.
func readTail(path string, bytes int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > bytes {
		if _, err := f.Seek(-bytes, io.SeekEnd); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(f)
}

// crashes are how lines begin that a Go program writes when it breaks.
var crashes = []string{"panic: ", "fatal error: ", "WARNING: DATA RACE", "unexpected fault address", "SIGSEGV", "SIGBUS"}

// Crashes returns the lines of the log that say that the program is broken: panics, data races, faults of memory. There is
// none in the log of one that was killed.
func (p *Process) Crashes() ([]string, error) {
	f, err := os.Open(p.Log)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var found []string
	for r := bufio.NewReader(f); ; {
		line, err := r.ReadString('\n')
		for _, c := range crashes {
			if strings.HasPrefix(line, c) {
				found = append(found, strings.TrimSpace(line))
			}
		}
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}
