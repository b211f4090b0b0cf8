package events

import (
	"sort"

	"github.com/seed13d31b7f/berth/snapshot"
)

// Reading is the place of somebody who reads events one after the other: the number of the next one. It holds nothing.
type Reading uint64

// there is which events there are, as of the newest that was added.
func (r *Ring) there() *extent {
	if e := r.extant.Load(); e != nil {
		return e
	}
	return &extent{}
}

// look is the event of a number, nil when it has made room.
func (r *Ring) look(number uint64) *kept {
	if k := r.slots[number%EventsMax].Load(); k != nil && k.number == number {
		return k
	}
	return nil
}

// After is the place behind a log index. ok is false when events behind it are lost.
func (r *Ring) After(index uint64) (at Reading, ok bool) {
	there := r.there()
	n := sort.Search(int(there.next-there.first), func(i int) bool {
		k := r.look(there.first + uint64(i))
		return k != nil && k.Index > index // what has made room meanwhile was before whatever is there
	})
	return Reading(there.first + uint64(n)), index >= there.after
}

// Read copies the next events, as many as there is room for. through is the log index up to which, with those, everything is
// read; it is below that of the last event when there are more of that one. ok is false when events are lost that come next.
func (r *Ring) Read(at Reading, to []Event) (n int, through uint64, ok bool) {
	there, number := r.there(), uint64(at)
	if number < there.first || number > there.next {
		return 0, 0, false
	}
	for ; n < len(to) && number < there.next; n, number = n+1, number+1 {
		k := r.look(number)
		if k == nil {
			return 0, 0, false
		}
		to[n] = k.Event
	}
	if number == there.next {
		return n, there.last, true
	}
	k := r.look(number)
	if k == nil {
		return 0, 0, false
	}
	return n, k.Index - 1, true
}

// View is the state right behind the end of a member, whose event stands at a place: what it owned can be found in it
// (snapshot.View.ScanEnded). It is nil when it is no longer kept. Whoever keeps it keeps the memory of what was changed since.
func (r *Ring) View(at Reading) *snapshot.View {
	for _, x := range r.there().views {
		if x.number == uint64(at) {
			return x.view
		}
	}
	return nil
}

// Span is from which log index on events are known, and up to which.
func (r *Ring) Span() (after, last uint64) {
	there := r.there()
	return there.after, there.last
}
