package lease

import "time"

// Pace remembers which log index a server had published a while ago. A holder that has not come as far is behind: it could not
// serve what it is granted, and each removal would wait for it. This is for comfort; no rule needs it. It belongs to
// whoever holds the lock around it.
type Pace struct {
	grace time.Duration
	marks []mark // ascending in both; the first is the newest that is older than grace, when there is one
}

// NewPace remembers as far back as grace, and some more.
func NewPace(grace time.Duration) *Pace { return &Pace{grace: grace} }

// Note takes in what is published. Whatever comes within a quarter of grace is one mark, so there are few.
func (p *Pace) Note(index uint64, now Instant) {
	p.drop(now)
	n := len(p.marks)
	if n > 0 && (index <= p.marks[n-1].index || now < p.marks[n-1].at.Add(p.grace/4)) {
		return
	}
	p.marks = append(p.marks, mark{index, now})
}

// Due is what was published longer ago than grace; zero when nothing is known to be.
func (p *Pace) Due(now Instant) uint64 {
	p.drop(now)
	if len(p.marks) == 0 || now <= p.marks[0].at.Add(p.grace) {
		return 0
	}
	return p.marks[0].index
}

// drop forgets what came before the newest mark that is older than grace.
func (p *Pace) drop(now Instant) {
	n := 0
	for n+1 < len(p.marks) && now > p.marks[n+1].at.Add(p.grace) {
		n++
	}
	if n > 0 {
		p.marks = append(p.marks[:0], p.marks[n:]...)
	}
}

// Back takes in that the clock went back.
func (p *Pace) Back(by time.Duration) {
	for i := range p.marks {
		p.marks[i].at = p.marks[i].at.Add(-by)
	}
}
