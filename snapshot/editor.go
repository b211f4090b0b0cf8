package snapshot

import (
	"errors"
	"fmt"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
)

// ErrLimit says that a table of the view is full: its limit is one of the constants of this package. Nothing was
// changed.
var ErrLimit = errors.New("limit of the state reached")

// Editor makes one view after the other: changes gather in it until Publish returns the next view. It belongs to one
// goroutine. Views that were published stay as they are.
type Editor struct {
	v   View // the state with all changes
	gen uint64

	// What Seek found, for Put.
	spot struct {
		id     placement.Identity
		known  bool // the kind is known
		key    key
		hash   uint64
		old    stored
		exists bool
		page   *page // of the bucket
		at     int   // of the record in it
	}
	expected expected
	owners   [ownersNear]uint32 // the slots where incarnations were found last

	// Work that follows from the barrier. All of it can be found again from a view, so it is not part of one.
	deaths     []death     // members that ended above the barrier, ascending
	tombstones []tombGroup // removals above the barrier, ascending
	buried     []uint64    // hashes of tombstones at or below the barrier, still in memory
	garbage    int         // records of hidden slots, still in memory
	cursor     int         // the bucket where the search for garbage goes on
	free       []uint32    // slots without a member

	recalled map[RequestID]*Result

	// What follows from the blocks and the moves, and can be found again from a view too.
	deadlines tree[string, struct{}]                 // of blocks that end, see deadlineOf; nobody else has seen it
	movesTo   map[placement.MemberID]map[string]bool // the keys of the moves to each member
	crashEnds tree[string, struct{}]                 // when crashes are forgotten, as deadlines
}

type death struct {
	at   uint64
	slot uint32
}

type tombGroup struct {
	at     uint64
	digest uint64
	hashes []uint64
}

// NewEditor returns an editor whose state is that of the view. It costs one pass over the view.
func NewEditor(v *View) *Editor {
	e := &Editor{
		v: *v, gen: max(v.table.rootGen, v.slots.rootGen, v.tables.gen) + 1, recalled: map[RequestID]*Result{},
		movesTo: map[placement.MemberID]map[string]bool{},
	}
	// What the editor appends to must not be the array that another editor of the same view appends to.
	e.v.kindNames = slices.Clip(e.v.kindNames)
	e.v.timeline.marks = slices.Clip(e.v.timeline.marks)
	e.v.results.full = slices.Clip(e.v.results.full)
	e.v.results.tail = append(make([]Result, 0, resultChunk), e.v.results.tail...)
	e.v.results.all(func(r *Result) { e.recalled[r.Request] = r })
	e.findDeaths()
	e.findTombstones()
	e.findDeadlines()
	e.findMoves()
	e.findCrashEnds()
	return e
}

// View returns the state with all changes. It is for reading between two changes; unlike a published view it changes.
func (e *Editor) View() *View { return &e.v }

// Publish returns the state as an immutable view.
func (e *Editor) Publish() *View {
	e.v.oldest = e.oldestRemoval()
	v := e.v
	e.gen++
	return &v
}

// Seek returns what everybody must see of an identity, and remembers where it stands for the Put that may follow.
// id's strings are not kept beyond that.
func (e *Editor) Seek(id placement.Identity) (entry placement.Entry) {
	s := &e.spot
	s.id, s.exists, s.page, s.at = id, false, nil, 0
	if s.known = e.expected.take(id, &s.key, &s.hash); !s.known {
		var kind KindNumber
		if kind, s.known = e.v.kinds.get(id.Kind); !s.known {
			return entry
		}
		s.hash = s.key.set(kind, id.Key, e.v.table.seed)
	}
	s.page, s.at = e.v.table.get(s.hash, &s.key)
	if s.at == 0 {
		return entry
	}
	s.old, s.exists = s.page.value(s.at), true
	e.v.see(s.old, &entry)
	return entry
}

