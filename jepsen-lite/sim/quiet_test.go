package sim

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Where nothing happens, nothing changes: two minutes later the same server leads, in the same term. The log says what the
// life of servers alone costs, without anybody who asks them for anything.
func TestServers_NobodyAsks_OneLeads(t *testing.T) {
	const lives = 2 * time.Minute
	p := Plan{Seed: 1, Servers: 3, Latency: time.Millisecond, Tail: 1, Rates: map[string]int64{}}
	for _, s := range p.hosts("s", p.Servers) {
		p.Rates[s] = 100
	}
	status := func(w *world) map[string]uint64 { // the term of each server, by who leads for it
		leaders := map[string]uint64{}
		for _, s := range w.hosts("s", w.Servers) {
			c := w.client("operator", s)
			w.until(time.Now(), s+" has a leader", func(ctx context.Context) error {
				r, err := apiv1.NewClusterClient(c.Conn()).ServerStatus(ctx, &apiv1.ServerStatusRequest{})
				if err == nil && r.Leader == "" {
					err = errors.New("it has none")
				}
				if err == nil {
					leaders[r.Leader] = r.Term
				}
				return err
			})
			_ = c.Close()
		}
		return leaders
	}
	begin := time.Now() // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p)
		w.setKinds()
		before := status(w)
		time.Sleep(lives)
		if after := status(w); len(before) != 1 || !maps.Equal(before, after) || w.found != nil {
			t.Errorf("who leads, in which term: %v, and %v later %v; %q", before, lives, after, w.found)
		}
		w.close()
	})
	t.Logf("%v of the life of %d servers in %v", lives, p.Servers, time.Since(begin).Round(time.Millisecond))
}

// What is used and never disturbed goes on as it is: two minutes of servers, members that act under their leases, and clients who look up
// what they own. The log says what that costs.
func TestCluster_NothingFails_OwnersStay(t *testing.T) {
	const lives = 2 * time.Minute
	p := Plan{Seed: 1, Servers: 3, Members: 2, Clients: 2, Length: lives, Latency: time.Millisecond, Tail: 1, Rates: map[string]int64{}}
	for _, h := range p.all() {
		p.Rates[h] = 100
	}
	begin, asked := time.Now(), 0 // outside of the bubble
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, p)
		w.setKinds()
		for _, m := range p.hosts("m", p.Members) {
			w.revive(m)
		}
		ctx := context.Background()
		owners := map[placement.Identity]placement.Epoch{}
		var clients []*lookupclient.Client
		for _, name := range p.hosts("c", p.Clients) {
			c := w.client(name)
			clients = append(clients, c)
			for n := range identities {
				x, _, err := c.Place(ctx, identity(0, n))
				if err != nil {
					t.Fatal(err)
				}
				if before, seen := owners[x.Identity]; seen && before != x.Epoch {
					t.Errorf("%v was placed again", x.Identity)
				}
				owners[x.Identity] = x.Epoch
			}
		}
		for until := time.Now().Add(lives); time.Now().Before(until); time.Sleep(time.Second) {
			for i, c := range clients {
				id := identity(0, asked%identities)
				asked++
				x, err := c.Lookup(ctx, id)
				if err != nil || x.Epoch != owners[id] {
					t.Fatalf("c%d looks up %v, of epoch %d: %+v, %v", i+1, id, owners[id], x, err)
				}
			}
		}
		for _, c := range clients {
			_ = c.Close()
		}
		w.close()
		if w.found != nil {
			t.Errorf("%q", w.found)
		}
	})
	t.Logf("%v of the life of %d servers, %d members with %d identities, and %d clients with %d look-ups in %v",
		lives, p.Servers, p.Members, identities, p.Clients, asked, time.Since(begin).Round(time.Millisecond))
}
