package api

import (
	"testing"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/snapshot"
)

// leaseholder answers by itself.
type leaseholder struct{ holder }

func (h *leaseholder) Leased() (*snapshot.View, *group.ReadLease, lease.Instant) {
	return h.view, &group.ReadLease{Lease: lease.Lease{Expiry: 2}}, 1
}
func (h *leaseholder) Looked(Path) {}

// lookupAllocations is what a look-up under a lease allocated before there was tracing.
const lookupAllocations = 5

func TestLookup_NotTraced_AllocatesNothingMore(t *testing.T) {
	s := New(&leaseholder{holder{view: listed(t, 100).Publish()}}, nil)
	req := &apiv1.LookupRequest{Kind: "cart", Key: "k1"}
	got := testing.AllocsPerRun(1000, func() {
		if _, err := s.Lookup(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	})
	if got > lookupAllocations {
		t.Errorf("a look-up allocates %v times, and did %v times before", got, lookupAllocations)
	}
}
