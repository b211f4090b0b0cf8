package raftnode_test

import (
	"context"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
	"github.com/seed13d31b7f/berth/snapshot"
)

// why asks a server to explain.
func why(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, id placement.Identity) (*apiv1.Placement, *apiv1.Explanation) {
	t.Helper()
	resp, err := apiv1.NewPlacementsClient(c.Dial("client", s)).Lookup(t.Context(), &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key, Explain: true})
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	if resp.Read.GetServedBy() != s.Name || resp.Explanation == nil {
		t.Fatalf("%s: %v", s.Name, resp)
	}
	return resp.Placement, resp.Explanation
}

// propose carries a command out, as the leader does.
func propose(t *testing.T, c *raftnodetest.Cluster, body fsm.Body) fsm.Result {
	t.Helper()
	b, err := fsm.Encode(fsm.Command{Body: body})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Leader(nil).Node.Group().Propose(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// An explanation says since when, exactly as long as the events are remembered and about so afterwards, and it says of each
// member whether it may be chosen.
func TestExplain_SinceWhenAndWhoElse(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		id := placement.Identity{Kind: "file", Key: "a"}
		time.Sleep(30 * time.Second)
		before := time.Now()
		p, _, err := client.Place(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		after := time.Now()
		time.Sleep(90 * time.Second)
		between := func(what string, x *apiv1.Explanation, slack time.Duration) {
			t.Helper()
			from, to := x.PlacedFrom.AsTime(), x.PlacedTo.AsTime()
			if from.After(after) || to.Before(before.Truncate(time.Millisecond)) || to.Sub(from) > slack {
				t.Errorf("%s: it was placed between %v and %v, and is said to have been between %v and %v", what, before, after, from, to)
			}
			if now := x.Now.AsTime(); time.Since(now) > 5*time.Second || now.After(time.Now()) {
				t.Errorf("%s: now is %v, and is said to be %v", what, time.Now(), now)
			}
		}
		for _, s := range c.Servers {
			got, x := why(t, c, s, id)
			between(s.Name, x, 0)
			if got.Epoch != uint64(p.Epoch) || x.SettledIndex <= x.PlacedIndex || x.Settled.AsTime().Before(x.PlacedFrom.AsTime()) || x.OwnerState != "live" || x.Strategy != "rendezvous" {
				t.Errorf("%s: %v, %v", s.Name, got, x)
			}
			if len(x.Candidates) != 1 || x.Candidates[0].Member != "m1" || x.Candidates[0].Rank != 1 || x.Candidates[0].Load != 1 || x.Members != 1 {
				t.Errorf("%s: the candidates are %v", s.Name, x.Candidates)
			}
		}
		s := c.Others(c.Leader(nil))[0]
		if err := s.Node.Group().TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		s.Start()
		ready(t, c, s)
		_, x := why(t, c, s, id)
		between("from a snapshot", x, 3*time.Second)
		if x.SettledIndex != 0 || x.PlacedIndex == 0 {
			t.Errorf("from a snapshot: %v", x)
		}

		// Who may not be chosen says why.
		join := func(name string, labels ...placement.Label) placement.Incarnation {
			return propose(t, c, &fsm.Join{Member: placement.Member{ID: placement.MemberID(name), Address: "h:1", Kinds: []string{"room"}, Labels: labels, Capacity: 1}}).Incarnation
		}
		ssd := placement.Label{Name: "disk", Value: "ssd"}
		propose(t, c, &fsm.SetKind{Kind: "room", Settings: placement.KindSettings{Settle: placement.SettleOnPlace, Require: [placement.RequireMax]placement.Label{ssd}}})
		join("full", ssd)
		room := placement.Identity{Kind: "room", Key: "1"}
		propose(t, c, &fsm.Place{Identity: room})
		join("plain")
		propose(t, c, &fsm.Drain{Incarnation: join("drains", ssd)})
		join("bad", ssd)
		propose(t, c, &fsm.Place{Identity: placement.Identity{Kind: "room", Key: "of bad"}}) // or it would end at once
		propose(t, c, &fsm.Block{Subject: snapshot.Subject{Member: "bad"}})
		join("free", ssd)
		propose(t, c, &fsm.Block{Subject: snapshot.Subject{Identity: room}, Reason: "poison"})
		got, x := why(t, c, c.Servers[0], placement.Identity{Kind: "room", Key: "2"})
		if got.Phase != apiv1.Placement_ABSENT || x.PlacedIndex != 0 || x.OwnerState != "" {
			t.Errorf("nobody's: %v, %v", got, x)
		}
		said := map[string]string{}
		for _, c := range x.Candidates {
			said[c.Member] = c.Excluded
			if (c.Rank == 1) != (c.Member == "free") {
				t.Errorf("%s has rank %d", c.Member, c.Rank)
			}
		}
		for member, want := range map[string]string{
			"free": "", "full": "is full: it owns 1", "plain": "has no label disk=ssd", "drains": "draining", "bad": "blocked", "m1": "does not host room",
		} {
			if got, ok := said[member]; !ok || got != want {
				t.Errorf("%s: %q, want %q", member, got, want)
			}
		}
		if _, x := why(t, c, c.Servers[0], room); x.Blocked != "poison" || x.OwnerState != "live" {
			t.Errorf("a blocked identity: %v", x)
		}
	})
}
