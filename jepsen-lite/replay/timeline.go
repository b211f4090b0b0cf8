package replay

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

// Version is what an identity is from a log index on.
type Version struct {
	From  uint64
	Phase placement.Phase
	// Epoch, Member and Incarnation are those of a Pending or Settled one; of a Tombstone, those of what was removed.
	Epoch       uint64
	Member      string
	Incarnation uint64
}

// Claim is what became of one claim to a lock: the log indexes from which on it was queued, held the lock and was gone. Zero is
// not yet.
type Claim struct {
	Lock                string
	Token               uint64
	Session             uint64
	Mode                placement.LockMode
	Queued, Held, Ended uint64
}

// Carried is where a request was carried out. Placed is the identity that a Place gave an owner there; empty for what others did.
type Carried struct {
	Index    uint64
	Position int
	Placed   string
}

// Event is one thing that happened, as a watch tells it. Those of one index have no order that counts.
type Event struct {
	Index       uint64
	Position    int
	Type        string
	Identity    string
	Member      string
	Incarnation uint64
	Epoch       uint64
}

// The types of events, as a watch names them in lower case.
const (
	Placed         = "placed"
	Settled        = "settled"
	Failed         = "failed"
	Stopping       = "stopping"
	Unsettled      = "unsettled" // its owner has it no longer, and not everybody has seen that
	Removed        = "removed"   // nobody can see it any more
	MemberLeft     = "member_left"
	MemberExpired  = "member_expired"
	BlockAdded     = "block_added"
	BlockRemoved   = "block_removed"
	RetryThrottled = "retry_throttled" // it crashed too often in a row
)

// Timeline is what a log says.
type Timeline struct {
	// First and Last are the log indexes between which it knows everything.
	First, Last uint64
	// Identities has the versions of each, ascending; two may be of one index, and the later one counts.
	Identities map[string][]Version
	// Claims has all claims to locks, by token.
	Claims map[uint64]*Claim
	// Requests has where each request changed something, by ULID.
	Requests map[string][]Carried
	// Digests has the digest after each entry that had a command.
	Digests map[uint64]string
	// Events are what happened, in order.
	Events []Event
}

// At is what an identity is at a log index.
func (t *Timeline) At(identity string, index uint64) Version {
	list := t.Identities[identity]
	i, _ := slices.BinarySearchFunc(list, index+1, func(v Version, index uint64) int { return cmp.Compare(v.From, index) })
	if i == 0 {
		return Version{}
	}
	return list[i-1]
}

// DigestAt is the digest at a log index: that of the newest command up to it.
func (t *Timeline) DigestAt(index uint64) (digest string, ok bool) {
	digest, ok = t.Digests[index]
	return digest, ok
}

// Digest is a digest as it is written.
func Digest(d snapshot.Digest) string { return fmt.Sprintf("%016x", uint64(d)) }

// Replay runs the committed entries, up to the index committed, from the state base on, which is empty when it is nil. The first
// entry must follow that state. Errors wrap ErrBadLog, ErrDiffer, or those of the state machine.
func Replay(entries []Entry, base *snapshot.View, committed uint64) (*Timeline, error) {
	if base == nil {
		base = snapshot.Empty()
	}
	r := &replaying{
		Timeline: &Timeline{
			First: base.Index + 1, Identities: map[string][]Version{}, Claims: map[uint64]*Claim{}, Requests: map[string][]Carried{}, Digests: map[uint64]string{},
		},
		machine: fsm.New(base), model: newModel(),
	}
	r.machine.Observed = true
	r.model.begin(base, r.Timeline)
	if len(entries) > 0 && entries[0].Index > base.Index+1 {
		return nil, fmt.Errorf("%w: it begins at %d, and the state before it is of index %d", ErrBadLog, entries[0].Index, base.Index)
	}
	for i := range entries {
		e := &entries[i]
		if e.Index <= base.Index {
			continue
		}
		if e.Index > committed {
			break
		}
		r.Last = e.Index
		if e.Command == nil {
			continue
		}
		if err := r.apply(e); err != nil {
			return nil, err
		}
	}
	return r.Timeline, r.compareAll()
}

