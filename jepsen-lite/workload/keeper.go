package workload

import (
	"context"
	"time"
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
		if owner := a.place(op, key); owner != "" && owner != member {
			a.move(op, key, member)
		}
		pause(ctx, keepEvery)
	}
}
