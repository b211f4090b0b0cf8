package raftnode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/internal/storage"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

func virtualNow() time.Duration { return time.Duration(raftnodetest.Now()) }

// hosted is a client and a member m1 of the cluster.
func hosted(t *testing.T, c *raftnodetest.Cluster) (*lookupclient.Client, func()) {
	t.Helper()
	var servers []string
	for _, s := range c.Servers {
		servers = append(servers, s.Host+":7420")
	}
	client, _, leave := hostFiles(t, c.Network.Host("m1").Dial, virtualNow, servers...)
	return client, leave
}

func files(from, to int) (ids []placement.Identity) {
	for i := from; i < to; i++ {
		ids = append(ids, file(fmt.Sprint(i)))
	}
	return ids
}

// place places identities, each of which must work.
func place(t *testing.T, c *lookupclient.Client, ids []placement.Identity) []lookupclient.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	results, err := c.PlaceAll(ctx, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Err != nil {
			t.Fatalf("place %v: %v", ids[i], r.Err)
		}
	}
	return results
}

// A restored cluster has the placements of the file and another id; it begins when no lease of the old one can be left,
// other servers join it and get votes, and what it makes has larger epochs than all that the old one made.
func TestRestore_NewClusterGoesOn(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		old := c.Leader(nil).Node.Cluster()
		client, leave := hosted(t, c)
		before := place(t, client, files(0, 20))
		v := c.Save()
		after := place(t, client, files(20, 40)) // which the file does not know
		highest := after[0].Placement.Epoch
		for _, r := range after {
			highest = max(highest, r.Placement.Epoch)
		}
		if err := client.Remove(context.Background(), file("3"), 0, nil); err != nil {
			t.Fatal(err)
		}
		leave()

		c.Restore(v)
		begin := time.Now()
		l := c.Leader(nil)
		if took := time.Since(begin); took < lease.Stretch(raftnode.MemberTTLDefault) || took > 10*time.Second {
			t.Errorf("the restored cluster has a leader after %v", took)
		}
		if l != c.Servers[0] || l.Node.Cluster() == old {
			t.Errorf("%s leads cluster %s, the old one was %s", l.Name, l.Node.Cluster(), old)
		}
		led := time.Now()
		client, leave = hosted(t, c)
		defer leave()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		now, err := client.LookupAll(ctx, files(0, 40))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range now {
			switch {
			case i >= 20 && !errors.Is(r.Err, lookupclient.ErrNotPlaced):
				t.Errorf("%d, which was placed after the file was made: %+v", i, r)
			case i < 20 && (r.Err != nil || r.Placement.Epoch != before[i].Placement.Epoch || r.Placement.Member != before[i].Placement.Member):
				t.Errorf("%d: %+v, and was %+v", i, r, before[i])
			}
		}
		for i, r := range place(t, client, files(20, 40)) {
			if r.Placement.Epoch <= highest {
				t.Errorf("%d is placed under epoch %#x, the old cluster had made %#x", i, r.Placement.Epoch, highest)
			}
		}
		// The former life of m1 stands beside the new one, and keeps what it owned until its lease must be over.
		states := map[apiv1.Member_State]int{}
		members, err := apiv1.NewMembersClient(client.Conn()).ListMembers(ctx, &apiv1.ListMembersRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members.Members {
			states[m.State]++
		}
		if states[apiv1.Member_LIVE] != 1 || states[apiv1.Member_SUPERSEDED] != 1 {
			t.Errorf("members: %v", members.Members)
		}
		for {
			if _, err := client.Lookup(ctx, file("1")); errors.Is(err, lookupclient.ErrNotPlaced) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if took := time.Since(led); took < lease.Stretch(raftnode.MemberTTLDefault)-100*time.Millisecond || took > 9*time.Second {
			t.Errorf("what the former m1 owned is free %v after the new cluster had a leader", took)
		}
		for i, r := range place(t, client, files(0, 20)) {
			if r.Placement.Epoch <= highest {
				t.Errorf("%d is placed anew under epoch %#x, the old cluster had made %#x", i, r.Placement.Epoch, highest)
			}
		}
		// The others have votes: any two of the three are a majority.
		agree(t, c, 3)
		for {
			voters := 0
			for _, s := range statusOf(t, c, l).Servers {
				if s.Role != apiv1.Role_NONVOTER {
					voters++
				}
			}
			if voters == 3 {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		l.Kill()
		c.Leader(l)
		l.Start()
		agree(t, c, 3)
		// Restored again, the generation grows again; and the wait is for the first start alone.
		w := c.Save()
		if w.Cluster.Generation != 1 || v.Cluster.Generation != 0 {
			t.Errorf("generations %d and %d", v.Cluster.Generation, w.Cluster.Generation)
		}
		c.Restore(w)
		first := c.Leader(nil)
		if got := c.Save().Cluster; got.Generation != 2 || got.ID != first.Node.Cluster() || got.ID == w.Cluster.ID {
			t.Errorf("restored again: %+v", got)
		}
		for _, s := range c.Servers {
			s.Kill()
		}
		begin = time.Now()
		for _, s := range c.Servers {
			s.Start()
		}
		c.Leader(nil)
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("the second start took %v", took)
		}
	})
}

// A server that ends while it waits for the old leases waits again, all of it.
func TestRestore_EndedWhileItWaits_WaitsAgain(t *testing.T) {
	bubble(t, 1, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		c.Leader(nil)
		c.Restore(c.Save())
		s := c.Servers[0]
		time.Sleep(5 * time.Second)
		s.Stop()
		begin := time.Now()
		s.Start()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_, err := apiv1.NewClusterClient(c.Dial("client", s)).Status(ctx, &apiv1.StatusRequest{})
		if r, _, _ := apiv1.ReasonOf(err); r != apiv1.ReasonNoLeader || !strings.Contains(err.Error(), "former cluster") {
			t.Errorf("while it waits: %v", err)
		}
		c.Leader(nil)
		if took := time.Since(begin); took < lease.Stretch(raftnode.MemberTTLDefault) {
			t.Errorf("it leads after %v", took)
		}
	})
}

