package lease

import (
	"math"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// table is what a tenure keeps of the leases that the members' model is about: of members, or of sessions, whose rules are the
// same.
type table interface {
	joined(inc placement.Incarnation, now Instant)
	ended(inc placement.Incarnation)
	answer(inc placement.Incarnation, alive bool, t0 Instant) bool
	expire(now Instant) []placement.Incarnation
	// put and get are one line of it: when its time is over, and whether it is marked.
	put(inc placement.Incarnation, over Instant, marked bool)
	get(inc placement.Incarnation) (over Instant, marked, ok bool)
}

type memberTable struct{ *Members }

func (t memberTable) joined(inc placement.Incarnation, now Instant) { t.Joined(inc, now) }
func (t memberTable) ended(inc placement.Incarnation)               { t.Ended(inc) }
func (t memberTable) answer(inc placement.Incarnation, alive bool, t0 Instant) bool {
	return t.Answer(inc, alive, t0)
}
func (t memberTable) expire(now Instant) []placement.Incarnation { return t.Expire(now) }

func (t memberTable) put(inc placement.Incarnation, over Instant, marked bool) {
	t.seen[inc] = over.Add(-t.full)
	if marked {
		t.expiring[inc] = true
	}
}

func (t memberTable) get(inc placement.Incarnation) (over Instant, marked, ok bool) {
	seen, ok := t.seen[inc]
	return seen.Add(t.full), t.expiring[inc], ok
}

// sessionTable has a session for each incarnation.
type sessionTable struct {
	*Sessions
	ttl time.Duration
}

func (t sessionTable) joined(inc placement.Incarnation, now Instant) {
	t.Opened(placement.SessionID(inc), t.ttl, now)
}
func (t sessionTable) ended(inc placement.Incarnation) { t.Ended(placement.SessionID(inc)) }
func (t sessionTable) answer(inc placement.Incarnation, alive bool, t0 Instant) bool {
	return t.Answer(placement.SessionID(inc), alive, t0)
}

func (t sessionTable) expire(now Instant) (due []placement.Incarnation) {
	for _, id := range t.Expire(now, math.MaxInt) {
		due = append(due, placement.Incarnation(id))
	}
	return due
}

func (t sessionTable) put(inc placement.Incarnation, over Instant, marked bool) {
	id := placement.SessionID(inc)
	t.full[id] = pick(stretchedTTL, t.ttl, Stretch(t.ttl))
	if marked {
		t.expiring[id] = true // and is not due any more
	} else {
		t.due.Set(id, over)
	}
}

func (t sessionTable) get(inc placement.Incarnation) (over Instant, marked, ok bool) {
	id := placement.SessionID(inc)
	over, _ = t.due.At(id)
	return over, t.expiring[id], t.Known(id)
}
