package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// ErrGone is what the function of Reach says when the owner is not where the placement says, or is there under another epoch, and
// what it was asked for may be asked for again.
var ErrGone = errors.New("the owner is not there")

// ReachError says that no owner could be reached.
type ReachError struct {
	// Placement is the last one that was tried.
	Placement Placement
	// Attempts is how often one was.
	Attempts int
	// Err is what the last attempt failed with, which wraps ErrGone, and the cause of the context's end when that was why there was
	// no other.
	Err error
}

func (e *ReachError) Error() string {
	return fmt.Sprintf("reach %v, last on %s at %s: %d attempts: %v", e.Placement.Identity, e.Placement.Member, e.Placement.Address, e.Attempts, e.Err)
}

// Unwrap returns Err.
func (e *ReachError) Unwrap() error { return e.Err }

// Reach has f ask the owner of an identity something, and has the identity placed when nobody owns it. When f's error wraps ErrGone,
// what the cache remembers of the placement is forgotten, and after a pause the owner is looked up and f called again: up to
// Config.Attempts times, and as long as ctx lasts, or Config.Timeout when it has no deadline. An owner that died is the owner until
// its lease is over, so that takes seconds. f is given the context that all of it lasts for, and may bound one attempt by itself; whether
// what timed out may be asked for again, only f can say. It must send the epoch.
//
// Other errors of f are returned as they are, and so are those of Lookup and Place. It fails with a *ReachError when it gives up.
func (c *Client) Reach(ctx context.Context, id placement.Identity, f func(ctx context.Context, p Placement) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.conn.config.Timeout)
		defer cancel()
	}
	pauses := newPauses()
	for made := 1; ; made++ {
		p, err := c.Lookup(ctx, id)
		if errors.Is(err, ErrNotPlaced) {
			p, _, err = c.Place(ctx, id)
		}
		if err != nil {
			return err
		}
		if err = f(ctx, p); !errors.Is(err, ErrGone) {
			return err
		}
		c.Forget(id, p.Epoch)
		c.conn.warnings.warn("an owner was not reached", "", "identity", id.String(), "member", string(p.Member), "address", p.Address, "error", err)
		if h := c.conn.config.Hooks.Gone; h != nil {
			h(p)
		}
		if most := c.conn.config.Attempts; most > 0 && made == most {
			return &ReachError{p, made, err}
		}
		select {
		case <-time.After(pauses.usual.NextBackOff()):
		case <-c.conn.probes.ctx.Done():
			return errClientClosed
		case <-ctx.Done():
			return &ReachError{p, made, fmt.Errorf("%w; %w", err, context.Cause(ctx))}
		}
	}
}
