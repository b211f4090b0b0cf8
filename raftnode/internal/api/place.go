package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/snapshot"
)

// tenured is the group and the driver of a server that leads.
type tenured struct {
	group  *group.Group
	driver *leader.Driver
}

// tenure returns what a leader works with, or the error of a server that does not lead.
func (s *Server) tenure() (tenured, error) {
	g, err := s.group()
	if err != nil {
		return tenured{}, err
	}
	d := s.backend.Driver()
	if d == nil {
		return tenured{}, outcomeError(group.ErrNotLeader)
	}
	return tenured{g, d}, nil
}

// requestOf reads what makes retries of a change safe.
func requestOf(r *apiv1.Retry) (c fsm.Command, err error) {
	if r.GetRequestId() == "" {
		return c, nil
	}
	id, err := ulid.ParseStrict(r.RequestId)
	if err != nil || id == (ulid.ULID{}) { // zero stands for none
		return c, invalid("request id %.40q: it is no ULID", r.RequestId)
	}
	c.Request = snapshot.RequestID(id)
	if r.Again {
		if r.KnownIndex == math.MaxUint64 {
			return c, invalid("known index %d: no log reaches it", r.KnownIndex)
		}
		c.RetrySince = r.KnownIndex + 1
	}
	return c, nil
}

// nearOf checks where a request comes from.
func nearOf(n *apiv1.Near) (placement.Near, error) {
	near := placement.Near{Member: placement.MemberID(n.GetMember()), Label: placement.Label{Name: n.GetLabel(), Value: n.GetValue()}}
	if err := near.Validate(); err != nil {
		return near, invalid("near: %v", err)
	}
	return near, nil
}

// Place gives an identity an owner and waits until it is settled.
func (s *Server) Place(ctx context.Context, req *apiv1.PlaceRequest) (*apiv1.PlaceResponse, error) {
	id, err := identityOf(req.Kind, req.Key)
	if err != nil {
		return nil, err
	}
	near, err := nearOf(req.Near)
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
	command.Body = &fsm.Place{Identity: id, Near: near}
	p := placing{tenured: t, server: s, id: id, command: command}
	if err := p.propose(ctx); err != nil {
		return nil, err
	}
	within, span := s.span(ctx, "settle")
	v, err := p.settle(within)
	end(span, err)
	if err != nil {
		return nil, err
	}
	e, owner := v.Lookup(id)
	return &apiv1.PlaceResponse{Placement: placementMessage(id, e, owner), Created: p.made(e), Read: s.proof(ctx, v)}, nil
}

// BatchPlace places identities and waits for all of them.
func (s *Server) BatchPlace(ctx context.Context, req *apiv1.BatchPlaceRequest) (*apiv1.BatchPlaceResponse, error) {
	if len(req.Identities) > BatchMax {
		return nil, invalid("%d identities, at most %d are allowed in one batch", len(req.Identities), BatchMax)
	}
	near, err := nearOf(req.Near)
	if err != nil {
		return nil, err
	}
	base, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	results := make([]*apiv1.PlaceResult, len(req.Identities))
	var all []*placing
	var commands [][]byte
	var at []int
	for i, x := range req.Identities {
		id, err := identityOf(x.GetKind(), x.GetKey())
		if err != nil {
			results[i] = &apiv1.PlaceResult{Error: itemError(err)}
			continue
		}
		command := base
		command.Request = itemRequest(base.Request, i)
		command.Body = &fsm.Place{Identity: id, Near: near}
		encoded, err := fsm.Encode(command)
		if err != nil {
			results[i] = &apiv1.PlaceResult{Error: itemError(invalid("%v", err))}
			continue
		}
		all, commands, at = append(all, &placing{tenured: t, server: s, id: id, command: command}), append(commands, encoded), append(at, i)
	}
	outcomes, err := t.group.ProposeAll(ctx, commands)
	if err != nil {
		return nil, outcomeError(err)
	}
	v := t.group.View()
	within, span := s.span(ctx, "settle")
	defer end(span, nil)
	for n, p := range all {
		var err error
		if err = p.take(outcomes[n].Result, outcomes[n].Err); err == nil {
			v, err = p.settle(within)
		}
		results[at[n]] = p.result(v, err)
	}
	return &apiv1.BatchPlaceResponse{Results: results, Read: s.proof(ctx, v)}, nil
}

// itemRequest derives the request of one item from that of the batch.
func itemRequest(r snapshot.RequestID, item int) snapshot.RequestID {
	if r == (snapshot.RequestID{}) {
		return r
	}
	// The low bits of a ULID are random; those that the place of an item can have are the item's.
	r[14], r[15] = r[14]^byte((item+1)>>8), r[15]^byte(item+1)
	return r
}

// placing is one identity on its way to a settled owner.
type placing struct {
	tenured
	server  *Server
	id      placement.Identity
	command fsm.Command
	created bool
	changed bool            // the request, or what was done for it, was carried out
	epoch   placement.Epoch // of the placement that the request made or found
	again   bool            // the result says to propose once more when something changed
	old     bool            // the result is that of a former attempt, and what it made has not been seen since: it may have lived and ended
}

// propose proposes the Place and takes its result.
func (p *placing) propose(ctx context.Context) error {
	encoded, err := fsm.Encode(p.command)
	if err != nil {
		return invalid("%v", err)
	}
	r, err := p.group.Propose(ctx, encoded)
	return p.take(r, err)
}

