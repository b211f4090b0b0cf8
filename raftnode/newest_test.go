package raftnode_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// twoSnapshots is the data directory of a cluster of one server, s1, with n placements and two snapshots, one after a third
// of them and one after two thirds.
func twoSnapshots(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	site(t, 1, func(c *raftnode.Config) { c.DataDir = dir }, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		for i := range n {
			if _, _, err := client.Place(context.Background(), file(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			if i == n/3 || i == 2*n/3 {
				if err := c.Servers[0].Node.Group().TakeSnapshot(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the library names snapshots by the millisecond
			}
		}
	})
	return dir
}

// stores opens what Raft has in a directory.
func stores(t *testing.T, dir string) (*storage.Stores, func()) {
	t.Helper()
	d, err := storage.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.OpenStores(storage.Identity{Stores: true}, storage.NewGuard(time.Minute, func(err error) { t.Error(err) }), hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	return s, func() {
		if err := errors.Join(s.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// ofANewerVersion puts a snapshot on top that a newer version wrote, whole and sealed.
func ofANewerVersion(t *testing.T, dir, newest string) {
	t.Helper()
	state, err := os.ReadFile(filepath.Join(newest, "state.bin"))
	if err != nil {
		t.Fatal(err)
	}
	state[8]++ // the number of the format, behind the magic
	s, done := stores(t, dir)
	defer done()
	list, err := s.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	last, err := s.Log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	_, transport := raft.NewInmemTransport("s1")
	defer transport.Close()
	sink, err := s.Snapshots.Create(list[0].Version, last, list[0].Term, list[0].Configuration, list[0].ConfigurationIndex, transport)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bytes.NewReader(state).WriteTo(sink); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// forget takes the beginning of the log away, up to the newest snapshot.
func forget(t *testing.T, dir string) {
	t.Helper()
	s, done := stores(t, dir)
	defer done()
	list, err := s.Snapshots.List()
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Log.DeleteRange(first, list[0].Index); err != nil {
		t.Fatal(err)
	}
}

// When the newest snapshot is bad, whatever it is that is bad, an older one and the log have everything; and when the log
// does not reach back, the server refuses and says what to do.
func TestDisk_NewestSnapshotBad_OlderOneAndLogOrARefusal(t *testing.T) {
	const placed = 9
	whole := twoSnapshots(t, placed)
	found, err := filepath.Glob(filepath.Join(whole, "snapshots", "*-*-*"))
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v: want two snapshots", found, err)
	}
	newest := func(dir string) string { return filepath.Join(dir, "snapshots", filepath.Base(found[1])) }
	truncate := func(name string, part int64) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(newest(dir), name)
			info, err := os.Stat(path)
			if err == nil {
				err = os.Truncate(path, info.Size()*part/3)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(newest(dir), name)
			b, err := os.ReadFile(path)
			if err == nil {
				b[len(b)/2] ^= 4
				err = os.WriteFile(path, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		says   string // what the refusal says to do, when the log does not reach back
	}{
		{"empty", truncate("state.bin", 0), "empty --data-dir"},
		{"cut", truncate("state.bin", 2), "empty --data-dir"},
		{"flipped", flip("state.bin"), "empty --data-dir"},
		{"record cut", truncate("meta.json", 2), "empty --data-dir"},
		{"record flipped", flip("meta.json"), "empty --data-dir"},
		{"seal flipped", flip("meta.crc"), "empty --data-dir"},
		{"of a newer version", func(t *testing.T, dir string) { ofANewerVersion(t, dir, newest(dir)) }, "the version of berth that wrote"},
	} {
		dir := copyDir(t, whole)
		tt.damage(t, dir)
		if err := startDamaged(t, tt.name, dir, placed); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}

		dir = copyDir(t, whole)
		forget(t, dir)
		if err := startDamaged(t, tt.name+", before", dir, placed); err != nil {
			t.Fatalf("%s: before the damage: %v", tt.name, err)
		}
		tt.damage(t, dir)
		if tt.says != "empty --data-dir" { // it needs a whole snapshot to be made of: that one goes now
			for _, b := range found {
				if err := os.RemoveAll(filepath.Join(dir, "snapshots", filepath.Base(b))); err != nil {
					t.Fatal(err)
				}
			}
		}
		err := startDamaged(t, tt.name, dir, placed)
		var r *raftnode.RefusedError
		if !errors.As(err, &r) || !strings.Contains(r.Next, tt.says) || !strings.Contains(err.Error(), "no whole snapshot reaches it") {
			t.Errorf("%s, with a log that does not reach back: %v, want a refusal that says %q", tt.name, err, tt.says)
		}
	}
}
