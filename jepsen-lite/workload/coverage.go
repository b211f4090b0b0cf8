package workload

import (
	"slices"
	"sync"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// coverage is which kinds of operations have ended ok, and which have not again since something was over: those are asked for more often,
// since a kind that is seldom drawn may not be drawn at all in the few seconds that are left.
type coverage struct {
	mu    sync.Mutex
	round int // how often it was begun anew
	ever  []history.F
	owed  []history.F
}

// now is the round in which an operation begins.
func (c *coverage) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.round
}

// ok says that an operation ended ok that began in a round.
func (c *coverage) ok(f history.F, round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.ever, f) {
		c.ever = append(c.ever, f)
	}
	if round == c.round {
		c.owed = slices.DeleteFunc(c.owed, func(o history.F) bool { return o == f })
	}
}

// anew has each kind that ended ok before be owed.
func (c *coverage) anew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	c.owed = slices.Clone(c.ever)
}

// rest is what is owed. The caller owns it.
func (c *coverage) rest() []history.F {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.owed)
}
