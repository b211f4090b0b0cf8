package lookupclient

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// life is one incarnation of a member, as long as its lease is proved. It ends once and is not revived.
type life struct {
	incarnation placement.Incarnation
	now         func() time.Duration
	deadline    atomic.Int64 // by now
	ctx         context.Context
	cancel      context.CancelCauseFunc
}

// newLife begins the life of an incarnation whose lease was asked for at the given moment.
func newLife(parent context.Context, inc placement.Incarnation, now func() time.Duration, asked, ttl time.Duration) *life {
	l := &life{incarnation: inc, now: now}
	l.deadline.Store(int64(asked + ttl))
	l.ctx, l.cancel = context.WithCancelCause(parent)
	return l
}

// left is how much of the lease there is.
func (l *life) left() time.Duration {
	if l.ctx.Err() != nil {
		return 0
	}
	return max(0, time.Duration(l.deadline.Load())-l.now())
}

// extend takes an answer in: the lease runs from when it was asked for. A life that has ended stays so.
func (l *life) extend(asked, ttl time.Duration) {
	if d := int64(asked + ttl); d > l.deadline.Load() && l.ctx.Err() == nil {
		l.deadline.Store(d)
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
