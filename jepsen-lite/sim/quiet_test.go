package sim

import (
	"context"
	"errors"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
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
