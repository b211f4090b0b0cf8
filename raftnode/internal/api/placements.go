package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Lookup answers by the level that it is asked for.
func (s *Server) Lookup(ctx context.Context, req *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
	id, err := identityOf(req.Kind, req.Key)
	if err != nil {
		return nil, err
	}
	q, err := questionOf(req)
	if err != nil {
		return nil, err
	}
	var e placement.Entry
	var owner *placement.Member
	a, err := s.read(ctx, q, func(v *snapshot.View) bool {
		e, owner = v.Lookup(id)
		return e.Phase == placement.Settled
	})
	if err != nil {
		return nil, err
	}
	if req.Explain {
		return &apiv1.LookupResponse{Placement: placementMessage(id, e, owner), Read: s.prove(ctx, a), Explanation: s.explain(a.view, id)}, nil
	}
	if err := s.settled(a.view, id, e, owner); err != nil {
		return nil, err
	}
	return &apiv1.LookupResponse{Placement: placementMessage(id, e, owner), Read: s.prove(ctx, a)}, nil
}

// settled returns the error for an entry that is not.
func (s *Server) settled(v *snapshot.View, id placement.Identity, e placement.Entry, owner *placement.Member) error {
	switch e.Phase {
	case placement.Settled:
		return nil
	case placement.Pending:
		return s.pending(v, id, e, owner, "")
	case placement.Tombstone:
		return unsettled(id, e, "", time.Time{}, "a removal of it is not yet visible everywhere")
	}
	return notPlaced(id)
}

// pending is the error for an identity whose owner has not confirmed: who it is, since when, when to ask again.
func (s *Server) pending(v *snapshot.View, id placement.Identity, e placement.Entry, owner *placement.Member, more string) error {
	at, ago := s.chosen(v, id, e), ""
	if !at.IsZero() {
		ago = fmt.Sprintf(" %v ago", max(0, time.Since(at)).Round(time.Millisecond))
	}
	return unsettled(id, e, owner.ID, at, fmt.Sprintf("%s was chosen%s and has not confirmed yet%s", owner.ID, ago, more))
}

// chosen is when the owner of an entry was chosen, by the clock of the leader that did it: to the millisecond when this server
// remembers the event, otherwise a second later at most, or more when it is long ago. Zero when nothing is known.
func (s *Server) chosen(v *snapshot.View, id placement.Identity, e placement.Entry) time.Time {
	if g := s.backend.Group(); g != nil {
		for _, event := range g.Events().History(id, 2, v.Index).Events {
			if event.Type == events.Placed && event.Epoch == e.Epoch {
				return timeOf(event.Time)
			}
		}
	}
	if at := since(v, e); at != nil {
		return at.AsTime()
	}
	return time.Time{}
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
	q, err := questionOf(req)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.BatchLookupResponse{Results: make([]*apiv1.LookupResult, len(req.Identities))}
	found := make([]snapshot.Placement, len(req.Identities))
	for i, x := range req.Identities {
		id, err := identityOf(x.GetKind(), x.GetKey())
		if err != nil {
			resp.Results[i] = &apiv1.LookupResult{Error: itemError(err)}
			continue
		}
		found[i].Identity = id
	}
	a, err := s.read(ctx, q, func(v *snapshot.View) bool {
		v.LookupBatch(found)
		return !slices.ContainsFunc(found, func(p snapshot.Placement) bool { return p.Identity.Kind != "" && p.Entry.Phase != placement.Settled })
	})
	if err != nil {
		return nil, err
	}
	resp.Read = s.prove(ctx, a)
	for i := range found {
		if resp.Results[i] == nil {
			resp.Results[i] = s.lookupItem(a.view, &found[i])
		}
	}
	return resp, nil
}

func (s *Server) lookupItem(v *snapshot.View, p *snapshot.Placement) *apiv1.LookupResult {
	if err := s.settled(v, p.Identity, p.Entry, p.Owner); err != nil {
		return &apiv1.LookupResult{Error: itemError(err)}
	}
	return &apiv1.LookupResult{Placement: placementMessage(p.Identity, p.Entry, p.Owner)}
}
