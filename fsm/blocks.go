package fsm

import (
	"cmp"
	"errors"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Block puts a member or an identity on the block list, or changes what the list says of it.
//
// A blocked member is given nothing, and no incarnation of it may join; the one that is there keeps what it owns until it
// releases that or its lease ends, and does not live on, not even when the block is over. A blocked identity is given no owner;
// the one that it has is asked to release it.
//
// Verdicts: Done, Already, LimitReached; about an identity with the entry that follows.
type Block struct {
	snapshot.Subject
	// Reason and By say for people why, and who wants it: at most placement.ReasonBytesMax and
	// snapshot.BlockByBytesMax bytes.
	Reason, By string
	// Until is when the block ends, by the replicated clock, in milliseconds since 1970; zero for when it is taken away.
	Until uint64
	// Lasts, when it is not zero, takes the place of Until: how long the block lasts from when it is carried out, in
	// milliseconds. A request that is sent again says the same.
	Lasts uint64
}

// Unblock takes a member or an identity off the block list: an incarnation of the member may join. What was asked back
// meanwhile stays so, and the incarnation that was blocked ends. The crashes of the identity are forgotten.
//
// Verdicts: Done, NotBlocked.
type Unblock struct{ snapshot.Subject }

// Validate wants a member or an identity, and texts for people.
func (c *Block) Validate() error {
	if c.Until != 0 && c.Lasts != 0 {
		return errors.New("both an end and a time to last are given")
	}
	b := snapshot.Block{Subject: c.Subject, Reason: c.Reason, By: c.By, Until: c.Until}
	return b.Validate()
}

// timeMax is the last moment of the replicated clock.
const timeMax = 1<<64 - 1

// blocksEndedMax is the number of blocks that end by their time with one log entry. When more are due, the others end with
// the entries that follow.
const blocksEndedMax = 256

// advanceTime takes the clock of an entry in, forgets crashes, and ends the blocks whose time has come. A block is in force while it is in
// the list, and nothing else decides that.
func (m *Machine) advanceTime(ms uint64) {
	m.edit.AdvanceTime(ms)
	m.edit.ForgetCrashes(crashesForgottenMax)
	for range blocksEndedMax {
		b, ok := m.edit.BlockOver()
		if !ok {
			return
		}
		m.unblock(b.Subject)
	}
}

func (m *Machine) applyBlock(b []byte) (Result, error) {
	c, err := decodeBlock(b, opBlock)
	if err != nil || c.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	next := snapshot.Block{Subject: c.Subject, Reason: c.Reason, By: c.By, Since: m.edit.View().Time, Until: c.Until}
	if c.Lasts != 0 {
		next.Until = next.Since + min(c.Lasts, timeMax-next.Since)
	}
	old, blocked := m.edit.View().Block(c.Subject)
	if blocked {
		if next.Since = old.Since; next == old {
			return Result{Verdict: placement.Already}, nil
		}
	}
	if err := m.edit.PutBlock(next); err != nil {
		return Result{Verdict: placement.LimitReached}, nil
	}
	m.blockChanged(BlockAdded, next)
	if c.Member != "" {
		m.bar(c.Member)
		return Result{Verdict: placement.Done}, nil
	}
	r := m.transition(c.Identity, func(e placement.Entry) (placement.Entry, placement.Verdict) { return e.Evict(0) })
	r.Verdict = placement.Done // what there was to evict is another question
	return r, nil
}

func (m *Machine) applyUnblock(b []byte) (Result, error) {
	c, err := decodeBlock(b, opUnblock)
	if err != nil || c.Subject.Validate() != nil {
		return Result{Verdict: placement.Invalid}, err
	}
	if _, blocked := m.edit.View().Block(c.Subject); !blocked {
		return Result{Verdict: placement.NotBlocked}, nil
	}
	m.unblock(c.Subject)
	m.edit.DropCrash(c.Identity) // whoever says that it may be tried again knows better
	return Result{Verdict: placement.Done}, nil
}

func (m *Machine) unblock(s snapshot.Subject) {
	old, _ := m.edit.View().Block(s)
	m.edit.DropBlock(s)
	m.blockChanged(BlockRemoved, old)
}

// bar gives the incarnations of a name that are alive the state that they have until they end: the one that stands for it, and
// those that it superseded.
func (m *Machine) bar(id placement.MemberID) {
	v := m.edit.View()
	if member := v.Roster.Find(id); member != nil && member.State != placement.MemberBlocked {
		next := *member
		next.State, next.Drained = placement.MemberBlocked, member.State == placement.MemberDraining
		m.edit.SetMember(&next)
		m.rosterChanged(MemberChanged, &next)
	}
	if m.members == v.Roster.Len() {
		return // nobody is superseded
	}
	var former []*placement.Member
	for member := range v.Members() {
		if member.ID == id && member.State == placement.MemberSuperseded {
			former = append(former, member)
		}
	}
	slices.SortFunc(former, func(a, b *placement.Member) int { return cmp.Compare(a.Incarnation, b.Incarnation) })
	for _, member := range former {
		next := *member
		next.State = placement.MemberBarred
		m.edit.SetMember(&next)
		m.rosterChanged(MemberChanged, &next)
	}
}

// blockChanged tells of an entry of the block list, which has its own texts.
func (m *Machine) blockChanged(t ChangeType, b snapshot.Block) {
	if !m.Observed {
		return
	}
	v, change := m.edit.View(), &BlockChange{Block: b}
	switch {
	case t == BlockRemoved:
	case b.Member == "":
		if e, _ := v.Lookup(b.Identity); e.Owner != 0 {
			change.Placements = 1
		}
	default:
		if member := v.Roster.Find(b.Member); member != nil {
			load := v.MemberLoad(member.Incarnation)
			change.Placements = load.Settled + load.Pending
		}
	}
	m.changed(Change{Type: t, Block: change})
}
