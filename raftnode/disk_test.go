package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

func TestDisk_MissingDataDir_IsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "lib", "berth")
	bubble(t, 1, func(c *raftnode.Config) { c.DataDir = dir }, func(t *testing.T, c *raftnodetest.Cluster) {
		c.Leader(nil)
		fi, err := os.Stat(dir)
		if err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("the directory: %v, %v; want one that nobody else can read", fi.Mode(), err)
		}
	})
}

func TestDisk_UnusableDataDir_IsRefused(t *testing.T) {
	temp := t.TempDir()
	file := filepath.Join(temp, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	inTheWay := func(name string) string {
		dir := filepath.Join(temp, "with-"+name)
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dirs := map[string]string{
		"a file":                  file,
		"below a file":            filepath.Join(file, "data"),
		"with a NUL":              filepath.Join(temp, "a\x00b"),
		"too long":                filepath.Join(temp, strings.Repeat("x", 300)),
		"the lock in the way":     inTheWay("LOCK"),
		"the identity in the way": inTheWay("server.json"),
	}
	if runtime.GOOS == "linux" { // where not even root can write
		dirs["in the kernel's files"] = "/proc/self/berth"
		dirs["in the devices' files"] = "/sys/berth"
	}
	for name, dir := range dirs {
		synctest.Test(t, func(t *testing.T) {
			c := raftnodetest.NewCluster(t, 0, nil)
			defer c.Close()
			s := c.Add("s1")
			s.Dir = dir
			err := s.TryStart()
			var r *raftnode.RefusedError
			if !errors.Is(err, raftnode.ErrDataDir) || !errors.As(err, &r) || !strings.Contains(r.Next, "--data-dir") || !strings.Contains(r.Next, dir) {
				t.Errorf("%s: %v, want ErrDataDir and what to do", name, err)
			}
		})
	}
}

func TestDisk_StoreInTheWay_IsRefused(t *testing.T) {
	for _, name := range []string{"log.db", "vote.db", "snapshots"} {
		synctest.Test(t, func(t *testing.T) {
			c := raftnodetest.NewCluster(t, 0, nil)
			defer c.Close()
			s := c.Add("s1")
			var err error
			if path := filepath.Join(s.Dir, name); name == "snapshots" {
				err = os.WriteFile(path, nil, 0o600)
			} else {
				err = os.Mkdir(path, 0o700)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.TryStart(); err != nil {
				var r *raftnode.RefusedError
				if !errors.Is(err, raftnode.ErrDataDir) || !errors.As(err, &r) || r.Next == "" {
					t.Errorf("%s: %v", name, err)
				}
				return
			}
			refusal(t, s, raftnode.ErrDataDir, "--data-dir")
		})
	}
}

// copyDir copies the files of a data directory.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// filledDir is the data directory of a cluster of one server, s1, with n placements, which are acknowledged.
func filledDir(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	site(t, 1, func(c *raftnode.Config) { c.DataDir = dir }, func(t *testing.T, _ *raftnodetest.Cluster, client *lookupclient.Client) {
		for i := range n {
			if _, _, err := client.Place(context.Background(), file(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
	})
	return dir
}

// startDamaged starts the server of a directory. Either it refuses to, with what to do, or everything that was
// acknowledged is there; it returns the refusal.
func startDamaged(t *testing.T, what, dir string, n int) (refused error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, 0, nil)
		defer c.Close()
		s := c.Add("s1")
		s.Dir = dir
		refused = s.TryStart()
		for begin := time.Now(); refused == nil; time.Sleep(10 * time.Millisecond) {
			select {
			case <-s.Node.Done():
				refused = s.Node.Wait()
				continue
			default:
			}
			if s.Node.Leads() {
				break
			}
			if time.Since(begin) > time.Minute {
				t.Errorf("%s: neither refused nor leading after a minute", what)
				return
			}
		}
		if refused != nil {
			var r *raftnode.RefusedError
			if !errors.Is(refused, raftnode.ErrDataDir) || !errors.As(refused, &r) || !strings.Contains(r.Next, dir) {
				t.Errorf("%s: %v, want a refusal that says what to do", what, refused)
			}
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		resp, err := apiv1.NewPlacementsClient(c.Dial("client", s)).List(ctx, &apiv1.ListRequest{Phase: apiv1.Placement_SETTLED, PageSize: 1000})
		if err != nil || len(resp.Placements) != n {
			t.Errorf("%s: %d placements, %v; want all %d that were acknowledged", what, len(resp.GetPlacements()), err, n)
		}
	})
	return refused
}

// What a damaged file costs is the server, and never an acknowledged write that it still speaks for.
func TestDisk_DamagedFile_RefusedOrNothingLost(t *testing.T) {
	const placed = 5
	whole := filledDir(t, placed)
	if err := startDamaged(t, "nothing", copyDir(t, whole), placed); err != nil {
		t.Fatalf("undamaged: %v", err)
	}
	write := func(name, text string) func(dir string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600) }
	}
	remove := func(name string) func(dir string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	shorten := func(name string, part int64) func(dir string) error {
		return func(dir string) error {
			fi, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			return os.Truncate(filepath.Join(dir, name), fi.Size()/part)
		}
	}
	for _, tt := range []struct {
		name    string
		damage  func(dir string) error
		refused bool
	}{
		{"no identity", remove("server.json"), true},
		{"empty identity", write("server.json", ""), true},
		{"half an identity", shorten("server.json", 2), true},
		{"identity of zeros", write("server.json", strings.Repeat("\x00", 200)), true},
		{"identity of a later version", write("server.json", `{"format":2,"server":"s1","incarnation":"x"}`), true},
		{"no log", remove("log.db"), true},
		{"empty log", write("log.db", ""), true},
		{"half a log", shorten("log.db", 2), true},
		{"log of zeros", write("log.db", strings.Repeat("\x00", 64<<10)), true},
		{"no vote", remove("vote.db"), true},
		{"half a vote", shorten("vote.db", 2), true},
		{"vote of zeros", write("vote.db", strings.Repeat("\x00", 32<<10)), true},
		{"the log for the vote", func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, "log.db"))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "vote.db"), b, 0o600))
		}, true},
		{"the vote for the log", func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, "vote.db"))
			return errors.Join(err, os.WriteFile(filepath.Join(dir, "log.db"), b, 0o600))
		}, true},
		{"no lock", remove("LOCK"), false},
		{"something in the lock", write("LOCK", "not a number"), false},
		{"the rest of an identity that was being written", write("server.json.tmp", "{"), false},
		{"no snapshots", remove("snapshots"), false},
		{"a file among the snapshots", write("snapshots/README", "x"), false},
		{"a snapshot without anything", func(dir string) error { return os.MkdirAll(filepath.Join(dir, "snapshots", "9-99-1"), 0o700) }, false},
		{"something else", write("core", "x"), false},
	} {
		dir := copyDir(t, whole)
		if err := tt.damage(dir); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if err := startDamaged(t, tt.name, dir, placed); (err != nil) != tt.refused {
			t.Errorf("%s: %v, refused should be %t", tt.name, err, tt.refused)
		}
	}
}

