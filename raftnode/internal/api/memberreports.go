package api

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
)

// report runs f beside the stream; the stream waits when too many do.
func (m *memberStream) report(f func()) error {
	select {
	case m.slots <- struct{}{}:
	case <-m.ctx.Done():
		return nil
	}
	m.tasks.Go(func() {
		defer func() { <-m.slots }()
		f()
	})
	return nil
}

func (m *memberStream) keepalive(nonce uint64) {
	ttl, err := m.driver.Keepalive(m.ctx, m.session.Incarnation)
	switch {
	case errors.Is(err, leader.ErrGone):
		m.endSession(leader.ErrGone)
	case err == nil:
		_ = m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Alive{Alive: &apiv1.Alive{Nonce: nonce, Ttl: durationpb.New(ttl), Servers: m.told.news(m.group)}}}, false)
	}
}

// released takes in what has stopped: by request or by itself, and by a fault.
func (m *memberStream) released(r *apiv1.Released) error {
	if n := len(r.Held) + len(r.Crashed); n > heldMax {
		return invalid("%d activations in one message, at most %d are allowed", n, heldMax)
	}
	list := slices.Clip(r.Held)
	for _, f := range r.Crashed {
		list = append(list, f.GetHeld())
	}
	return m.heldReport(list, func(i int, id placement.Identity, e placement.Epoch) fsm.Body {
		c := &fsm.Release{Identity: id, Incarnation: m.session.Incarnation, Epoch: e}
		if i >= len(r.Held) {
			c.Failure = placement.Failure{Code: placement.FailureCrash, Text: placement.FitText(r.Crashed[i-len(r.Held)].GetReason(), placement.ReasonBytesMax)}
		}
		return c
	})
}

// heldReport proposes one command for each activation and answers with the outcomes. body is given its place in the list.
func (m *memberStream) heldReport(list []*apiv1.Held, body func(int, placement.Identity, placement.Epoch) fsm.Body) error {
	if len(list) > heldMax {
		return invalid("%d activations in one message, at most %d are allowed", len(list), heldMax)
	}
	var commands [][]byte
	for i, h := range list {
		id, err := identityOf(h.GetKind(), h.GetKey())
		if err != nil {
			return err
		}
		c, err := fsm.Encode(fsm.Command{Body: body(i, id, placement.Epoch(h.GetEpoch()))})
		if err != nil {
			return invalid("%v: %v", id, err)
		}
		commands = append(commands, c)
	}
	return m.report(func() { m.proposeReport(list, commands) })
}

func (m *memberStream) proposeReport(list []*apiv1.Held, commands [][]byte) {
	ctx, cancel := context.WithTimeout(m.ctx, confirmBudget)
	defer cancel()
	outcomes, err := m.group.ProposeAll(ctx, commands)
	if err != nil {
		m.unknown(err)
		return
	}
	answer := &apiv1.Outcome{}
	removed := uint64(0)
	for i, o := range outcomes {
		if o.Err != nil {
			m.unknown(o.Err)
			return
		}
		removed = max(removed, o.Result.Entry.Removed)
		out := &apiv1.HeldOutcome{Held: list[i], Ok: o.Result.Verdict.OK()}
		if !out.Ok {
			id := placement.Identity{Kind: list[i].GetKind(), Key: list[i].GetKey()}
			r, _, _ := apiv1.ReasonOf(verdictError(id, &o.Result))
			out.Reason = string(r)
		}
		answer.Outcomes = append(answer.Outcomes, out)
	}
	// A removal shows in the answer, so everybody has to see it first (S7). Without an answer the member reports again.
	if m.group.AwaitComplete(ctx, removed) != nil {
		return
	}
	_ = m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Outcome{Outcome: answer}}, false)
}

// unknown ends the session: the member resumes and reports again, which is safe.
func (m *memberStream) unknown(err error) {
	if errors.Is(err, group.ErrQueueFull) {
		return // it reports again when nothing comes
	}
	m.endSession(group.ErrNotLeader)
}

// failures notes why activations failed and gives them to their next candidates. What the member was not given, it cannot
// fail at.
func (m *memberStream) failures(list []*apiv1.Failure) error {
	if len(list) > heldMax {
		return invalid("%d failures in one message, at most %d are allowed", len(list), heldMax)
	}
	var commands [][]byte
	var own []*apiv1.Failure
	v := m.group.View()
	for _, f := range list {
		id, err := identityOf(f.GetHeld().GetKind(), f.GetHeld().GetKey())
		if err != nil {
			return err
		}
		if e, _ := v.Lookup(id); e.Owner != m.session.Incarnation || e.Epoch != placement.Epoch(f.Held.Epoch) {
			continue
		}
		why := failureOf(f)
		c, err := fsm.Encode(fsm.Command{Body: &fsm.Fail{Identity: id, Epoch: placement.Epoch(f.Held.Epoch), Failure: why}})
		if err != nil {
			return invalid("%v: %v", id, err)
		}
		m.driver.Failed(id, m.session.Incarnation, why)
		commands, own = append(commands, c), append(own, f)
	}
	if len(own) == 0 {
		return nil
	}
	return m.report(func() {
		ctx, cancel := context.WithTimeout(m.ctx, confirmBudget)
		defer cancel()
		outcomes, err := m.group.ProposeAll(ctx, commands) // what fails here is overdue later
		if err == nil {
			m.releaseFailed(ctx, own, outcomes)
		}
	})
}

func failureOf(f *apiv1.Failure) placement.Failure {
	why := placement.Failure{Code: placement.FailureActivation, Text: placement.FitText(f.Reason, placement.ReasonBytesMax)}
	if f.Refused {
		why.Code = placement.FailureRefused
	}
	return why
}

// releaseFailed releases what was settled before the member tried to activate it: its kind is settled by placing. Nobody
// else may end that, and the member says itself that nothing of it runs.
func (m *memberStream) releaseFailed(ctx context.Context, list []*apiv1.Failure, outcomes []group.Outcome) {
	var commands [][]byte
	for i, o := range outcomes {
		e := &o.Result.Entry
		if o.Err != nil || o.Result.Verdict != placement.Already || e.Owner != m.session.Incarnation {
			continue
		}
		h := list[i].Held
		c, err := fsm.Encode(fsm.Command{Body: &fsm.Release{
			Identity: placement.Identity{Kind: h.Kind, Key: h.Key}, Incarnation: e.Owner, Epoch: placement.Epoch(h.Epoch), Failure: failureOf(list[i]),
		}})
		if err == nil {
			commands = append(commands, c)
		}
	}
	if len(commands) > 0 {
		_, _ = m.group.ProposeAll(ctx, commands) // what is lost here is in the way until somebody removes it
	}
}

// end proposes that the member drains, or that it has left.
func (m *memberStream) end(body fsm.Body, draining bool) {
	ctx, cancel := context.WithTimeout(m.ctx, confirmBudget)
	defer cancel()
	c, err := fsm.Encode(fsm.Command{Body: body})
	if err != nil {
		return
	}
	if _, err := m.group.Propose(ctx, c); err != nil {
		m.unknown(err)
		return
	}
	if !draining {
		if m.group.AwaitComplete(ctx, m.group.View().Index) != nil {
			return // the member leaves again
		}
	}
	_ = m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Left{Left: &apiv1.Left{Draining: draining}}}, !draining)
	if !draining {
		m.cancel()
	}
}