// take looks at the result of the Place. An Unsettled one is no error: settle goes on with it.
func (p *placing) take(r fsm.Result, err error) error {
	p.again, p.old = false, r.Remembered
	if err != nil {
		return p.failed(err)
	}
	p.changed = p.changed || r.Verdict == placement.Done
	switch r.Verdict {
	case placement.Done, placement.Already:
		p.created = r.Verdict == placement.Done || p.created && r.Entry.Epoch == p.epoch
		p.epoch = r.Entry.Epoch
		return nil
	case placement.Unsettled:
		p.again = true
		return nil
	case placement.NoEligibleMember:
		return noEligible(p.group.View(), p.id, p.driver.Failures(p.id))
	case placement.Blocked:
		return identityBlocked(p.group.View(), p.id)
	}
	return verdictError(p.id, &r)
}

// settle waits until the identity is settled and returns a view in which it is.
func (p *placing) settle(ctx context.Context) (*snapshot.View, error) {
	for {
		w := p.driver.Watch(p.id)
		v := p.group.View()
		e, owner := v.Lookup(p.id)
		own := p.follow(e, func(from, to placement.Epoch) bool { return p.group.Events().Became(p.id, from, to, v.Index) })
		switch e.Phase {
		case placement.Settled:
			p.driver.Unwatch(w)
			return v, nil
		case placement.Absent:
			p.driver.Unwatch(w)
			if err := p.restart(ctx, v); err != nil {
				return v, err
			}
			continue
		}
		if own && e.Phase == placement.Pending {
			p.old = false
		}
		err := p.await(ctx, w)
		p.driver.Unwatch(w)
		if errors.Is(err, context.DeadlineExceeded) {
			return v, p.late(v, e, owner)
		}
		if err != nil {
			return v, p.failed(err)
		}
	}
}

// failed is the error of a proposal, or of a wait. Nothing was changed only as long as nothing was before.
func (p *placing) failed(err error) error {
	if p.changed {
		return laterError(outcomeError(err))
	}
	return outcomeError(err)
}

func (p *placing) await(ctx context.Context, w *leader.Watch) error {
	select {
	case <-w.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.driver.Tenure().Context().Done():
		return group.ErrNotLeader
	}
}

// restart goes on when the identity is absent: the removal that was in the way is complete, or what was chosen came to
// nothing.
func (p *placing) restart(ctx context.Context, v *snapshot.View) error {
	if p.old {
		return fail(apiv1.ReasonEpochMismatch, identityData(p.id), "the request placed %v under epoch %d, and that placement has ended since", p.id, p.epoch)
	}
	if !p.again {
		if failures := p.driver.Failures(p.id); len(failures) > 0 {
			return noEligible(v, p.id, failures)
		}
		// Its owner died before it confirmed, or somebody removed it. The request made what it made; this is another
		// placement, and the answer of the first is not wanted again.
		p.command.Request, p.command.RetrySince = snapshot.RequestID{}, 0
	}
	return p.propose(ctx)
}

// late is the error when the deadline comes first.
func (p *placing) late(v *snapshot.View, e placement.Entry, owner *placement.Member) error {
	if e.Phase == placement.Pending && !p.driver.Attached(e.Owner) {
		return p.server.pending(v, p.id, e, owner, "; it has no session with the leader")
	}
	return p.server.settled(v, p.id, e, owner)
}

// follow says whether an entry is of the placement that the request made or found, or of what became of it when candidates failed,
// as became says: then that is what it goes on with.
func (p *placing) follow(e placement.Entry, became func(from, to placement.Epoch) bool) bool {
	if e.Epoch != p.epoch && e.Attempt > 0 && p.epoch != 0 && became(p.epoch, e.Epoch) {
		p.epoch = e.Epoch
	}
	return e.Epoch == p.epoch
}

// made says that a placement that was followed is the one that the request made, and not one that somebody else made when it had ended.
func (p *placing) made(e placement.Entry) bool { return p.created && e.Epoch == p.epoch }

func (p *placing) result(v *snapshot.View, err error) *apiv1.PlaceResult {
	if err != nil {
		return &apiv1.PlaceResult{Error: itemError(err)}
	}
	e, owner := v.Lookup(p.id)
	return &apiv1.PlaceResult{Placement: placementMessage(p.id, e, owner), Created: p.made(e)}
}

// identityBlocked says why an identity is given no owner.
func identityBlocked(v *snapshot.View, id placement.Identity) error {
	data := identityData(id)
	b, ok := v.Block(snapshot.Subject{Identity: id})
	if !ok { // it was taken off the list meanwhile
		return fail(apiv1.ReasonIdentityBlocked, data, "%v was blocked when it was to be placed", id)
	}
	return fail(apiv1.ReasonIdentityBlocked, data, "%v is blocked%s", id, whoBlocks(&b, data))
}

// noEligible says of each member why it is not the one.
func noEligible(v *snapshot.View, id placement.Identity, failures []leader.Failure) error {
	data := identityData(id)
	var why []string
	failed := map[placement.MemberID]bool{}
	for _, f := range failures {
		if !failed[f.Member] {
			why = append(why, fmt.Sprintf("%s %v", f.Member, f.Failure))
			data["member."+string(f.Member)] = f.Failure.String()
		}
		failed[f.Member] = true
	}
	const named = 8
	hosts, total := 0, 0
	for m := range v.Members() {
		total++
		if failed[m.ID] {
			continue
		}
		because := unfit(v, m, id.Kind)
		if because == "" {
			continue
		}
		if m.Hosts(id.Kind) {
			hosts++
		}
		if len(why) < named {
			why = append(why, fmt.Sprintf("%s %s", m.ID, because))
			data["member."+string(m.ID)] = because
		}
	}
	switch {
	case total == 0 && len(failed) == 0:
		why = []string{"the cluster has no members"}
	case hosts == 0 && len(failed) == 0:
		why = []string{fmt.Sprintf("none of the %d members hosts the kind %s", total, id.Kind)}
	}
	return fail(apiv1.ReasonNoEligibleMember, data, "no member may take %v: %s", id, strings.Join(why, "; "))
}