// Cut is the Pending entry, with its owner, that the identity which Seek found last had until the owner ended at the index of this
// very log entry, as long as nothing was put in its place; the owner is nil when there is none. The owner must not be changed.
func (e *Editor) Cut() (entry placement.Entry, owner *placement.Member) {
	s := &e.spot
	if !s.exists || s.old.phase() != placement.Pending {
		return entry, nil
	}
	owner = e.v.slots.at(s.old.slot()).member
	if owner.Ended == 0 || owner.Ended != e.v.Index {
		return entry, nil
	}
	entry.Phase, entry.Attempt, entry.Reason = s.old.phase(), s.old.attempt(), s.old.reason()
	entry.Owner, entry.Epoch = owner.Incarnation, placement.Epoch(s.old.number)
	return entry, owner
}

// Put replaces the entry of the identity that Seek found last. The owner of a Pending or Settled entry must be an
// incarnation of this view, and a Tombstone must not be above the index of a later one; the kind must be known. It
// panics otherwise: the state machine would have decided something that the state cannot say.
func (e *Editor) Put(entry placement.Entry) {
	s := &e.spot
	if !s.known {
		panic(fmt.Sprintf("snapshot: put of %v, whose kind is not known", s.id))
	}
	if entry.Phase == placement.Absent {
		if s.exists {
			e.forget(s.hash, s.key.kind, s.old)
			e.v.table.remove(e.gen, e.v.table.bucket(s.hash), func(r record) bool { return r.has(&s.key) })
		}
		s.exists, s.page, s.at = false, nil, 0
		return
	}
	var next stored
	if s.exists && e.keepsOwner(entry) {
		next = storedEntry(entry, s.old.slot())
		e.recount(s.hash, s.old, next)
	} else {
		if s.exists {
			e.forget(s.hash, s.key.kind, s.old)
		}
		next = e.store(entry)
		e.account(s.hash, s.key.kind, next)
	}
	s.page, s.at = e.v.table.put(e.gen, s.hash, &s.key, next, s.page, s.at)
	s.old, s.exists = next, true
}

// store turns an entry into what the index keeps.
func (e *Editor) store(entry placement.Entry) stored {
	if entry.Phase == placement.Tombstone {
		return storedEntry(entry, 0)
	}
	slot, ok := e.slotNear(entry.Owner)
	if !ok {
		panic(fmt.Sprintf("snapshot: put of %v with an owner that is not there: %#x", e.spot.id, entry.Owner))
	}
	return storedEntry(entry, slot)
}

// account adds a record to the sums of its slot and of the view.
func (e *Editor) account(hash uint64, kind KindNumber, s stored) {
	d := e.v.recordDigest(hash, s)
	e.v.records += d
	if s.phase() == placement.Tombstone {
		e.tombstone(s.number, hash, d)
		return
	}
	slot := e.v.slots.edit(e.gen, s.slot())
	slot.digest += d
	slot.count(e.gen, kind, 1)
	if s.phase() == placement.Pending {
		slot.pending++
	} else {
		slot.settled++
	}
}

// keepsOwner says whether the entry has the owner that the record has which it replaces.
func (e *Editor) keepsOwner(entry placement.Entry) bool {
	if e.spot.old.phase() == placement.Tombstone || entry.Phase == placement.Tombstone {
		return false
	}
	slot := e.v.slots.at(e.spot.old.slot())
	return !slot.hidden && slot.member.Incarnation == entry.Owner
}

// recount is forget and account of a record whose owner stays.
func (e *Editor) recount(hash uint64, old, next stored) {
	slot := e.v.slots.edit(e.gen, next.slot())
	was, is := e.v.recordDigest(hash, old), e.v.recordDigest(hash, next)
	slot.digest += is - was
	e.v.records += is - was
	switch {
	case old.phase() == next.phase():
	case next.phase() == placement.Pending:
		slot.pending++
		slot.settled--
	default:
		slot.pending--
		slot.settled++
	}
}

