package clockskew

import (
	"bytes"
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// A leader whose clock jumps ahead was suspended, as far as it can know, and members' leases have ended: this is the clock
// that berth counts leases by. One whose clock is a tenth faster, which is within the bound, takes nothing from anybody.
func TestBerth_LeaderJumpsAhead_MembersJoinAgain(t *testing.T) {
	dir := t.TempDir()
	binary, socket := filepath.Join(dir, "berth"), filepath.Join(dir, "clock")
	must(t, Build(t.Context(), Config{Root: "../..", Package: "cmd/berth", Output: binary}))
	address := freeport.Address(t)
	var log bytes.Buffer
	server := exec.Command(binary, "serve", "--name", "s1", "--data-dir", filepath.Join(dir, "s1"), "--raft-addr", "127.0.0.1:0",
		"--grpc-addr", address, "--http-addr", "127.0.0.1:0", "--member-ttl", "10m")
	server.Stderr = &log
	server.Env = append(server.Environ(), Env(socket, Clock{RatePPM: 100_000})...)
	must(t, server.Start())
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("the server says\n%s", log.String())
		}
	})
	client, err := lookupclient.Open(lookupclient.Config{Servers: []string{address}})
	must(t, err)
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	m, err := client.Join(ctx, lookupclient.MemberConfig{Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}})
	must(t, err)
	defer m.Close()
	before := m.State().Incarnation
	id := placement.Identity{Kind: "cart", Key: "1"}
	placed, _, err := client.Place(ctx, id)
	must(t, err)
	time.Sleep(time.Second)
	if got, err := client.Lookup(ctx, id); err != nil || got.Epoch != placed.Epoch || m.State().Incarnation != before {
		t.Errorf("by a fast clock: %+v, %v; was %+v", got, err, placed)
	}
	must(t, Set(socket, Clock{Step: time.Hour}))
	for m.State().Incarnation == before || m.State().Incarnation == 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the member goes on")
		}
	}
	again, _, err := client.Place(ctx, id)
	if err != nil || again.Epoch <= placed.Epoch {
		t.Errorf("placed again: %+v, %v; was %+v", again, err, placed)
	}
}
