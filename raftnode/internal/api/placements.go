package api

import (
	"context"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Lookup answers from a view that has everything that was acknowledged before the call.
func (s *Server) Lookup(ctx context.Context, req *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
	id, err := identityOf(req.Kind, req.Key)
	if err != nil {
		return nil, err
	}
	if err := checkLevel(req.Level); err != nil {
		return nil, err
	}
	v, err := s.backend.ReadView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	e, owner := v.Lookup(id)
	if req.Explain {
		return &apiv1.LookupResponse{Placement: placementMessage(id, e, owner), Read: s.proof(ctx, v), Explanation: s.explain(v, id)}, nil
	}
	if err := settled(id, e, owner); err != nil {
		return nil, err
	}
	return &apiv1.LookupResponse{Placement: placementMessage(id, e, owner), Read: s.proof(ctx, v)}, nil
}

func checkLevel(l apiv1.Level_Name) error {
	if l < apiv1.Level_UNSPECIFIED || l > apiv1.Level_LEADER {
		return invalid("level %d: there are LEASED and LEADER", l)
	}
	return nil
}

// settled returns the error for an entry that is not.
func settled(id placement.Identity, e placement.Entry, owner *placement.Member) error {
	switch e.Phase {
	case placement.Settled:
		return nil
	case placement.Pending:
		return unsettled(id, e, owner.ID, string(owner.ID)+" was chosen and has not confirmed yet")
	case placement.Tombstone:
		return unsettled(id, e, "", "a removal of it is not yet visible everywhere")
	}
	return notPlaced(id)
}

// readError turns what a read ended with into the error of a call.
func (s *Server) readError(ctx context.Context, err error) error {
	if r, _, _ := apiv1.ReasonOf(err); r != "" {
		return err
	}
	if ctx.Err() == context.Canceled {
		return asStatus(context.Canceled)
	}
	return s.noLeader(ctx, err)
}

// noLeader tells an election from a majority that is missing, for a call whose time is up.
func (s *Server) noLeader(ctx context.Context, cause error) error {
	ctx, cancel := afterwards(ctx, quorumTimeout)
	defer cancel()
	if g := s.backend.Group(); g != nil && !s.backend.Quorum(ctx) {
		return fail(apiv1.ReasonNoQuorum, nil, "a majority of the voting servers cannot be reached from %s: %v", s.backend.Self().Name, cause)
	}
	return fail(apiv1.ReasonNoLeader, nil, "%s knows no leader at the moment: %v", s.backend.Self().Name, cause)
}

// BatchLookup looks identities up as of one view.
func (s *Server) BatchLookup(ctx context.Context, req *apiv1.BatchLookupRequest) (*apiv1.BatchLookupResponse, error) {
	if len(req.Identities) > BatchMax {
		return nil, invalid("%d identities, at most %d are allowed in one batch", len(req.Identities), BatchMax)
	}
	if err := checkLevel(req.Level); err != nil {
		return nil, err
	}
	v, err := s.backend.ReadView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	resp := &apiv1.BatchLookupResponse{Read: s.proof(ctx, v), Results: make([]*apiv1.LookupResult, len(req.Identities))}
	found := make([]snapshot.Placement, len(req.Identities))
	for i, x := range req.Identities {
		id, err := identityOf(x.GetKind(), x.GetKey())
		if err != nil {
			resp.Results[i] = &apiv1.LookupResult{Error: itemError(err)}
			continue
		}
		found[i].Identity = id
	}
	v.LookupBatch(found)
	for i := range found {
		if resp.Results[i] == nil {
			resp.Results[i] = lookupItem(&found[i])
		}
	}
	return resp, nil
}

func lookupItem(p *snapshot.Placement) *apiv1.LookupResult {
	if err := settled(p.Identity, p.Entry, p.Owner); err != nil {
		return &apiv1.LookupResult{Error: itemError(err)}
	}
	return &apiv1.LookupResult{Placement: placementMessage(p.Identity, p.Entry, p.Owner)}
}
