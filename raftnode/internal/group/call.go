package group

import (
	"sync"

	"github.com/seed13d31b7f/berth/fsm"
)

// call is what one caller proposed together.
type call struct {
	done    chan struct{} // closed when every outcome is there
	journey *journey      // nil when it is not traced

	mu       sync.Mutex
	left     int
	outcomes []Outcome
	there    []bool
}

func newCall(n int) *call {
	return &call{done: make(chan struct{}), left: n, outcomes: make([]Outcome, n), there: make([]bool, n)}
}

// Outcome is what became of one command: a result, or an error (see ErrNotLeader).
type Outcome struct {
	Result fsm.Result
	Err    error
}

func (c *call) finish(at int, o Outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[at], c.there[at] = o, true
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

// sofar returns the outcomes that are there; the others are unknown for the given reason.
func (c *call) sofar(unknown error) []Outcome {
	c.mu.Lock()
	defer c.mu.Unlock()
	outcomes := append([]Outcome(nil), c.outcomes...)
	for i := range outcomes {
		if !c.there[i] {
			outcomes[i] = Outcome{Err: unknown}
		}
	}
	return outcomes
}
