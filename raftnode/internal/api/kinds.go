package api

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

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
	v, err := s.readView(ctx)
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
	out := &apiv1.Kind{
		Name: name, Strategy: k.Strategy, Attempts: uint32(k.Attempts), Members: members, Settle: k.Settle.String(), MemberCapacity: k.MemberCapacity,
	}
	for _, l := range k.Required() {
		if out.Require == nil {
			out.Require = map[string]string{}
		}
		out.Require[l.Name] = l.Value
	}
	if k.ConfirmMs != 0 {
		out.ConfirmWithin = durationpb.New(time.Duration(k.ConfirmMs) * time.Millisecond)
	}
	return out
}

// kindOf reads the settings in a request.
func kindOf(req *apiv1.SetKindRequest) (*fsm.SetKind, error) {
	if req.Attempts > placement.AttemptsMax {
		return nil, invalid("attempts %d: 1 to %d is allowed", req.Attempts, placement.AttemptsMax)
	}
	c := &fsm.SetKind{Kind: req.Name}
	c.Settings.Strategy, c.Settings.Attempts, c.Settings.Settle = req.Strategy, uint8(req.Attempts), placement.SettleModeNamed(req.Settle)
	if req.Settle != "" && c.Settings.Settle == 0 {
		return nil, invalid("settle %.80q: there are %v and %v", req.Settle, placement.SettleOnConfirm, placement.SettleOnPlace)
	}
	if len(req.Require) > placement.RequireMax {
		return nil, invalid("require: %d labels, at most %d are allowed", len(req.Require), placement.RequireMax)
	}
	for i, name := range slices.Sorted(maps.Keys(req.Require)) {
		c.Settings.Require[i] = placement.Label{Name: name, Value: req.Require[name]}
	}
	c.Unset.Require = req.NoRequire
	if req.MemberCapacity != nil {
		c.Settings.MemberCapacity, c.Unset.MemberCapacity = *req.MemberCapacity, *req.MemberCapacity == 0
	}
	if req.ConfirmWithin != nil {
		within := req.ConfirmWithin.AsDuration()
		if within%time.Millisecond != 0 || within < 0 || within > placement.ConfirmMsMax*time.Millisecond {
			return nil, invalid("confirm within %v: 0, or %dms to %v in whole milliseconds", within, placement.ConfirmMsMin, placement.ConfirmMsMax*time.Millisecond)
		}
		c.Settings.ConfirmMs, c.Unset.ConfirmMs = uint32(within/time.Millisecond), within == 0
	}
	return c, nil
}

// SetKind changes the settings of a kind.
func (s *Server) SetKind(ctx context.Context, req *apiv1.SetKindRequest) (*apiv1.SetKindResponse, error) {
	body, err := kindOf(req)
	if err != nil {
		return nil, err
	}
	command, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	command.Body = body
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
