package sim

import (
	"context"
	"errors"
	"sync"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// believes notes that somebody believes from now on, until the returned function is called with the context that has ended, to
// hold what h says. In virtual time nobody's belief is seen late.
func (w *world) believes(h history.Hold) (over func(ctx context.Context)) {
	h.From = w.journal.now()
	return func(ctx context.Context) {
		h.To, h.Ended, h.Why = w.journal.now(), true, "released"
		if errors.Is(context.Cause(ctx), lookupclient.ErrLeaseLost) {
			h.Why = history.Lost
		}
		w.journal.Record(history.Event{Hold: &h})
	}
}

// guard is a resource behind each identity that refuses epochs smaller than it has seen.
type guard struct {
	mu   sync.Mutex
	seen map[string]uint64
}

// write is a write by somebody who has just made sure to own the identity. One that is refused breaks a promise, since no time
// passes here between the two.
func (g *guard) write(w *world, identity, writer string, epoch uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.seen == nil {
		g.seen = map[string]uint64{}
	}
	accepted := epoch >= g.seen[identity]
	if !accepted {
		w.violation("%s writes for %s under %d, after it was written under %d", writer, identity, epoch, g.seen[identity])
	}
	g.seen[identity] = max(g.seen[identity], epoch)
	w.journal.Record(history.Event{Write: &history.Write{Resource: identity, Writer: writer, Token: epoch, Accepted: accepted}})
}