// State is the state after the entries, from the state base on, which is empty when it is nil. Errors are those of the state
// machine.
func State(entries []Entry, base *snapshot.View) (*snapshot.View, error) {
	if base == nil {
		base = snapshot.Empty()
	}
	m := fsm.New(base)
	for _, e := range entries {
		if e.Command == nil || e.Index <= base.Index {
			continue
		}
		if _, err := m.Apply(e.Index, e.Term, e.Command); err != nil {
			return nil, err
		}
	}
	return m.Publish(), nil
}

// replaying is a timeline in the making.
type replaying struct {
	*Timeline
	machine *fsm.Machine
	model   *model
	view    *snapshot.View
}

func (r *replaying) apply(e *Entry) error {
	out, err := r.machine.Apply(e.Index, e.Term, e.Command)
	if err != nil {
		return err
	}
	r.view = r.machine.Publish()
	r.Digests[e.Index] = Digest(r.view.Digest())
	touched := map[placement.Identity]bool{}
	for i := range out.Changes {
		c := &out.Changes[i]
		r.request(e.Index, c)
		r.model.change(r.Timeline, e.Index, c, r.view.Barrier)
		if c.Type == fsm.PlacementChanged {
			touched[c.Identity] = true
		}
	}
	for id := range touched { // any order
		if err := r.compare(id); err != nil {
			return err
		}
	}
	return r.compareBlocks()
}

// compareBlocks holds the model's block list against the state machine's.
func (r *replaying) compareBlocks() error {
	for b := range r.view.Blocks() {
		if got, ok := r.model.blocks[b.Subject]; !ok || got != b {
			return fmt.Errorf("%w at index %d: the block list has %+v in the model, and %+v in the state machine", ErrDiffer, r.view.Index, got, b)
		}
	}
	if got, want := len(r.model.blocks), r.view.BlockCount(); got != want {
		return fmt.Errorf("%w at index %d: the block list has %d entries in the model, and %d in the state machine", ErrDiffer, r.view.Index, got, want)
	}
	return nil
}

func (r *replaying) request(index uint64, c *fsm.Change) {
	if c.Request == (snapshot.RequestID{}) {
		return
	}
	name, at := ulid.ULID(c.Request).String(), Carried{Index: index, Position: c.Position}
	list := r.Requests[name]
	i := slices.IndexFunc(list, func(x Carried) bool { return x.Index == index && x.Position == c.Position })
	if i < 0 {
		list, i = append(list, at), len(list)
		r.Requests[name] = list
	}
	if c.Type == fsm.PlacementChanged && c.Cause == fsm.CausePlace {
		list[i].Placed = c.Identity.String()
	}
}

// compare holds the model's account of an identity against the state machine's.
func (r *replaying) compare(id placement.Identity) error {
	entry, owner := r.view.Lookup(id)
	got := r.At(id.String(), r.view.Index)
	want := Version{Phase: entry.Phase}
	if owner != nil {
		want.Epoch, want.Member, want.Incarnation = uint64(entry.Epoch), string(owner.ID), uint64(entry.Owner)
	}
	if got.Phase == placement.Tombstone || got.Phase == placement.Absent {
		got.Epoch, got.Member, got.Incarnation = 0, "", 0
	}
	if got.From = 0; got != want {
		return fmt.Errorf("%w at index %d: %v is %+v in the model, and %+v in the state machine", ErrDiffer, r.view.Index, id, got, want)
	}
	return nil
}

func (r *replaying) compareAll() error {
	if r.view == nil {
		return nil
	}
	settled, pending := 0, 0
	for name := range r.Identities { // any order
		id, err := placement.ParseIdentity(name)
		if err != nil {
			return err
		}
		if err := r.compare(id); err != nil {
			return err
		}
		switch r.At(name, r.view.Index).Phase {
		case placement.Settled:
			settled++
		case placement.Pending:
			pending++
		}
	}
	if s, p := r.view.Count(); s != settled || p != pending {
		return fmt.Errorf("%w: %d settled and %d pending in the model, %d and %d in the state machine", ErrDiffer, settled, pending, s, p)
	}
	return nil
}
