package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// disk is a file system in memory of that size. It needs root, and fails without.
func disk(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "berth-disk-") // short: there will be sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := unix.Mount("berth-test", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatalf("this test mounts a file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// onDisk has one of a run's two folders be on a disk of that size.
func onDisk(t *testing.T, c *Config, use, size string) (dir string) {
	t.Helper()
	dir = disk(t, size)
	if use == storeUse {
		c.Root = dir
		return dir
	}
	c.Root = filepath.Join(t.TempDir(), "runs")
	t.Setenv("TMPDIR", dir)
	return dir
}

// names are the names in some folders, which need not be there.
func names(t *testing.T, dirs ...string) (all []string) {
	t.Helper()
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		list, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range list {
			all = append(all, e.Name())
		}
	}
	return all
}

// says looks at the error of a run without room.
func says(t *testing.T, err error, dir, use, next string) {
	t.Helper()
	var space *SpaceError
	if !errors.As(err, &space) || space.Path != dir || space.Use != use || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), next) {
		t.Errorf("Run: %v; want a SpaceError of %s that says %s", err, dir, next)
	}
}

func TestRun_NoRoomToBegin_SaysSoAndLeavesNothing(t *testing.T) {
	for use, next := range map[string]string{storeUse: "--store", scratchUse: "TMPDIR"} {
		t.Run(use, func(t *testing.T) {
			c := short(t)
			dir := onDisk(t, &c, use, "1m")
			_, err := Run(t.Context(), c)
			says(t, err, dir, use, next)
			if left := names(t, dir, c.Root); len(left) > 0 {
				t.Errorf("it left %v", left)
			}
		})
	}
}

// A folder that cannot be made is told as what the machine has not.
func TestRun_FolderCannotBeMade_CannotBeRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		for use, name := range map[string]func(*testing.T, *Config){
			storeUse: func(_ *testing.T, c *Config) { c.Root = path }, scratchUse: func(t *testing.T, _ *Config) { t.Setenv("TMPDIR", path) },
		} {
			t.Run(use, func(t *testing.T) {
				c := Config{Scenario: Scenarios()[0], Root: t.TempDir(), Binary: "berth"}
				name(t, &c)
				_, err := Run(t.Context(), c)
				var missing *UnavailableError
				if !errors.As(err, &missing) || !strings.Contains(err.Error(), path) {
					t.Errorf("%s is %s: %v, want an UnavailableError that names it", use, path, err)
				}
				if c.Root != path && len(names(t, c.Root)) > 0 {
					t.Errorf("it left %v", names(t, c.Root))
				}
			})
		}
	}
}

func TestRun_RoomRunsOut_IsBrokenOffAndRemoved(t *testing.T) {
	for use, next := range map[string]string{storeUse: "--store", scratchUse: "TMPDIR"} {
		t.Run(use, func(t *testing.T) {
			c := short(t)
			c.Duration = time.Minute
			dir := onDisk(t, &c, use, "160m")
			c.Note = func(format string, args ...any) {
				t.Logf(format, args...)
				if strings.HasPrefix(format, "steady") {
					fill(t, filepath.Join(dir, "filler"))
				}
			}
			begin := time.Now()
			report, err := Run(t.Context(), c)
			says(t, err, dir, use, next)
			if took := time.Since(begin); took > 40*time.Second {
				t.Errorf("it was broken off after %v", took)
			}
			if left := names(t, dir, c.Root); len(left) != 1 || left[0] != "filler" || report == nil || report.Dir.Path() != "" {
				t.Errorf("it left %v, and says %+v", left, report)
			}
			if left, err := exec.Command("pgrep", "-f", c.Binary+" ").Output(); err == nil {
				t.Errorf("these run on: %s", left)
			}
		})
	}
}

// fill writes a file until its disk is full.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	for block := make([]byte, 1<<20); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// A process that ended in order without the end of its history is an error of the run; one that was killed is none.
func TestCluster_HistoryWithoutEnd_IsSaid(t *testing.T) {
	m := procs.OpenMachine()
	defer m.Close()
	for script, cut := range map[string]bool{"exit 0": true, "kill -9 $$": false} {
		dir := t.TempDir()
		p := &procs.Process{Config: procs.Config{Name: "m1", Args: []string{"/bin/sh", "-c", script}, Log: filepath.Join(dir, "stdout.log"), Site: m}}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		f, err := workload.NewFile(dir, "m1", history.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Recorder.Close(); err != nil { // without an end
			t.Fatal(err)
		}
		k := &cluster{members: []*worker{{Process: p, kind: "member"}}}
		if err := k.whole(); (err != nil) != cut || cut && !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// A member that cannot write what it sees ends at once, in a way that is seen: its history has no end.
func TestMember_HistoryCannotBeWritten_EndsAndItIsSeen(t *testing.T) {
	binary, err := berth()
	if err != nil {
		t.Fatal(err)
	}
	m := procs.OpenMachine()
	defer m.Close()
	ports, err := freeport.Take(portsEach)
	if err != nil {
		t.Fatal(err)
	}
	defer ports.Close()
	logs, dir := t.TempDir(), disk(t, "8k")
	at := func(i int) string { return net.JoinHostPort("127.0.0.1", fmt.Sprint(ports.First+i)) }
	process := func(name string, args ...string) *procs.Process {
		p := &procs.Process{Config: procs.Config{Name: name, Args: append([]string{binary}, args...), Log: filepath.Join(logs, name), Site: m}}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Stop(stopPatience) })
		return p
	}
	process("s1", "serve", "--name", "s1", "--data-dir", t.TempDir(), "--grpc-addr", at(0), "--raft-addr", at(1), "--http-addr", at(2), "--expect", "1", "--insecure")
	member := process("m1", "fault", "member", "--name", "m1", "--resource", filepath.Join(logs, "nothing"), "--dir", dir, "--start", fmt.Sprint(history.Now()), "--kinds", identityKind, "--servers", at(0))
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{at(0)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for i := 0; ctx.Err() == nil && member.Runs(); i++ {
		_, _, _ = client.Place(ctx, placement.Identity{Kind: identityKind, Key: fmt.Sprint(i % 20)})
	}
	if member.Runs() || member.How() == "exit status 0" || !strings.Contains(member.Tail(400), "no space left") {
		t.Errorf("it runs: %t, it ended with %q: %s", member.Runs(), member.How(), member.Tail(400))
	}
	if whole, err := workload.Whole(dir); err != nil || whole {
		t.Errorf("its history is whole: %t (%v)", whole, err)
	}
}
