package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// writeSnapshot makes a snapshot file with so many placements.
func writeSnapshot(t *testing.T, path string, n int) {
	t.Helper()
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(uint64(n), 3)
	e.SetCluster(snapshot.Cluster{ID: "old", Seed: 1, FeatureLevel: 1, MaxMemberTTL: 1})
	if err := e.AddKind("cart"); err != nil {
		t.Fatal(err)
	}
	m := &placement.Member{ID: "m1", Incarnation: 1, Address: "h:1", Kinds: []string{"cart"}, State: placement.MemberLive}
	m.Normalize()
	e.Join(m)
	for i := range n {
		e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprintf("%d-%016x", i, uint64(i)*0x9e3779b97f4a7c15)})
		e.Put(placement.Entry{Phase: placement.Settled, Owner: 1, Epoch: placement.Epoch(i + 1)})
	}
	var b bytes.Buffer
	if err := e.Publish().Encode(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A restore that is killed, whenever that is, leaves nothing that a server would take for a restored state, or the whole of
// it; and it can be done again.
func TestRestore_Killed_NothingOrTheWhole(t *testing.T) {
	const placed = 100_000
	file := filepath.Join(t.TempDir(), "state.berth")
	writeSnapshot(t, file, placed)
	restore := func(dir string) *exec.Cmd {
		return exec.Command(binary, "snapshot", "restore", file, "--name", "s1", "--data-dir", dir)
	}
	begin := time.Now()
	if out, err := restore(filepath.Join(t.TempDir(), "data")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole := time.Since(begin)
	outcomes := map[string]int{}
	// The moment of the kill is what is tried, so it is a time: nearer to the end while that is not reached, and further from
	// it when it is.
	delay := whole / 2
	for try := 0; outcomes["refused"] < underrace.Rounds(4, 1) || outcomes["whole"] < underrace.Rounds(2, 1); try++ {
		if try == 100 {
			t.Fatalf("of 100 kills %v: none was in the middle, or none at the end", outcomes)
		}
		dir := filepath.Join(t.TempDir(), "data")
		c := restore(dir)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(delay)
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
		what := leftBehind(t, dir, placed)
		if outcomes[what]++; what == "whole" {
			delay = delay * 9 / 10
			continue
		}
		delay = delay * 11 / 10
		if out, err := restore(dir).CombinedOutput(); err != nil {
			t.Fatalf("killed after %v, %s was left; again: %v\n%s", delay, what, err, out)
		}
		if outcomes[what] > 1 {
			continue
		}
		if what := leftBehind(t, dir, placed); what != "whole" {
			t.Fatalf("restored again, %s is there", what)
		}
	}
	t.Logf("a restore takes %v; killed: %v", whole, outcomes)
}

// leftBehind says what is in a directory: nothing, what a server refuses, or the whole state, which it then serves.
func leftBehind(t *testing.T, dir string, placed int) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if len(entries) == 0 || len(entries) == 1 && entries[0].Name() == "LOCK" {
		return "nothing"
	}
	address := freeport.Address(t)
	var log bytes.Buffer
	server := exec.Command(binary, "serve", "--name", "s1", "--data-dir", dir, "--raft-addr", "127.0.0.1:0", "--grpc-addr", address, "--http-addr", "127.0.0.1:0", "--member-ttl", "1s")
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	for deadline := time.Now().Add(scriptPatience); ; {
		select {
		case <-ended:
			if !strings.Contains(log.String(), "was not finished") || !strings.Contains(log.String(), "berth snapshot restore") {
				t.Fatalf("the server ended with\n%s", log.String())
			}
			return "refused"
		case <-time.After(50 * time.Millisecond):
		}
		out, err := exec.Command(binary, "status", "--server", address, "--timeout", "1s", "-o", "json").Output()
		var status struct{ Settled string }
		if err == nil && json.Unmarshal(out, &status) == nil {
			_ = server.Process.Signal(syscall.SIGTERM)
			<-ended
			if status.Settled != fmt.Sprint(placed) {
				t.Fatalf("the server has %s placements, want %d or none", status.Settled, placed)
			}
			return "whole"
		}
		if time.Now().After(deadline) {
			_ = server.Process.Kill()
			<-ended
			t.Fatalf("neither refused nor serving:\n%s", log.String())
		}
	}
}
