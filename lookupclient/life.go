package lookupclient

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// life is one incarnation of a member, as long as its lease is proved. It ends once and is not revived.
type life struct {
	incarnation placement.Incarnation
	now         func() time.Duration
	expiry      atomic.Int64 // of the lease, by now
	ctx         context.Context
	cancel      context.CancelCauseFunc
}

// newLife begins the life of an incarnation whose lease was asked for at the given moment.
func newLife(parent context.Context, inc placement.Incarnation, now func() time.Duration, asked, ttl time.Duration) *life {
	l := &life{incarnation: inc, now: now}
	l.expiry.Store(int64(lease.Keep(lease.Instant(asked), ttl).Expiry))
	l.ctx, l.cancel = context.WithCancelCause(parent)
	return l
}

// left is how much of the lease there is.
func (l *life) left() time.Duration {
	if l.ctx.Err() != nil {
		return 0
	}
	return l.lease().Left(lease.Instant(l.now()))
}

func (l *life) lease() lease.Kept { return lease.Kept{Expiry: lease.Instant(l.expiry.Load())} }

// extend takes an answer in: the lease runs from when it was asked for. A life that has ended stays so.
func (l *life) extend(asked, ttl time.Duration) {
	if l.ctx.Err() == nil {
		l.expiry.Store(int64(l.lease().Extend(lease.Instant(asked), ttl).Expiry))
	}
}

// fenceTick bounds how late the fence notices that a clock jumped, after suspend for example.
const fenceTick = 50 * time.Millisecond

// fence ends the life when its lease has run out. It depends on nothing but the clock.
func (l *life) fence() {
	for {
		left := l.left()
		if left <= 0 {
			l.cancel(ErrLeaseLost)
			return
		}
		select {
		case <-time.After(min(left, fenceTick)):
		case <-l.ctx.Done():
			return
		}
	}
}
