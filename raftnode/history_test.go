package raftnode_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// told are the events of an identity as a server tells them, in words.
func told(t *testing.T, c *raftnodetest.Cluster, s *raftnodetest.Server, key string) (events []string, h *apiv1.HistoryResponse) {
	t.Helper()
	h, err := apiv1.NewPlacementsClient(c.Dial("client", s)).History(t.Context(), &apiv1.HistoryRequest{Kind: "file", Key: key})
	if err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	if h.Read.ServedBy != s.Name {
		t.Errorf("%s: %v", s.Name, h.Read)
	}
	for _, e := range h.Events {
		if at := e.Time.AsTime(); time.Since(at) < 0 || time.Since(at) > time.Hour {
			t.Errorf("%s: %v is said to be at %v", s.Name, e, at)
		}
		events = append(events, fmt.Sprintf("%d %v %s by %s, epoch %d", e.Index, e.Type, e.Member, e.Cause, e.Epoch))
	}
	return events, h
}

// Every server tells the same, and what was acknowledged before the question is in it. A server that begins with a snapshot
// says that it knows nothing of what was before it.
func TestHistory_EveryServerTells(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		id := placement.Identity{Kind: "file", Key: "a/b"}
		want := []apiv1.PlacementEvent_Type{apiv1.PlacementEvent_PLACED, apiv1.PlacementEvent_SETTLED}
		var epochs []uint64
		for round := range 3 {
			p, _, err := client.Place(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			epochs = append(epochs, uint64(p.Epoch))
			first, h := told(t, c, c.Servers[round], id.Key)
			for _, s := range c.Servers {
				if events, _ := told(t, c, s, id.Key); !slices.Equal(events, first) {
					t.Errorf("%s tells %q, %s %q", s.Name, events, c.Servers[round].Name, first)
				}
			}
			var types []apiv1.PlacementEvent_Type
			for i, e := range h.Events {
				types = append(types, e.Type)
				if e.Epoch != epochs[i/4] || e.Member != "m1" || e.Kind != "file" || e.Key != id.Key || (e.RequestId != "") != (e.Type == apiv1.PlacementEvent_PLACED || e.Type == apiv1.PlacementEvent_STOPPING) {
					t.Errorf("round %d: event %d is %v, want epoch %d", round, i, e, epochs[i/4])
				}
			}
			if !slices.Equal(types, want) || h.AfterIndex != 0 {
				t.Errorf("round %d: %v after %d, want %v", round, types, h.AfterIndex, want)
			}
			if err := client.Remove(ctx, id, 0, nil); err != nil {
				t.Fatal(err)
			}
			want = append(want, apiv1.PlacementEvent_STOPPING, apiv1.PlacementEvent_REMOVED, apiv1.PlacementEvent_PLACED, apiv1.PlacementEvent_SETTLED)
		}

		s := c.Others(c.Leader(nil))[0]
		told(t, c, s, id.Key) // so it has the removal
		at := s.Node.Group().View().Index
		if err := s.Node.Group().TakeSnapshot(); err != nil {
			t.Fatal(err)
		}
		s.Stop()
		s.Start()
		ready(t, c, s)
		events, h := told(t, c, s, id.Key)
		if h.AfterIndex < at || len(events) != 0 {
			t.Errorf("after a start from a snapshot at %d: %q after %d", at, events, h.AfterIndex)
		}
		if _, _, err := client.Place(ctx, id); err != nil {
			t.Fatal(err)
		}
		if events, again := told(t, c, s, id.Key); again.AfterIndex != h.AfterIndex || len(events) != 2 {
			t.Errorf("then: %q after %d", events, again.AfterIndex)
		}
	})
}
