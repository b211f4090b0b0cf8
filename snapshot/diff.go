package snapshot

import (
	"iter"

	"github.com/seed13d31b7f/berth/placement"
)

// ChangeType says how two views differ in one identity.
type ChangeType uint8

// The types of changes.
const (
	// Placed: nobody owned it, and now somebody does or was chosen to.
	Placed ChangeType = iota + 1
	// Removed: somebody owned it or was chosen to, and nobody is now.
	Removed
	// Moved: another member owns it, or was chosen to.
	Moved
	// Renewed: the same member, under another epoch.
	Renewed
	// Confirmed: the owner that was chosen has confirmed.
	Confirmed
)

// String is the type's name, in small letters.
func (t ChangeType) String() string {
	switch t {
	case Placed:
		return "placed"
	case Removed:
		return "removed"
	case Moved:
		return "moved"
	case Renewed:
		return "renewed"
	case Confirmed:
		return "confirmed"
	}
	return "unknown"
}

// Change is the difference between two views in one identity.
type Change struct {
	Type ChangeType
	// From and To are what the views say. What nobody owns has no Owner.
	From, To Placement
}

// Diff returns the identities whose owner differs between two views, each once: first those that from has, in its order,
// then those that only to has. Tombstones count as nobody's. It costs a look-up for each identity of both.
func Diff(from, to *View) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for p := range from.Placements() {
			if p.Owner == nil {
				continue
			}
			c := Change{From: p, To: to.placement(p.Identity)}
			if c.Type = changeType(&c.From, &c.To); c.Type != 0 && !yield(c) {
				return
			}
		}
		for p := range to.Placements() {
			if p.Owner == nil {
				continue
			}
			if before := from.placement(p.Identity); before.Owner == nil && !yield(Change{Type: Placed, From: before, To: p}) {
				return
			}
		}
	}
}

func (v *View) placement(id placement.Identity) Placement {
	entry, owner := v.Lookup(id)
	return Placement{Identity: id, Entry: entry, Owner: owner}
}

// changeType is what became of an identity that somebody owned; zero when nothing did.
func changeType(from, to *Placement) ChangeType {
	switch {
	case to.Owner == nil:
		return Removed
	case to.Owner.ID != from.Owner.ID:
		return Moved
	case to.Entry.Epoch != from.Entry.Epoch:
		return Renewed
	case to.Entry.Phase != from.Entry.Phase:
		return Confirmed
	}
	return 0
}