// Without the quorum's disks: a server of the old cluster, with its disk, is kept out of the new one.
func TestRestore_OldServer_IsRefused(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		c.Leader(nil)
		agree(t, c, 3)
		disk := c.Servers[1].Dir
		c.Restore(c.Save())
		c.Leader(nil)
		agree(t, c, 3)
		back := c.Servers[1]
		back.Stop()
		back.Dir = disk
		back.Start()
		refusal(t, back, raftnode.ErrForeignCluster, "--data-dir")
	})
}

func TestRestore_Refusals(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(c snapshot.Cluster) *snapshot.View {
		e := snapshot.NewEditor(snapshot.Empty())
		e.SetPosition(9, 1)
		e.SetCluster(c)
		return e.Publish()
	}
	good := at(snapshot.Cluster{ID: "C"})
	for _, tt := range []struct {
		name string
		c    raftnode.RestoreConfig
		want error
	}{
		{"a directory with something in it", raftnode.RestoreConfig{Name: "s1", DataDir: full, View: good}, raftnode.ErrNotEmpty},
		{"a file", raftnode.RestoreConfig{Name: "s1", DataDir: filepath.Join(full, "x"), View: good}, raftnode.ErrDataDir},
		{"generations used up", raftnode.RestoreConfig{Name: "s1", DataDir: filepath.Join(full, "a"), View: at(snapshot.Cluster{ID: "C", Generation: fsm.GenerationMax})}, fsm.ErrGenerations},
		{"no state", raftnode.RestoreConfig{Name: "s1", DataDir: filepath.Join(full, "b"), View: snapshot.Empty()}, fsm.ErrNoState},
	} {
		for _, dry := range []bool{true, false} {
			tt.c.DryRun = dry
			if _, err := raftnode.Restore(tt.c); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		}
	}
	_, err := raftnode.Restore(raftnode.RestoreConfig{Name: "a b", View: good})
	var field *raftnode.FieldError
	if list, ok := err.(interface{ Unwrap() []error }); !ok || len(list.Unwrap()) != 2 || !errors.As(err, &field) || field.Field != "Name" {
		t.Errorf("a bad name and no directory: %v", err)
	}
	if v, err := raftnode.Restore(raftnode.RestoreConfig{Name: "s1", DataDir: filepath.Join(full, "c"), View: good, DryRun: true}); err != nil || v.Cluster.Generation != 1 {
		t.Errorf("dry run: %v", err)
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) != 1 {
		t.Errorf("the directory has %v, %v", entries, err)
	}
}

// A directory that a restore has not finished is refused with the way on.
func TestRestore_Unfinished_IsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := raftnodetest.NewCluster(t, 0, nil)
		defer c.Close()
		s := c.Add("s1")
		if err := os.WriteFile(filepath.Join(s.Dir, "RESTORING"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var refused *raftnode.RefusedError
		if err := s.TryStart(); !errors.As(err, &refused) || !errors.Is(err, raftnode.ErrDataDir) {
			t.Errorf("started with %v", err)
		}
	})
}

// A session of the former cluster may last longer than its members' leases: the restored server waits for the longest that
// there ever was.
func TestRestore_SessionsLongerThanMembers_WaitsForThem(t *testing.T) {
	e := snapshot.NewEditor(snapshot.Empty())
	e.SetPosition(5, 1)
	e.SetCluster(snapshot.Cluster{ID: "C", Seed: 1, FeatureLevel: 1, MaxMemberTTL: uint64(5 * time.Second)})
	e.OpenSession(placement.Session{ID: 4096, TTL: time.Minute, Holder: "h"})
	e.AddClaim("nightly", 0, placement.Claim{Token: 4097, Session: 4096, Mode: placement.LockExclusive})
	e.Grant("nightly")
	for _, keep := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "s1")
		v, err := raftnode.Restore(raftnode.RestoreConfig{Name: "s1", DataDir: path, View: e.Publish(), KeepLocks: keep})
		if err != nil {
			t.Fatal(err)
		}
		if n := v.LockCount(); (n == 1) != keep || v.SessionCount() != n {
			t.Errorf("with locks kept: %t, there are %d", keep, n)
		}
		d, err := storage.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		id, ok, err := d.LoadIdentity()
		if err != nil || !ok || id.FormerTTL != time.Minute {
			t.Errorf("it waits for leases of %v, %v; want a minute", id.FormerTTL, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
