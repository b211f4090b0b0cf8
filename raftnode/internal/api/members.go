package api

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// ListMembers returns the members, ascending by name, then by incarnation, with what their leader knows of their leases.
func (s *Server) ListMembers(ctx context.Context, _ *apiv1.ListMembersRequest) (*apiv1.ListMembersResponse, error) {
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	resp := &apiv1.ListMembersResponse{Read: s.proof(ctx, v)}
	for m, load := range v.Members() {
		out := memberMessage(m, load)
		if !group.Complete(v, m.Ended) {
			out.State = apiv1.Member_ENDING // a server with a read lease may still answer that it owns something
		}
		if m.State.Alive() {
			out.LeaseLeft = durationpb.New(t.driver.LeaseLeft(m.Incarnation))
		}
		resp.Members = append(resp.Members, out)
	}
	slices.SortFunc(resp.Members, func(a, b *apiv1.Member) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		if a.Incarnation < b.Incarnation {
			return -1
		}
		return 1
	})
	return resp, nil
}
