package replay

import (
	"slices"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// model is the plain account of what became of everything: maps, and no cleverness.
type model struct {
	now    map[placement.Identity]Version
	owned  map[placement.Incarnation]map[placement.Identity]bool
	graves map[placement.Identity]uint64 // removals that are not complete, and their log index
	blocks map[snapshot.Subject]snapshot.Block
	ended  Version // the newest one that a command about its identity ended
}

func newModel() *model {
	return &model{
		now: map[placement.Identity]Version{}, owned: map[placement.Incarnation]map[placement.Identity]bool{}, graves: map[placement.Identity]uint64{},
		blocks: map[snapshot.Subject]snapshot.Block{},
	}
}

// begin takes over the state that a log follows.
func (m *model) begin(v *snapshot.View, t *Timeline) {
	for p := range v.Placements() {
		x := Version{Phase: p.Entry.Phase, Epoch: uint64(p.Entry.Epoch), Incarnation: uint64(p.Entry.Owner)}
		if p.Owner != nil {
			x.Member = string(p.Owner.ID)
		}
		m.set(t, p.Identity, x)
		if p.Entry.Phase == placement.Tombstone {
			m.graves[p.Identity] = p.Entry.Removed
		}
	}
	for b := range v.Blocks() {
		m.blocks[b.Subject] = b
	}
}

// set gives an identity a version, and to its owner.
func (m *model) set(t *Timeline, id placement.Identity, v Version) {
	if before := m.now[id]; before.Incarnation != 0 {
		delete(m.owned[placement.Incarnation(before.Incarnation)], id)
	}
	m.now[id] = v
	if v.Phase == placement.Pending || v.Phase == placement.Settled {
		inc := placement.Incarnation(v.Incarnation)
		if m.owned[inc] == nil {
			m.owned[inc] = map[placement.Identity]bool{}
		}
		m.owned[inc][id] = true
	}
	name := id.String()
	t.Identities[name] = append(t.Identities[name], v)
}

func (m *model) change(t *Timeline, index uint64, c *fsm.Change, barrier uint64) {
	switch c.Type {
	case fsm.PlacementChanged:
		m.placement(t, index, c)
	case fsm.MemberEnded:
		m.memberEnded(t, index, c)
	case fsm.RemovalsCompleted:
		m.completed(t, index, barrier)
	case fsm.LockQueued, fsm.LockGranted, fsm.LockReleased, fsm.LockLost:
		m.lock(t, index, c)
	case fsm.BlockAdded, fsm.BlockRemoved:
		m.block(t, index, c)
	}
}

// block changes the block list. A block that no operator asked for is that of a crash loop: what the same command ended is not
// tried again for a while.
func (m *model) block(t *Timeline, index uint64, c *fsm.Change) {
	b := c.Block.Block
	e := Event{Index: index, Position: c.Position, Type: BlockAdded, Member: string(b.Member)}
	if b.Member == "" {
		e.Identity = b.Identity.String()
	}
	if m.blocks[b.Subject] = b; c.Type == fsm.BlockRemoved {
		e.Type = BlockRemoved
		delete(m.blocks, b.Subject)
	}
	t.Events = append(t.Events, e)
	if e.Type == BlockAdded && (c.Cause == fsm.CauseFail || c.Cause == fsm.CauseRelease) {
		e.Type, e.Member, e.Incarnation, e.Epoch = RetryThrottled, m.ended.Member, m.ended.Incarnation, m.ended.Epoch
		t.Events = append(t.Events, e)
	}
}

func (m *model) placement(t *Timeline, index uint64, c *fsm.Change) {
	before, after := m.now[c.Identity], Version{From: index, Phase: c.Entry.Phase, Epoch: uint64(c.Entry.Epoch), Incarnation: uint64(c.Entry.Owner)}
	event := Event{Index: index, Position: c.Position, Identity: c.Identity.String()}
	say := func(what string, v *Version) {
		event.Type, event.Member, event.Incarnation, event.Epoch = what, v.Member, v.Incarnation, v.Epoch
		t.Events = append(t.Events, event)
	}
	owns := func(p placement.Phase) bool { return p == placement.Pending || p == placement.Settled }
	if owns(before.Phase) && before.Epoch != after.Epoch {
		m.ended = before
		switch {
		case c.Cause == fsm.CauseFail:
			say(Failed, &before)
		case before.Phase == placement.Settled:
			say(Unsettled, &before)
		default:
			say(Removed, &before)
		}
	}
	switch {
	case owns(after.Phase):
		after.Member = string(c.Member.ID)
		switch {
		case before.Epoch != after.Epoch || !owns(before.Phase):
			say(Placed, &after)
		case before.Phase != after.Phase:
			say(Settled, &after)
		case c.Entry.Draining && !c.Before.Draining:
			say(Stopping, &after)
		}
	case after.Phase == placement.Tombstone:
		after.Epoch, after.Member, after.Incarnation = before.Epoch, before.Member, before.Incarnation
		m.graves[c.Identity] = c.Entry.Removed
	}
	if owns(after.Phase) {
		delete(m.graves, c.Identity)
	}
	m.set(t, c.Identity, after)
}

// memberEnded ends what a member owned: what was settled is a removal, and what was on its way is absent.
func (m *model) memberEnded(t *Timeline, index uint64, c *fsm.Change) {
	inc := c.Member.Incarnation
	ended := Event{Index: index, Position: c.Position, Type: MemberExpired, Member: string(c.Member.ID), Incarnation: uint64(inc)}
	if c.Cause == fsm.CauseLeave {
		ended.Type = MemberLeft
	}
	t.Events = append(t.Events, ended)
	var ids []placement.Identity
	for id := range m.owned[inc] { // any order
		ids = append(ids, id)
	}
	slices.SortFunc(ids, placement.Identity.Compare)
	for _, id := range ids {
		v := m.now[id]
		gone := Event{Index: index, Position: c.Position, Type: Removed, Identity: id.String(), Member: v.Member, Incarnation: v.Incarnation, Epoch: v.Epoch}
		v.From = index
		if v.Phase == placement.Settled {
			v.Phase = placement.Tombstone
			m.graves[id] = index
			gone.Type = Unsettled
		} else {
			v = Version{From: index}
		}
		t.Events = append(t.Events, gone)
		m.set(t, id, v)
	}
	delete(m.owned, inc)
}

// completed ends the removals that the barrier has passed.
func (m *model) completed(t *Timeline, index, barrier uint64) {
	var ids []placement.Identity
	for id, removed := range m.graves { // any order
		if removed <= barrier {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, placement.Identity.Compare)
	for _, id := range ids {
		v := m.now[id]
		t.Events = append(t.Events, Event{Index: index, Type: Removed, Identity: id.String(), Member: v.Member, Incarnation: v.Incarnation, Epoch: v.Epoch})
		delete(m.graves, id)
		m.set(t, id, Version{From: index})
	}
}

func (m *model) lock(t *Timeline, index uint64, c *fsm.Change) {
	claim := &c.Lock.Claim
	x := t.Claims[uint64(claim.Token)]
	if x == nil {
		x = &Claim{Lock: c.Lock.Name, Token: uint64(claim.Token), Session: uint64(claim.Session), Mode: claim.Mode}
		t.Claims[x.Token] = x
	}
	switch c.Type {
	case fsm.LockQueued:
		x.Queued = index
	case fsm.LockGranted:
		x.Held = index
	case fsm.LockReleased:
		x.Ended = index
	case fsm.LockLost:
		if claim.Lost == placement.LockKept { // it does not keep its place
			x.Ended = index
		}
	}
}
