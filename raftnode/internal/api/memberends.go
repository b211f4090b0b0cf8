package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

// nameOf checks a member's name in a request.
func nameOf(name string) (placement.MemberID, error) {
	id := placement.MemberID(name)
	if err := id.Validate(); err != nil {
		return id, invalid("%v", err)
	}
	return id, nil
}

// DrainMember keeps new placements away from the incarnation that stands for a name, or lets them come again. The driver
// asks for those that it owns.
func (s *Server) DrainMember(ctx context.Context, req *apiv1.DrainMemberRequest) (*apiv1.DrainMemberResponse, error) {
	name, err := nameOf(req.Name)
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
	m := t.group.View().Roster.Find(name)
	if m == nil {
		return nil, memberUnknown(req.Name)
	}
	command.Body = &fsm.Drain{Incarnation: m.Incarnation, Off: req.Off, Rate: req.Rate}
	encoded, err := fsm.Encode(command)
	if err != nil {
		return nil, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return nil, outcomeError(err)
	}
	if r.Verdict == placement.Barred {
		return nil, memberBlocked(t.group.View(), name)
	}
	if err := verdictError(placement.Identity{}, &r); err != nil {
		return nil, err
	}
	v := t.group.View()
	resp := &apiv1.DrainMemberResponse{Changed: r.Verdict == placement.Done, Read: s.proof(ctx, v)}
	if m := v.Incarnation(m.Incarnation); m != nil {
		resp.Member = memberMessage(m, v.MemberLoad(m.Incarnation))
		resp.Member.LeaseLeft = durationpb.New(t.driver.LeaseLeft(m.Incarnation))
	}
	return resp, nil
}

// ExpireMember ends incarnations by the rules of their leases: they are not kept any more, and the driver proposes their
// end when nobody can hold such a lease (M3, M4). No call ends one at once.
func (s *Server) ExpireMember(ctx context.Context, req *apiv1.ExpireMemberRequest) (*apiv1.ExpireMemberResponse, error) {
	name, err := nameOf(req.Name)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(req.Wait)
	if err != nil {
		return nil, err
	}
	if len(req.Incarnations) > heldMax {
		return nil, invalid("%d incarnations, at most %d are allowed", len(req.Incarnations), heldMax)
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	// A proof that this server leads comes first: what it says of the members must not be a former leader's.
	v, err := s.readView(ctx)
	if err != nil {
		return nil, s.readError(ctx, err)
	}
	list := alive(v, name, req.Incarnations)
	if len(list) == 0 && len(req.Incarnations) == 0 {
		return nil, memberUnknown(req.Name)
	}
	resp := &apiv1.ExpireMemberResponse{Incarnations: req.Incarnations}
	if len(req.Incarnations) == 0 {
		for _, inc := range list {
			resp.Incarnations = append(resp.Incarnations, uint64(inc))
		}
	}
	for _, inc := range list {
		_ = t.driver.End(inc) // one that has ended meanwhile is what is wanted
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	v, err = t.group.Await(waiting, func(v *snapshot.View) bool {
		return len(alive(v, name, resp.Incarnations)) == 0 && group.Complete(v, ended(v, name, resp.Incarnations))
	})
	if resp.Done = err == nil; !resp.Done {
		v = t.group.View()
		if index := ended(v, name, resp.Incarnations); !group.Complete(v, index) && len(alive(v, name, resp.Incarnations)) == 0 {
			resp.WaitsFor, resp.Read = seenBy(t.driver.Tenure().Hold(v), index), s.proof(ctx, v)
			return resp, nil
		}
		left := time.Duration(0)
		for _, inc := range alive(v, name, resp.Incarnations) {
			left = max(left, t.driver.LeaseLeft(inc))
		}
		resp.WaitsFor = fmt.Sprintf("the lease of %s to be over, in %v at the latest", name, left.Round(100*time.Millisecond))
	}
	resp.Read = s.proof(ctx, v)
	return resp, nil
}

// ended is the newest log index at which one of the incarnations of a name ended; zero when none did. It shows to nobody before the
// barrier is there (S7).
func ended(v *snapshot.View, name placement.MemberID, of []uint64) (index uint64) {
	for m := range v.Members() {
		if m.ID == name && slices.Contains(of, uint64(m.Incarnation)) {
			index = max(index, m.Ended)
		}
	}
	return index
}

// alive are the incarnations of a name that are alive, of those that are given; of all when none are.
func alive(v *snapshot.View, name placement.MemberID, of []uint64) (list []placement.Incarnation) {
	for m := range v.Members() {
		if m.ID == name && m.State.Alive() && (len(of) == 0 || slices.Contains(of, uint64(m.Incarnation))) {
			list = append(list, m.Incarnation)
		}
	}
	slices.Sort(list)
	return list
}
