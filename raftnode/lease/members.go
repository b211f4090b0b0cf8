package lease

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// Members is a tenure's table of the members' leases (M3, M4). It belongs to whoever holds the lock around it.
//
// A keepalive is answered in three steps, of which the table has the last: it arrives; then a pulse of the tenure, proposed
// after that, commits; then Answer, with the instant just before the pulse was proposed.
type Members struct {
	full     time.Duration // the longest TTL ever announced, stretched
	seen     map[placement.Incarnation]Instant
	expiring map[placement.Incarnation]bool
}

// NewMembers makes the table of a tenure that begins now. Everybody who is alive is granted the full time: the new
// leader cannot know until when the former one granted it. maxTTL is the longest TTL that any leader ever announced.
func NewMembers(begun Instant, maxTTL time.Duration, alive []placement.Incarnation) *Members {
	m := &Members{full: Stretch(maxTTL), seen: map[placement.Incarnation]Instant{}, expiring: map[placement.Incarnation]bool{}}
	for _, inc := range alive {
		m.seen[inc] = begun
	}
	return m
}

// Joined notes an incarnation when this server first sees its Join in its own state.
func (m *Members) Joined(inc placement.Incarnation, now Instant) {
	if _, ok := m.seen[inc]; !ok {
		m.seen[inc] = now
	}
}

// Ended forgets an incarnation when this server sees its end in its own state.
func (m *Members) Ended(inc placement.Incarnation) {
	delete(m.seen, inc)
	delete(m.expiring, inc)
}

// Answer says whether a keepalive may be answered, and notes it when it may. alive is what this server's own state says
// of the incarnation, and t0 the instant just before the proposal of the pulse that proved the tenure. An incarnation
// that is marked to expire is refused for the rest of the tenure, since the decision may be on its way already.
func (m *Members) Answer(inc placement.Incarnation, alive bool, t0 Instant) bool {
	if !alive || m.expiring[inc] {
		return false
	}
	m.seen[inc] = max(m.seen[inc], t0)
	return true
}

// Expire marks the incarnations whose leases have ended, at the latest possible, and returns them, ascending. Their
// expiry may be proposed now, in this tenure's term alone.
func (m *Members) Expire(now Instant) []placement.Incarnation {
	var due []placement.Incarnation
	for inc, seen := range m.seen {
		if !m.expiring[inc] && now >= seen.Add(m.full) {
			m.expiring[inc] = true
			due = append(due, inc)
		}
	}
	slices.Sort(due)
	return due
}

// Expiring lists the incarnations that are marked and have not ended yet, ascending: a proposal to expire them may have
// been refused, and is to be made again.
func (m *Members) Expiring() []placement.Incarnation {
	var out []placement.Incarnation
	for inc := range m.expiring {
		out = append(out, inc)
	}
	slices.Sort(out)
	return out
}

// Left is how long the lease of an incarnation may still last at the longest; zero when it is not in the table.
func (m *Members) Left(inc placement.Incarnation, now Instant) time.Duration {
	seen, ok := m.seen[inc]
	if !ok {
		return 0
	}
	return max(0, seen.Add(m.full).Sub(now))
}

// All lists the incarnations in the table, ascending.
func (m *Members) All() []placement.Incarnation {
	var out []placement.Incarnation
	for inc := range m.seen {
		out = append(out, inc)
	}
	slices.Sort(out)
	return out
}
