package snapshot

import (
	"strings"

	"github.com/seed13d31b7f/berth/placement"
)

// scanAll is a limit that no index reaches.
const scanAll = int(^uint(0) >> 1)

// Filter says which placements are wanted. The zero value wants all that are not Absent.
type Filter struct {
	// Kind, when it is not empty, is that of the identity.
	Kind string
	// Prefix is what the key begins with, byte for byte.
	Prefix string
	// Member, when it is not empty, is the name of the owner.
	Member placement.MemberID
	// Phase, when it is not Absent, is that of the entry.
	Phase placement.Phase
	// Unsettled wants no Settled entries.
	Unsettled bool
}

// Cursor is a place in the order of one view's placements. Zero is the beginning.
type Cursor uint64

// cursorOf is the place before a record: a bucket, and a number within it.
func cursorOf(bucket, record int) Cursor { return Cursor(bucket)<<16 | Cursor(record) }

// Scan looks at the records from a cursor on, in the order of the index, at no more than limit of them, and calls take with
// each placement that the filter wants. When take returns false it is not done with that one: the scan ends before it. Next
// is where to go on, with the same view and any filter; whole says that there is nothing more.
//
// A bucket without records counts as one, so that the limit bounds the work whatever the filter wants.
func (v *View) Scan(f Filter, from Cursor, limit int, take func(Placement) bool) (next Cursor, whole bool) {
	kind, known := v.kinds.get(f.Kind)
	if f.Kind != "" && !known {
		return from, true
	}
	record := int(from & 0xffff)
	for b := int(min(uint64(from>>16), bucketsMax)); b < v.table.buckets; b, record = b+1, 0 {
		if limit <= 0 {
			return cursorOf(b, record), false
		}
		limit--
		p := v.table.page(b)
		if p == nil {
			continue
		}
		for ; record < p.count(); record++ {
			if limit <= 0 {
				return cursorOf(b, record), false
			}
			limit--
			r := p.record(record)
			k := r.key()
			if f.Kind != "" && k.kind != kind || f.Prefix != "" && !k.begins(f.Prefix) {
				continue
			}
			var e placement.Entry
			owner := v.see(r.value(), &e)
			if f.wants(&e, owner) && !take(Placement{v.identity(k), e, owner}) {
				return cursorOf(b, record), false
			}
		}
	}
	return cursorOf(v.table.buckets, 0), true
}

// ScanEnded looks at records from a cursor on, as Scan does, and calls take with those that an incarnation owned when it
// ended: as they were then, without their owner. They are all there as of the view of the log index at which it ended; later
// views lose them. When take returns false it is not done with that one.
func (v *View) ScanEnded(inc placement.Incarnation, from Cursor, limit int, take func(placement.Identity, placement.Entry) bool) (next Cursor, whole bool) {
	slot, ok := v.incarnations.get(incarnationKey(inc))
	if !ok || v.slots.at(slot).hidden {
		return from, true
	}
	record := int(from & 0xffff)
	for b := int(min(uint64(from>>16), bucketsMax)); b < v.table.buckets; b, record = b+1, 0 {
		if limit <= 0 {
			return cursorOf(b, record), false
		}
		limit--
		p := v.table.page(b)
		if p == nil {
			continue
		}
		for ; record < p.count(); record++ {
			if limit <= 0 {
				return cursorOf(b, record), false
			}
			limit--
			r := p.record(record)
			s := r.value()
			if s.phase() == placement.Tombstone || s.slot() != slot {
				continue
			}
			e := placement.Entry{Phase: s.phase(), Attempt: s.attempt(), Draining: s.draining(), Reason: s.reason(), Owner: inc, Epoch: placement.Epoch(s.number)}
			if !take(v.identity(r.key()), e) {
				return cursorOf(b, record), false
			}
		}
	}
	return cursorOf(v.table.buckets, 0), true
}

// wants looks at what everybody must see of a record.
func (f *Filter) wants(e *placement.Entry, owner *placement.Member) bool {
	return e.Phase != placement.Absent &&
		(f.Phase == placement.Absent || e.Phase == f.Phase) &&
		(!f.Unsettled || e.Phase != placement.Settled) &&
		(f.Member == "" || owner != nil && owner.ID == f.Member)
}

// begins says whether the key begins with a text.
func (k *key) begins(prefix string) bool {
	if !k.packed {
		return strings.HasPrefix(k.text, prefix)
	}
	text := k.uuid.text()
	return len(text) >= len(prefix) && string(text[:len(prefix)]) == prefix
}