// Wherever one byte is another, the server refuses or has everything.
func TestDisk_FlippedByte_RefusedOrNothingLost(t *testing.T) {
	const placed = 5
	whole := filledDir(t, placed)
	for _, name := range []string{"log.db", "vote.db", "server.json"} {
		b, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		var full []int // where there is something
		for i, x := range b {
			if x != 0 {
				full = append(full, i)
			}
		}
		refused, flips := 0, 0
		const tries = 60
		for i := range min(tries, len(full)) {
			at := full[i*len(full)/min(tries, len(full))]
			dir := copyDir(t, whole)
			b[at] ^= 0x10
			err := os.WriteFile(filepath.Join(dir, name), b, 0o600)
			b[at] ^= 0x10
			if err != nil {
				t.Fatal(err)
			}
			flips++
			if startDamaged(t, fmt.Sprintf("%s, byte %d", name, at), dir, placed) != nil {
				refused++
			}
		}
		// In the two files of bbolt there are free pages, which hold what was there before.
		if name == "server.json" && refused != flips || refused < flips/4 {
			t.Errorf("%s: %d of %d flips were refused", name, refused, flips)
		}
	}
}

// A damaged snapshot is passed over for what is whole: an older one, or the log alone.
func TestDisk_DamagedSnapshot_NothingLost(t *testing.T) {
	const placed = 5
	dir := t.TempDir()
	snapshots := func() []string {
		list, err := filepath.Glob(filepath.Join(dir, "snapshots", "*-*-*"))
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	site(t, 1, func(c *raftnode.Config) { c.DataDir = dir }, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		for i := range placed {
			if _, _, err := client.Place(context.Background(), file(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		// A snapshot is due after 64 MiB of log. Requests that are refused are in it too.
		many := make([]placement.Identity, 1000)
		for batch := 0; len(snapshots()) == 0; batch++ {
			for i := range many {
				many[i] = placement.Identity{Kind: "cart", Key: fmt.Sprintf("%d/%d/%s", batch, i, strings.Repeat("x", 480))}
			}
			if _, err := client.PlaceAll(context.Background(), many); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
			if underrace.On && batch == 2 { // 64 MiB would take half a minute
				if err := c.Leader(nil).Node.Group().TakeSnapshot(); err != nil {
					t.Fatal(err)
				}
			}
			if batch > 1000 {
				t.Fatal("there is no snapshot")
			}
		}
		time.Sleep(5 * time.Second) // it is whole
	})
	if n := len(snapshots()); n != 1 {
		t.Fatalf("%d snapshots", n)
	}
	at := snapshots()[0]
	for _, damage := range []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"a flipped byte of the state", func() error {
			b, err := os.ReadFile(filepath.Join(at, "state.bin"))
			if err == nil {
				b[len(b)/2] ^= 1
				err = os.WriteFile(filepath.Join(at, "state.bin"), b, 0o600)
			}
			return err
		}},
		{"no record", func() error { return os.Remove(filepath.Join(at, "meta.json")) }},
		{"no snapshot", func() error { return os.RemoveAll(at) }},
	} {
		if err := damage.do(); err != nil {
			t.Fatalf("%s: %v", damage.name, err)
		}
		if err := startDamaged(t, damage.name, dir, placed); err != nil {
			t.Errorf("%s: %v", damage.name, err)
		}
	}
}
