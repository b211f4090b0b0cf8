package procs

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// process is one that runs a shell's words, on this machine.
func process(t *testing.T, script string) *Process {
	t.Helper()
	m := OpenMachine()
	t.Cleanup(m.Close)
	return &Process{Config: Config{Name: "test", Args: []string{"/bin/sh", "-c", script}, Log: filepath.Join(t.TempDir(), "log"), Site: m}}
}

func start(t *testing.T, p *Process) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
}

// state is what the system says of a process: S or R runs, T is stopped.
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "gone"
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return rest[:1]
}

// await waits until a process is in a state.
func await(t *testing.T, pid int, want string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); state(t, pid) != want; {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is %s, want %s", pid, state(t, pid), want)
		}
	}
}

func TestProcess_Lives_StartKillStartStop(t *testing.T) {
	p := process(t, "echo life; exec sleep 60")
	if err := p.Kill(); !errors.Is(err, ErrEnded) {
		t.Errorf("Kill before the start: %v, want ErrEnded", err)
	}
	start(t, p)
	if err := p.Start(); !errors.Is(err, ErrRuns) {
		t.Errorf("Start twice: %v, want ErrRuns", err)
	}
	if err := p.Kill(); err != nil || p.Runs() || p.How() != "signal: killed" {
		t.Errorf("Kill: %v, and it runs: %t (%s)", err, p.Runs(), p.How())
	}
	start(t, p)
	if err := p.Stop(5 * time.Second); err != nil || p.Runs() {
		t.Errorf("Stop: %v, and it runs: %t", err, p.Runs())
	}
	if err := p.Stop(time.Second); err != nil {
		t.Errorf("Stop of one that has ended: %v", err)
	}
}

func TestProcess_Pause_StopsAndResumes(t *testing.T) {
	p := process(t, "exec sleep 60")
	start(t, p)
	if err := p.Pause(); err != nil || !p.Stopped() || !p.Runs() {
		t.Errorf("Pause: %v, stopped: %t, runs: %t", err, p.Stopped(), p.Runs())
	}
	await(t, p.PID(), "T")
	if err := p.Resume(); err != nil || p.Stopped() {
		t.Errorf("Resume: %v, stopped: %t", err, p.Stopped())
	}
	await(t, p.PID(), "S")
	if err := errors.Join(p.Pause(), p.Kill()); err != nil || p.Stopped() {
		t.Errorf("Kill of a stopped one: %v, stopped: %t", err, p.Stopped())
	}
}

func TestProcess_DeafToSIGTERM_IsKilledAndSaidSo(t *testing.T) {
	p := process(t, "trap '' TERM; echo deaf; while :; do sleep 0.05; done")
	start(t, p)
	for deadline := time.Now().Add(5 * time.Second); p.Tail(100) != "deaf" && time.Now().Before(deadline); {
	}
	if err := p.Stop(100 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") || p.Runs() {
		t.Errorf("Stop: %v, and it runs: %t", err, p.Runs())
	}
}

func TestProcess_Crashes_AreFoundInTheLog(t *testing.T) {
	p := process(t, "")
	if found, err := p.Crashes(); err != nil || len(found) != 0 {
		t.Errorf("without a log: %v, %v", found, err)
	}
	text := "all is well\n  panic: in the middle of a line is none\npanic: boom\n\ngoroutine 1\nWARNING: DATA RACE\n"
	if err := os.WriteFile(p.Log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := p.Crashes(); err != nil || len(found) != 2 || found[0] != "panic: boom" {
		t.Errorf("found %q (%v)", found, err)
	}
}

func TestMachine_Closed_ItsProcessesEnd(t *testing.T) {
	m := OpenMachine()
	p := &Process{Config: Config{Name: "test", Args: []string{"/bin/sleep", "60"}, Log: filepath.Join(t.TempDir(), "log"), Site: m}}
	start(t, p)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	m.Close()
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second):
		t.Error("a stopped process outlives its site")
		_ = p.Kill()
	}
	if err := p.Start(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Start on a site that is closed: %v", err)
	}
}
