package lease

import (
	"slices"
	"time"
)

// GraceDefault is how long a holder that lags may hold a removal back before it gets no more time. Shorter, and a pause of a
// holder's garbage collector or disk costs it its lease; longer, and every removal waits as long for one slow server.
const GraceDefault = 200 * time.Millisecond

// removals are those that the barrier has not passed, with when this server published them. Those of a quarter of Grace
// are one mark, and there are marksMax at most, so neither memory nor time depends on how many wait.
type removals struct {
	grace time.Duration
	marks []mark // ascending in both
}

// mark stands for the removals since the mark before.
type mark struct {
	index uint64  // of the newest of them
	at    Instant // when the oldest of them was published
}

// marksMax marks are enough for removals that wait for three seconds with the default Grace. From then on later ones
// count as if they had waited longer than they have.
const marksMax = 64

func newRemovals(grace time.Duration) removals {
	if grace <= 0 {
		grace = GraceDefault
	}
	return removals{grace: grace}
}

// note adds a removal.
func (r *removals) note(index uint64, now Instant) {
	if n := len(r.marks); n > 0 {
		last := &r.marks[n-1]
		if index <= last.index {
			return
		}
		if n == marksMax || now < last.at.Add(r.grace/4) {
			last.index = index
			return
		}
	}
	r.marks = append(r.marks, mark{index, now})
}

// passed forgets what the barrier has passed.
func (r *removals) passed(barrier uint64) {
	n := 0
	for n < len(r.marks) && r.marks[n].index <= barrier {
		n++
	}
	r.marks = slices.Delete(r.marks, 0, n)
}

// late is the index of the newest removal that has waited for longer than Grace; zero when there is none.
func (r *removals) late(now Instant) (index uint64) {
	for _, m := range r.marks {
		if now <= m.at.Add(r.grace) {
			break
		}
		index = m.index
	}
	return index
}

// oldest is how long the oldest has waited.
func (r *removals) oldest(now Instant) time.Duration {
	if len(r.marks) == 0 {
		return 0
	}
	return max(0, now.Sub(r.marks[0].at))
}

// back moves every instant back.
func (r *removals) back(by time.Duration) {
	for i := range r.marks {
		r.marks[i].at = r.marks[i].at.Add(-by)
	}
}
