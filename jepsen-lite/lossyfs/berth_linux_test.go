package lossyfs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// build builds berth with other files than those of the tree.
func build(t *testing.T, files *overlay.Files) string {
	t.Helper()
	dir := t.TempDir()
	path, err := files.Write(dir)
	must(t, err)
	binary := filepath.Join(dir, "berth")
	if out, err := exec.Command("go", "build", "-overlay", path, "-o", binary, "../../cmd/berth").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// site is a cluster of one server on a disk that loses power, a member that hosts carts, and a client that has them placed
// and remembers what was acknowledged.
type site struct {
	t       *testing.T
	disk    *Disk
	dataDir string
	binary  string
	address string
	server  *exec.Cmd
	ended   chan error
	log     bytes.Buffer
	client  *lookupclient.Client

	mu     sync.Mutex
	placed map[placement.Identity]placement.Epoch
}

func newSite(t *testing.T, binary string) *site {
	t.Helper()
	s := &site{t: t, disk: start(t), binary: binary, address: freeport.Address(t), placed: map[placement.Identity]placement.Epoch{}}
	s.dataDir = filepath.Join(s.disk.Dir(), "var", "s1")
	return s
}

// open starts the server, and the member and the client when they are not there.
func (s *site) open() {
	s.t.Helper()
	s.log.Reset()
	s.server = exec.Command(s.binary, "serve", "--name", "s1", "--data-dir", s.dataDir, "--raft-addr", "127.0.0.1:0",
		"--grpc-addr", s.address, "--http-addr", "127.0.0.1:0", "--member-ttl", "1h", "--timing", "local")
	s.server.Stderr = &s.log
	must(s.t, s.server.Start())
	ended, c := make(chan error, 1), s.server
	go func() { ended <- c.Wait() }()
	s.ended = ended
	if s.client != nil {
		return
	}
	var err error
	s.client, err = lookupclient.Open(lookupclient.Config{Servers: []string{s.address}})
	must(s.t, err)
	s.t.Cleanup(func() { _ = s.client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := s.client.Join(ctx, lookupclient.MemberConfig{Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": {}}})
	must(s.t, err)
	s.t.Cleanup(m.Close)
}

// kill ends the server as kill -9 does.
func (s *site) kill() {
	s.t.Helper()
	_ = s.server.Process.Kill()
	<-s.ended
}

// placing has carts placed, each by a name of its own, until the context ends.
func (s *site) placing(ctx context.Context, round int) {
	var callers sync.WaitGroup
	for n := range 4 {
		callers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := placement.Identity{Kind: "cart", Key: fmt.Sprintf("%d-%d-%d", round, n, i)}
				p, _, err := s.client.Place(ctx, id)
				if err != nil {
					continue
				}
				s.mu.Lock()
				s.placed[id] = p.Epoch
				s.mu.Unlock()
			}
		})
	}
	callers.Wait()
}

// faults says what became of what was acknowledged, once the server is up, or why it is not.
func (s *site) faults() []string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ended := s.ended // the next server's is another
	go func() {
		select {
		case err := <-ended:
			ended <- err
			cancel()
		case <-ctx.Done():
		}
	}()
	var ids []placement.Identity
	for id := range s.placed {
		ids = append(ids, id)
	}
	var out []string
	for chunk := range slices.Chunk(ids, lookupclient.BatchMax) {
		results, err := s.client.LookupAll(ctx, chunk)
		if err != nil {
			return append(out, fmt.Sprintf("%v; the server says\n%s", err, s.log.String()))
		}
		for i, r := range results {
			if r.Err != nil || r.Placement.Epoch != s.placed[chunk[i]] {
				out = append(out, fmt.Sprintf("%v was placed under epoch %d, and is %+v, %v", chunk[i], s.placed[chunk[i]], r.Placement, r.Err))
			}
		}
	}
	return out
}

// powerLosses has the server killed while carts are placed, and power lost, as often as there are rounds, and returns the first faults.
func (s *site) powerLosses(loss func(seed uint64) PowerLoss) []string {
	s.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		s.open()
		before := len(s.placed)
		ctx, cancel := context.WithCancel(context.Background())
		placing := make(chan struct{})
		go func() {
			defer close(placing)
			s.placing(ctx, round)
		}()
		// When the kill comes is what is tried, but not before anything was acknowledged.
		for begin := time.Now(); s.acknowledged() < before+20; time.Sleep(time.Millisecond) {
			if time.Since(begin) > time.Minute {
				s.t.Fatalf("round %d: nothing is placed; the server says\n%s", round, s.log.String())
			}
		}
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
		s.kill()
		cancel()
		<-placing
		if err := s.disk.PowerLoss(loss(uint64(round))); err != nil {
			s.t.Fatal(err)
		}
		s.open()
		faults := s.faults()
		s.kill()
		if faults != nil {
			return faults
		}
	}
	stats, err := s.disk.Stats()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Logf("%d placements acknowledged and there after %d power losses; %+v", len(s.placed), rounds, stats)
	return nil
}

func (s *site) acknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.placed)
}

// rounds is how often a test has a server killed.
const rounds = 4

// losses are the kinds of power losses.
var losses = map[string]struct {
	faults Faults
	loss   func(seed uint64) PowerLoss
}{
	"all that was not synced":                  {Faults{}, func(uint64) PowerLoss { return PowerLoss{} }},
	"half of what was not synced":              {Faults{}, func(seed uint64) PowerLoss { return PowerLoss{KeepPercent: 50, Seed: seed} }},
	"directories that were not synced as well": {Faults{StrictDirectories: true}, func(uint64) PowerLoss { return PowerLoss{} }},
}

// What was acknowledged is there after a server was killed and its machine lost power.
func TestBerth_KilledAndPowerLost_KeepsWhatItAcknowledged(t *testing.T) {
	binary := build(t, &overlay.Files{})
	for name, tt := range losses {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, binary)
			must(t, s.disk.SetFaults(tt.faults))
			if faults := s.powerLosses(tt.loss); faults != nil {
				t.Errorf("%d faults, such as %s", len(faults), faults[0])
			}
		})
	}
}

// The test above can fail: a server that does not sync its log and its vote loses what it acknowledged.
func TestBerth_WithoutSync_IsFound(t *testing.T) {
	const dir = "../../raftnode/internal/storage/"
	var files overlay.Files
	must(t, files.Patch(dir+"bolt.go", "&bbolt.Options{\n", "&bbolt.Options{\n\t\tNoSync: true,\n"))
	must(t, files.Patch(dir+"log.go", "BoltOptions: boltOptions()", "BoltOptions: boltOptions(), NoSync: true"))
	binary := build(t, &files)
	for name, tt := range losses {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, binary)
			must(t, s.disk.SetFaults(tt.faults))
			faults := s.powerLosses(tt.loss)
			if faults == nil {
				t.Fatal("no fault was found")
			}
			t.Logf("%d faults, such as %s", len(faults), faults[0])
		})
	}
}
