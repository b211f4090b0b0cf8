package events

import (
	"slices"

	"github.com/seed13d31b7f/berth/placement"
)

// History is what is known of one identity.
type History struct {
	// Events are the newest ones, ascending.
	Events []Event
	// After is the log index behind which they are complete, but for this: when an owner ends that was chosen at or below
	// it, nothing says what it owned.
	After uint64
	// More says that older ones are kept that were not asked for.
	More bool
}

// History returns the newest events of an identity, at most so many, up to a log index. An owner's end is told as the
// removal that it is.
func (r *Ring) History(id placement.Identity, most int, upTo uint64) History {
	r.mu.RLock()
	defer r.mu.RUnlock()
	h := History{After: r.after}
	found := 0
	next := r.next // the number of the event of the identity that came after the one at hand
	r.thread(identityHash(id), func(number uint64, e *Event) bool {
		if e.Detail != nil || e.Identity != id || e.Index > upTo {
			return true
		}
		if found++; found > most {
			h.More = true
			return false
		}
		if e.owns() {
			if end := r.endOf(e, number, next, upTo); end != nil {
				h.Events = append(h.Events, *end)
			}
		}
		h.Events = append(h.Events, *e)
		next = number
		return true
	})
	slices.Reverse(h.Events)
	if len(h.Events) > most {
		h.Events, h.More = h.Events[len(h.Events)-most:], true
	}
	return h
}

// Became says whether the placement of an identity under one epoch became that under a later one, at most at a log index, by nothing but
// candidates that failed. It says no when what was between them is not known any more.
func (r *Ring) Became(id placement.Identity, from, to placement.Epoch, upTo uint64) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var placed *Event // under the epoch to
	r.thread(identityHash(id), func(_ uint64, e *Event) bool {
		if e.Detail != nil || e.Identity != id || e.Index > upTo {
			return true
		}
		switch {
		case placed == nil:
			if e.Type == Placed && e.Epoch == to {
				placed = e
			}
		case e.Type == Failed && e.Index == placed.Index && e.Position == placed.Position:
			to, placed = e.Epoch, nil
		default:
			return false // it was placed where nothing was
		}
		return to != from
	})
	return to == from
}

// owns says that the member has the identity after the event.
func (e *Event) owns() bool { return e.Type == Placed || e.Type == Settled || e.Type == Stopping }

// endOf is the removal that the end of an event's owner was, when it lies between two numbers.
func (r *Ring) endOf(owned *Event, after, before, upTo uint64) (removal *Event) {
	r.thread(lifeHash(owned.Incarnation), func(number uint64, e *Event) bool {
		if number <= after {
			return false
		}
		if number < before && e.Type == MemberEnded && e.Incarnation == owned.Incarnation && e.Index <= upTo {
			end := *e
			end.Type, end.Identity, end.Epoch = Removed, owned.Identity, owned.Epoch
			removal = &end
		}
		return removal == nil
	})
	return removal
}
