package raftnode_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// The feature level goes up when the last server was upgraded, by whoever leads. From then on a server of the old version
// stops and says why: one that comes back, from its log or from a snapshot, and one that is new.
func TestNode_FeatureLevel_GoesUpWithTheLastServer(t *testing.T) {
	const later = fsm.FeatureLevel + 1
	level := map[string]uint32{}
	bubble(t, 3, func(c *raftnode.Config) { c.Seams.FeatureLevel = level[c.Name] }, func(t *testing.T, c *raftnodetest.Cluster) {
		c.Leader(nil)
		for i, s := range c.Servers {
			level[s.Name] = later
			s.Stop()
			s.Start()
			c.Leader(nil)
			time.Sleep(10 * time.Second)
			want := uint32(fsm.FeatureLevel)
			if i == len(c.Servers)-1 {
				want = later
			}
			// This version decodes the file, whatever its level: what it may not do is go on with it.
			if got := c.Save().Cluster.FeatureLevel; got != want {
				t.Fatalf("with %d servers upgraded the level is %d, want %d", i+1, got, want)
			}
		}
		refused := func(s *raftnodetest.Server) {
			t.Helper()
			level[s.Name] = fsm.FeatureLevel
			s.Start()
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			select {
			case <-s.Node.Done():
			case <-ctx.Done():
				t.Fatalf("%s of the old version goes on", s.Name)
			}
			var r *raftnode.RefusedError
			err := s.Node.Wait()
			if !errors.Is(err, raftnode.ErrVersion) || !errors.Is(err, fsm.ErrFeatureLevel) || !errors.As(err, &r) || !strings.Contains(r.Next, "the version that the others run") {
				t.Errorf("%s of the old version ended with %v", s.Name, err)
			}
			s.Node = nil
		}
		old := c.Servers[2]
		old.Stop()
		refused(old)
		// With a snapshot on its disk, too.
		level[old.Name] = later
		old.Start()
		time.Sleep(5 * time.Second)
		if err := old.Node.Group().TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		old.Stop()
		refused(old)
		level[old.Name] = later
		old.Start()
		refused(c.Add("s4"))
		c.Leader(nil)
	})
}
