package lookupclient

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

const (
	// watchSilence is how long nothing may be heard of what ends before the cache is not asked any more. A server says every
	// five seconds at least that nothing has.
	watchSilence = 8 * time.Second
	// watchAgain is the pause before a watch that cannot go on where it was begins anew.
	watchAgain = time.Second
)

// cacheEnds are the events after which what is remembered of an identity, or of a member, is not so any more.
var cacheEnds = []apiv1.Event_Type{
	apiv1.Event_UNSETTLED, apiv1.Event_REMOVED, apiv1.Event_STOPPING, apiv1.Event_MEMBER_LEFT, apiv1.Event_MEMBER_EXPIRED,
}

// cacheWatch drops what has ended from a cache, as a server tells it.
type cacheWatch struct {
	client *Client
	cache  *cache
	begin  time.Time
	heard  atomic.Int64 // when a server was heard last, since begin; zero before
	at     *Position    // behind which to go on; nil to begin anew
}

func newCacheWatch(c *Client, cache *cache) *cacheWatch {
	return &cacheWatch{client: c, cache: cache, begin: time.Now()}
}

// fresh says whether what ends is being told.
func (w *cacheWatch) fresh() bool {
	heard := time.Duration(w.heard.Load())
	return heard > 0 && time.Since(w.begin)-heard < watchSilence
}

// run watches until ctx ends, or the cluster is another one.
func (w *cacheWatch) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch err := w.watch(ctx); {
		case errors.Is(err, errSilent): // another server goes on behind the position
			continue
		case errors.Is(err, ErrClusterMismatch), errors.Is(err, ErrClosed):
			w.forgetAll()
			return
		case isCompacted(err): // what ended meanwhile is not known any more
			w.forgetAll()
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
		}
	}
}

func (w *cacheWatch) forgetAll() {
	w.at = nil
	w.heard.Store(0)
	w.cache.clear(^uint64(0))
}

func isCompacted(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == apiv1.ReasonIndexCompacted
}

// errSilent says that a server tells nothing, not even that there is nothing to tell.
var errSilent = errors.New("a watch is silent")

// watch takes in what one watch tells, and returns what ended it.
func (w *cacheWatch) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silent.Stop()
	var end error
	x := &watch{client: w.client, config: WatchConfig{Types: cacheEnds, Since: w.at}, at: w.at, each: w.drop}
	x.yield = func(u Update, err error) bool {
		if err != nil {
			end = err
			return false
		}
		silent.Reset(watchSilence)
		w.take(u)
		return true
	}
	x.run(ctx)
	return end
}

// drop drops what ended.
func (w *cacheWatch) drop(e *apiv1.Event) {
	switch e.Type {
	case apiv1.Event_UNSETTLED, apiv1.Event_REMOVED, apiv1.Event_STOPPING:
		w.cache.ended(placement.Identity{Kind: e.Kind, Key: e.Key}, e.Index)
	case apiv1.Event_MEMBER_LEFT, apiv1.Event_MEMBER_EXPIRED:
		w.cache.memberEnded(placement.MemberID(e.Member), e.Index)
	}
}

// take goes on to a position.
func (w *cacheWatch) take(u Update) {
	if u.Reset != 0 {
		w.forgetAll() // something was not told
	}
	if u.Partial {
		return
	}
	if w.at == nil || w.at.Generation != u.Position.Generation {
		w.cache.clear(u.Position.Index)
	}
	w.at = &u.Position
	w.heard.Store(int64(max(1, time.Since(w.begin))))
}
