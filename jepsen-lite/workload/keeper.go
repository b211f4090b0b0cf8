package workload

import (
	"context"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// keepEvery is how often a keeper looks after its identity. Not longer: when the owner's lease is over, somebody else is to own it
// within a fraction of a lease.
const keepEvery = 150 * time.Millisecond

// keptKey is the key of the identity that is kept at a member.
func keptKey(member string) string { return "kept-" + member }

// keep has an identity be owned, by that member when it can be, until ctx ends. Nobody removes it: so each member that is well has
// something to own at any moment.
func (a *asker) keep(ctx context.Context, member string) {
	key := keptKey(member)
	for ctx.Err() == nil {
		op := context.WithoutCancel(ctx)
		owner := a.place(op, key)
		a.mu.Lock()
		a.kept[member] = owner == member
		a.mu.Unlock()
		if owner != "" && owner != member {
			a.move(op, key, member)
		}
		pause(ctx, keepEvery)
	}
}

// readTimeoutShort bounds a look-up of a reader. Not longer: a server that is cut off answers none of what is not settled there, and those that
// are asked for next would come too late to see what it does answer.
const readTimeoutShort = 150 * time.Millisecond

// read looks up what others ask about, until ctx ends. It uses nothing of what may be asked for.
func (a *asker) read(ctx context.Context) {
	for ctx.Err() == nil {
		keys := a.pool.current()
		op, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeoutShort)
		a.lookupAt(op, keys[a.rng.IntN(len(keys))], apiv1.Level_LEASED, history.Leased)
		cancel()
		pause(ctx, time.Duration(a.rng.ExpFloat64()*float64(a.config.Every)))
	}
}
