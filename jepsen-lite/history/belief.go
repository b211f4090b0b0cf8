package history

import "time"

const (
	// beliefGap is how long after a look the next one may come and what lies in between is still one belief. Not larger: a
	// process that was stopped believed nothing meanwhile. Not smaller: on a loaded machine a thread that looks each
	// millisecond may be late by some.
	beliefGap = int64(50 * time.Millisecond)
	// beliefEvery is how often a belief that lasts is written down: what is not is lost when the process is killed.
	beliefEvery = int64(20 * time.Millisecond)
)

// Belief writes down that somebody believes to own something, as Holds. It belongs to the goroutine that acts on the belief:
// that one looks, and none beside it, or a process that is stopped would seem to believe.
type Belief struct {
	r    *Recorder
	hold Hold  // the looks since the last line
	last int64 // when a line was written
	on   bool
}

// NewBelief returns the belief in h, whose From, To, Ended and Why are not looked at.
func NewBelief(r *Recorder, h Hold) *Belief {
	h.Ended, h.Why = false, ""
	return &Belief{r: r, hold: h}
}

// Look says that it is believed at this moment. Call it after the check that an effect would be preceded by, often: each
// millisecond or so.
func (b *Belief) Look() {
	now := b.r.Now()
	switch {
	case !b.on:
		b.begin(now)
	case now-b.hold.To > beliefGap:
		b.write(false, "")
		b.begin(now)
	default:
		b.hold.To = now
		if now-b.last >= beliefEvery {
			b.write(false, "")
			b.hold.From, b.last = now, now // the next line meets this one
		}
	}
}

// begin begins a belief, and writes it down at once.
func (b *Belief) begin(now int64) {
	b.on, b.last = true, now
	b.hold.From, b.hold.To = now, now
	b.write(false, "")
}

// End says that it is not believed any more since the last Look, and why.
func (b *Belief) End(why string) {
	if b.on {
		b.write(true, why)
		b.on = false
	}
}

func (b *Belief) write(ended bool, why string) {
	h := b.hold
	h.Ended, h.Why = ended, why
	b.r.Record(Event{Hold: &h})
}
