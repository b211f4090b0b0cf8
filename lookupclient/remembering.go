package lookupclient

import (
	"context"
	"sync"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// remembering is what a client with a cache has: the cache, the look-ups that are on their way, and a watch that drops what has ended. Nothing is remembered before
// the watch has begun, and the cache is not asked while nothing is heard of it.
type remembering struct {
	client  *Client
	cache   *cache
	watch   *cacheWatch
	flights flights

	ctx    context.Context // of the watch
	cancel context.CancelFunc
	mu     sync.Mutex
	begun  bool
	over   bool
	done   chan struct{} // closed when the watch has ended
}

func newRemembering(c *Client, limit int) *remembering {
	r := &remembering{client: c, cache: newCache(limit), done: make(chan struct{}), flights: flights{list: map[placement.Identity]*flight{}}}
	r.watch = newCacheWatch(c, r.cache)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// start starts the watch when the client is first used.
func (r *remembering) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun || r.over {
		return
	}
	r.begun = true
	go func() {
		defer close(r.done)
		r.watch.run(r.ctx)
	}()
}

// close ends the watch and waits for it.
func (r *remembering) close() {
	r.mu.Lock()
	r.over = true
	begun := r.begun
	r.mu.Unlock()
	r.cancel()
	if begun {
		<-r.done
	}
}

// lookup answers from the cache, or asks a server.
func (r *remembering) lookup(ctx context.Context, id placement.Identity) (Placement, error) {
	if r.watch.fresh() && !r.client.conn.closed.Load() && ctx.Err() == nil {
		if p, ok := r.cache.get(id); ok {
			return p, nil
		}
	}
	r.start()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.client.conn.config.Timeout)
		defer cancel()
	}
	return r.flights.do(ctx, id, func() (Placement, error) {
		return r.client.ask(ctx, &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key})
	})
}

// put remembers what was answered.
func (r *remembering) put(p Placement) {
	r.start()
	r.cache.put(p)
}

func (r *remembering) forget(id placement.Identity, epoch placement.Epoch) {
	r.cache.forget(id, epoch)
	r.flights.forget(id)
}
