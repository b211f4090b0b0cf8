package api

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// toldMax is how many servers clients are told of.
const toldMax = 16

// Discover says where the servers are, as far as this one knows.
func (s *Server) Discover(context.Context, *apiv1.DiscoverRequest) (*apiv1.DiscoverResponse, error) {
	resp := &apiv1.DiscoverResponse{}
	if g := s.backend.Group(); g != nil {
		resp.Servers = serversMessage(g.Servers(), g.View())
	}
	return resp, nil
}

// serversMessage says where clients reach the servers of the group, in the order of their names, those that vote first. One that has
// not said where it is, is left out.
func serversMessage(servers []group.Server, v *snapshot.View) *apiv1.Servers {
	slices.SortFunc(servers, func(a, b group.Server) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	m := &apiv1.Servers{Index: v.Index}
	for _, s := range servers {
		if r, ok := v.Server(s.Name); ok && r.GRPCAddress != "" && len(m.Addresses) < toldMax {
			m.Addresses = append(m.Addresses, r.GRPCAddress)
		}
	}
	return m
}

// rank puts those that vote first.
func rank(s group.Server) int {
	if s.Voter {
		return 0
	}
	return 1
}

// told is what a session was told of the servers. The zero value was told nothing.
type told struct {
	mu   sync.Mutex
	last []string
}

// news says where the servers are, when those are others than were told last; nil otherwise.
func (t *told) news(g *group.Group) *apiv1.Servers {
	v := g.View()
	m := serversMessage(g.Servers(), v)
	t.mu.Lock()
	defer t.mu.Unlock()
	if slices.Equal(m.Addresses, t.last) {
		return nil
	}
	t.last = m.Addresses
	return m
}
