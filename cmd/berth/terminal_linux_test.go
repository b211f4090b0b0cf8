package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The real command shows it on a real terminal, and nothing in a pipe.
func TestProgress_SnapshotVerify_OnARealTerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "slow.berth")
	writeSnapshot(t, path, 100_000)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	verify := exec.Command(binary, "snapshot", "verify", path)
	var out bytes.Buffer
	verify.Stderr = &out
	if err := verify.Run(); err != nil || out.Len() != 0 {
		t.Errorf("%v, and in the pipe stands %q", err, out.String())
	}

	// Now the file comes slowly, until the terminal shows something.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	master, name := openTerminal(t)
	terminal, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	verify = exec.Command(binary, "snapshot", "verify", path)
	verify.Stderr = terminal
	if err := verify.Start(); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() { // ends when something is shown, or when the terminal is closed
		b := make([]byte, 4096)
		n, _ := master.Read(b)
		shown <- string(b[:n])
	}()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	begin, text := time.Now(), ""
	for text == "" && len(whole) > 1024 && time.Since(begin) < scriptPatience {
		if _, err := file.Write(whole[:1024]); err != nil {
			t.Fatal(err)
		}
		whole = whole[1024:]
		select {
		case text = <-shown:
		case <-time.After(20 * time.Millisecond):
		}
	}
	took := time.Since(begin)
	if _, err := file.Write(whole); err != nil {
		t.Error(err)
	}
	if err := errors.Join(file.Close(), verify.Wait(), terminal.Close()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(text, "reading slow.berth") || took < progressAfter {
		t.Errorf("after %v the terminal shows %q", took, text)
	}
}

// openTerminal makes a terminal, and returns the end that a person sits at, and the name of the other.
func openTerminal(t *testing.T) (master *os.File, name string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return master, "/dev/pts/" + strconv.Itoa(n)
}
