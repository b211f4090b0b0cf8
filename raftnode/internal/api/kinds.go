package api

import (
	"context"
	"strconv"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// ListKinds returns a page of the kinds, ascending by name. The token of a page is the last name of the one before, so a
// list goes on anywhere and keeps nothing.
func (s *Server) ListKinds(ctx context.Context, req *apiv1.ListKindsRequest) (*apiv1.ListKindsResponse, error) {
	size := int(req.PageSize)
	if size == 0 {
		size = pageMax
	}
	if size > pageMax {
		return nil, invalid("page size %d: at most %d is allowed", size, pageMax)
	}
	if req.PageToken != "" && placement.ValidateKind(req.PageToken) != nil {
		return nil, invalid("page token: it is none of a list's")
	}
	v, err := s.backend.ReadView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	resp := &apiv1.ListKindsResponse{Read: s.proof(ctx, v)}
	members := liveMembers(v)
	for name := range v.Kinds() {
		if name <= req.PageToken {
			continue
		}
		if len(resp.Kinds) == size {
			resp.NextPageToken = resp.Kinds[size-1].Name
			break
		}
		resp.Kinds = append(resp.Kinds, kindMessage(v, name, members[name]))
	}
	return resp, nil
}

// liveMembers counts the members that each kind may be given to.
func liveMembers(v *snapshot.View) map[string]uint32 {
	count := map[string]uint32{}
	for _, m := range v.Roster.All() {
		if m.State != placement.MemberLive {
			continue
		}
		for _, kind := range m.Kinds {
			count[kind]++
		}
	}
	return count
}

func kindMessage(v *snapshot.View, name string, members uint32) *apiv1.Kind {
	k := v.KindSettings(name)
	return &apiv1.Kind{Name: name, Strategy: k.Strategy, Attempts: uint32(k.Attempts), Members: members}
}

// SetKind changes the settings of a kind.
func (s *Server) SetKind(ctx context.Context, req *apiv1.SetKindRequest) (*apiv1.SetKindResponse, error) {
	if req.Attempts > placement.AttemptsMax {
		return nil, invalid("attempts %d: 1 to %d is allowed", req.Attempts, placement.AttemptsMax)
	}
	command, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	command.Body = &fsm.SetKind{Kind: req.Name, Settings: placement.KindSettings{Strategy: req.Strategy, Attempts: uint8(req.Attempts)}}
	encoded, err := fsm.Encode(command)
	if err != nil {
		return nil, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return nil, outcomeError(err)
	}
	if r.Verdict == placement.UnknownStrategy {
		return nil, unknownStrategy(strconv.Quote(req.Strategy))
	}
	if err := verdictError(placement.Identity{}, &r); err != nil {
		return nil, err
	}
	v := t.group.View()
	return &apiv1.SetKindResponse{
		Kind: kindMessage(v, req.Name, liveMembers(v)[req.Name]), Changed: r.Verdict == placement.Done, Read: s.proof(ctx, v),
	}, nil
}
