package fsm

import (
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Move asks the owner of an identity to stop and release it, and has the next Place give it to another member, if that one
// may be given it then, whoever asks. That is forgotten with that Place, and when nobody stands for the member's name any
// more. An Epoch of zero means whatever is there.
//
// Verdicts: Done with the entry that follows, which drains, or is Absent when nobody had confirmed it; Already when it is
// on its way there, or is there; Unsettled, NotPlaced, EpochMismatch, Blocked, MemberUnknown, NotEligible, LimitReached.
type Move struct {
	Identity placement.Identity
	Epoch    placement.Epoch
	To       placement.MemberID
}

// Validate wants a valid identity and a valid name.
func (c *Move) Validate() error {
	if err := c.Identity.Validate(); err != nil {
		return err
	}
	return c.To.Validate()
}

func (m *Machine) applyMove(b []byte) (Result, error) {
	c, err := decodeMove(b)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	return m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) {
		after, verdict := e.Evict(c.Epoch)
		if !verdict.OK() {
			return e, verdict
		}
		if v := m.mayMove(&c, &e); v != placement.Done {
			return e, v
		}
		if err := m.edit.PutMove(snapshot.Move{Identity: c.Identity, To: c.To}); err != nil {
			return e, placement.LimitReached
		}
		return after, placement.Done // also when it drained already: where it goes is new
	}), nil
}

// mayMove says whether an identity can be on its way to the member: Done, or what the verdict is.
func (m *Machine) mayMove(c *Move, e *placement.Entry) placement.Verdict {
	v := m.edit.View()
	if _, blocked := v.Block(snapshot.Subject{Identity: c.Identity}); blocked {
		return placement.Blocked
	}
	to := v.Roster.Find(c.To)
	if to == nil {
		return placement.MemberUnknown
	}
	if to.Incarnation == e.Owner {
		return placement.Already
	}
	if move, ok := v.Move(c.Identity); ok && move.To == c.To && e.Draining {
		return placement.Already
	}
	if !m.eligible(to, c.Identity) {
		return placement.NotEligible
	}
	return placement.Done
}

// eligible says whether a member may be given an identity at this moment.
func (m *Machine) eligible(member *placement.Member, id placement.Identity) bool {
	p := m.plan(id.Kind)
	for _, candidate := range p.candidates {
		if candidate == member {
			q := m.question(p, placement.Query{Identity: id})
			full := q.Full(member)
			m.answered()
			return !full
		}
	}
	return false
}

// moved is the choice for an identity that is on its way to a member; ok is false when it is on its way nowhere, or that
// member may not be given it.
func (m *Machine) moved(id placement.Identity) (c placement.Choice, ok bool) {
	v := m.edit.View()
	move, ok := v.Move(id)
	if !ok {
		return placement.Choice{}, false
	}
	to := v.Roster.Find(move.To)
	if to == nil || !m.eligible(to, id) {
		return placement.Choice{}, false
	}
	return placement.Choice{Owner: to.Incarnation, Reason: placement.ReasonMoved}, true
}