// forget takes a record that is about to go out of the sums.
func (e *Editor) forget(hash uint64, kind KindNumber, s stored) {
	if s.phase() == placement.Tombstone {
		if s.number > e.v.Barrier {
			panic(fmt.Sprintf("snapshot: %v is overwritten at barrier %d, under a removal at %d", e.spot.id, e.v.Barrier, s.number))
		}
		return
	}
	slot := e.v.slots.edit(e.gen, s.slot())
	if s.phase() == placement.Pending {
		slot.pending--
	} else {
		slot.settled--
	}
	if slot.hidden {
		e.garbage--
		e.freeIfUnused(s.slot())
		return
	}
	d := e.v.recordDigest(hash, s)
	slot.digest -= d
	slot.count(e.gen, kind, -1)
	e.v.records -= d
}

// SetPosition says which log entry is being applied.
func (e *Editor) SetPosition(index, term uint64) {
	e.v.Index, e.v.Term = index, term
	e.expected.forget()
}

// AdvanceTime moves the replicated clock forward; it never goes back.
func (e *Editor) AdvanceTime(ms uint64) {
	e.v.Time = max(e.v.Time, ms)
	e.v.timeline.add(e.v.Index, e.v.Time)
}

// SetCluster replaces what is known of the cluster. The seed can be given once, before anything is placed.
func (e *Editor) SetCluster(c Cluster) {
	if c.Seed != e.v.table.seed && e.v.table.records != 0 {
		panic("snapshot: the seed of a view that holds placements was changed")
	}
	e.v.Cluster, e.v.table.seed = c, c.Seed
}

// AddKind makes a kind known. It fails with ErrLimit when there are KindsMax already.
func (e *Editor) AddKind(name string) error {
	if e.v.HasKind(name) {
		return nil
	}
	if len(e.v.kindNames) >= KindsMax {
		return fmt.Errorf("%d kinds: %w", KindsMax, ErrLimit)
	}
	e.v.kinds = e.v.kinds.with(name, KindNumber(len(e.v.kindNames)))
	e.v.kindNames = append(e.v.kindNames, name)
	return nil
}

// SetKind gives a kind other settings, and makes it known. It fails with ErrLimit when that makes too many kinds. It
// panics when the settings are not valid or there is no such strategy: what is decided by the state must be the same
// everywhere.
func (e *Editor) SetKind(name string, s placement.KindSettings) error {
	s.Normalize()
	if err := s.Validate(); err != nil || placement.StrategyNamed(s.Strategy) == nil {
		panic(fmt.Sprintf("snapshot: kind %s is given the settings %+v, which are none", name, s))
	}
	if err := e.AddKind(name); err != nil {
		return err
	}
	if s == defaultSettings() {
		e.v.settings = e.v.settings.without(name)
	} else {
		e.v.settings = e.v.settings.with(name, s)
	}
	return nil
}

// defaultSettings are those of kinds that were never given any. Views do not keep them: that a kind has them again leaves
// no trace.
func defaultSettings() (s placement.KindSettings) {
	s.Normalize()
	return s
}

// PutServer registers a server under its name, or changes its registration. It fails with ErrLimit when there are
// ServersMax names already.
func (e *Editor) PutServer(s Server) error {
	if _, ok := e.v.servers.get(s.Name); !ok && e.v.servers.len() >= ServersMax {
		return fmt.Errorf("%d servers: %w", ServersMax, ErrLimit)
	}
	e.v.servers = e.v.servers.with(s.Name, s)
	return nil
}

// DropServers forgets every server, those that were removed too: their names may be used again.
func (e *Editor) DropServers() { e.v.servers = nil }

// Recall returns the remembered answer to a request, nil when there is none.
func (e *Editor) Recall(id RequestID) *Result { return e.recalled[id] }

// Remember keeps the answer to a request, and forgets the oldest ones when there are more than ResultsMax.
func (e *Editor) Remember(r Result) {
	e.recalled[r.Request] = e.v.results.add(r)
	for e.v.results.count > ResultsMax {
		for _, old := range e.v.results.dropOldest() {
			delete(e.recalled, old.Request)
		}
	}
}
