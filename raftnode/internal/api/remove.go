package api

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	removeWaitDefault = time.Second
	removeWaitMax     = 10 * time.Second
)

// Remove asks the owner to stop and to release the identity, and waits a moment for it. Nobody but the owner ends a
// settled placement (rule F5): when it does not answer, its lease has to end first.
func (s *Server) Remove(ctx context.Context, req *apiv1.RemoveRequest) (*apiv1.RemoveResponse, error) {
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
	command.Body = &fsm.Evict{Identity: id, Epoch: placement.Epoch(req.Epoch)}
	encoded, err := fsm.Encode(command)
	if err != nil {
		return nil, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return nil, outcomeError(err)
	}
	if r.Verdict != placement.Unsettled {
		if err := verdictError(id, &r); err != nil {
			return nil, err
		}
	}
	return s.awaitRemoval(ctx, t, id, r.Entry.Epoch, wait)
}

// waitOf reads how long a call waits.
func waitOf(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return removeWaitDefault, nil
	}
	wait := d.AsDuration()
	if wait < 0 || wait > removeWaitMax {
		return 0, invalid("wait %v: 0 to %v is allowed", wait, removeWaitMax)
	}
	return wait, nil
}

// awaitRemoval waits until nobody can see the placement of an epoch any more; an epoch of zero stands for a removal that
// is on its way.
func (s *Server) awaitRemoval(ctx context.Context, t tenured, id placement.Identity, epoch placement.Epoch, wait time.Duration) (*apiv1.RemoveResponse, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		w := t.driver.Watch(id)
		v := t.group.View()
		e, owner := v.Lookup(id)
		if e.Phase == placement.Absent || e.Phase != placement.Tombstone && e.Epoch != epoch {
			t.driver.Unwatch(w)
			return &apiv1.RemoveResponse{Done: true, Read: s.proof(ctx, v)}, nil
		}
		select {
		case <-w.C:
		case <-timer.C:
			t.driver.Unwatch(w)
			return s.stillThere(ctx, t, v, id, e, owner), nil
		case <-ctx.Done():
			t.driver.Unwatch(w)
			return s.stillThere(ctx, t, v, id, e, owner), nil
		case <-t.driver.Tenure().Context().Done():
			t.driver.Unwatch(w)
			return s.stillThere(ctx, t, v, id, e, owner), nil
		}
		t.driver.Unwatch(w)
	}
}

// stillThere says what is waited for.
func (s *Server) stillThere(ctx context.Context, t tenured, v *snapshot.View, id placement.Identity, e placement.Entry, owner *placement.Member) *apiv1.RemoveResponse {
	return &apiv1.RemoveResponse{Placement: placementMessage(id, e, owner), WaitsFor: t.waitsFor(e, owner), Read: s.proof(ctx, v)}
}

// seenBy says who has to see a removal.
func seenBy(h group.Hold, removed uint64) string {
	left := func(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
	switch {
	case h.Former > 0:
		return fmt.Sprintf("the read leases that former leaders granted to be over, in %v", left(h.Former))
	case h.Server != "" && h.Index < removed:
		return fmt.Sprintf("%s to see the removal at index %d, or its read lease to be over, in %v", h.Server, removed, left(h.Left))
	}
	return fmt.Sprintf("everybody to have seen the removal at index %d", removed)
}

// waitsFor says what the removal of a placement waits for.
func (t *tenured) waitsFor(e placement.Entry, owner *placement.Member) string {
	switch {
	case owner == nil:
		return seenBy(t.driver.Tenure().Hold(t.group.View()), e.Removed)
	case t.driver.Attached(e.Owner):
		return fmt.Sprintf("%s to stop it and to release it", owner.ID)
	}
	return fmt.Sprintf("%s, which does not answer: its lease ends in %v at the latest", owner.ID, t.driver.LeaseLeft(e.Owner).Round(100*time.Millisecond))
}
