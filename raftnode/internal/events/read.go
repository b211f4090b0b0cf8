package events

import (
	"sort"

	"github.com/seed13d31b7f/berth/snapshot"
)

// Reading is the place of somebody who reads events one after the other: the number of the next one. It holds nothing.
type Reading uint64

// After is the place behind a log index. ok is false when events behind it are lost.
func (r *Ring) After(index uint64) (at Reading, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	n := sort.Search(int(r.next-r.first), func(i int) bool { return r.at(r.first+uint64(i)).Index > index })
	return Reading(r.first + uint64(n)), index >= r.after
}

// Read copies the next events, as many as there is room for. through is the log index up to which, with those, everything is
// read; it is below that of the last event when there are more of that one. ok is false when events are lost that come next.
func (r *Ring) Read(at Reading, to []Event) (n int, through uint64, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	number := uint64(at)
	if number < r.first || number > r.next {
		return 0, 0, false
	}
	for n < len(to) && number+uint64(n) < r.next {
		to[n] = r.at(number + uint64(n)).Event
		n++
	}
	if number += uint64(n); number == r.next {
		return n, r.last, true
	}
	return n, r.at(number).Index - 1, true
}

// View is the state right behind the end of a member, whose event stands at a place: what it owned can be found in it
// (snapshot.View.ScanEnded). It is nil when it is no longer kept. Whoever keeps it keeps the memory of what was changed since.
func (r *Ring) View(at Reading) *snapshot.View {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, x := range r.views {
		if x.number == uint64(at) {
			return x.view
		}
	}
	return nil
}

// Span is from which log index on events are known, and up to which.
func (r *Ring) Span() (after, last uint64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.after, r.last
}

// Lag is how many events follow a place.
func (r *Ring) Lag(at Reading) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.next - min(r.next, uint64(at))
}
