package api

import (
	"context"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Move has another member own an identity, and waits a moment for it: first for the owner to let go, as Remove does, then
// for the member, as Place does.
func (s *Server) Move(ctx context.Context, req *apiv1.MoveRequest) (*apiv1.MoveResponse, error) {
	id, err := identityOf(req.Kind, req.Key)
	if err != nil {
		return nil, err
	}
	wait, err := waitOf(req.Wait)
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
	command.Body = &fsm.Move{Identity: id, Epoch: placement.Epoch(req.Epoch), To: placement.MemberID(req.To)}
	encoded, err := fsm.Encode(command)
	if err != nil {
		return nil, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return nil, outcomeError(err)
	}
	m := moving{placing: placing{tenured: t, server: s, id: id, command: fsm.Command{Body: &fsm.Place{Identity: id}}, changed: r.Verdict == placement.Done}, to: placement.MemberID(req.To), from: r.Entry.Epoch}
	if err := m.begun(&r); err != nil {
		return nil, err
	}
	return m.await(ctx, s, wait)
}

// moving is one identity on its way to a member.
type moving struct {
	placing
	to   placement.MemberID
	from placement.Epoch // of the placement that ends; zero when it has ended already
}

// begun looks at the verdict of the Move.
func (m *moving) begun(r *fsm.Result) error {
	v := m.group.View()
	switch r.Verdict {
	case placement.Unsettled, placement.NotPlaced:
		if move, ok := v.Move(m.id); ok && move.To == m.to {
			return nil // it is on its way there, since a call before this one
		}
	case placement.MemberUnknown:
		return memberUnknown(string(m.to))
	case placement.Blocked:
		return identityBlocked(v, m.id)
	case placement.NotEligible:
		to, because := v.Roster.Find(m.to), "may be given it now, and could not when it was asked"
		if to != nil {
			because = unfit(v, to, m.id.Kind)
		}
		data := identityData(m.id)
		data["member."+string(m.to)] = because
		return fail(apiv1.ReasonNoEligibleMember, data, "%v cannot go to %s: that member %s", m.id, m.to, because)
	}
	return verdictError(m.id, r)
}

// await waits until somebody else owns the identity, and places it when nobody does.
func (m *moving) await(ctx context.Context, s *Server, wait time.Duration) (*apiv1.MoveResponse, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		w := m.driver.Watch(m.id)
		v := m.group.View()
		e, owner := v.Lookup(m.id)
		there := owner != nil && (e.Epoch != m.from || owner.ID == m.to)
		if e.Phase == placement.Settled && there {
			m.driver.Unwatch(w)
			return &apiv1.MoveResponse{Done: true, Placement: placementMessage(m.id, e, owner), Read: s.proof(ctx, v)}, nil
		}
		if e.Phase == placement.Absent {
			m.driver.Unwatch(w)
			if err := m.place(ctx, v); err != nil {
				return nil, err
			}
			continue
		}
		over := false
		select {
		case <-w.C:
		case <-timer.C:
			over = true
		case <-ctx.Done():
			over = true
		case <-m.driver.Tenure().Context().Done():
			over = true
		}
		m.driver.Unwatch(w)
		if over {
			return &apiv1.MoveResponse{WaitsFor: m.waitsFor(e, owner, there), Placement: placementMessage(m.id, e, owner), Read: s.proof(ctx, v)}, nil
		}
	}
}

// place gives the identity an owner, the one that it is on its way to if that is possible still. When all candidates
// failed, it stays absent.
func (m *moving) place(ctx context.Context, v *snapshot.View) error {
	if failures := m.driver.Failures(m.id); m.epoch != 0 && len(failures) > 0 {
		return noEligible(v, m.id, failures)
	}
	return m.propose(ctx)
}

func (m *moving) waitsFor(e placement.Entry, owner *placement.Member, there bool) string {
	if there {
		return fmt.Sprintf("%s to confirm", owner.ID)
	}
	return m.tenured.waitsFor(e, owner)
}
