package lookupclient

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Position is a place in the order of everything that happens, to go on from at any server.
type Position struct {
	// Index is a log index: everything up to it is known.
	Index uint64
	// Generation is the recovery generation that the index is of.
	Generation uint32
}

// WatchConfig says what is wanted of what happens. The zero value wants everything, from now on.
type WatchConfig struct {
	// Kind and Prefix want events of identities: of a kind, and with keys that begin so. Default: those of all, and all others.
	Kind, Prefix string
	// Member wants events of a member, and of what it owns. Default: those of all.
	Member placement.MemberID
	// Types are the types of events that are wanted. Default: all.
	Types []apiv1.Event_Type
	// Since is where to go on. Default: now, or behind the snapshot.
	Since *Position
	// AnyGeneration says that it is not known which generation Since is of. Of a cluster that was restored meanwhile it is then
	// taken to be an index like any other.
	AnyGeneration bool
	// Snapshot wants the state first: at once without Since, and otherwise when what follows Since is not known any more.
	// Without it Watch fails then, with the reason INDEX_COMPACTED.
	Snapshot bool
}

// Update is a part of what happens.
type Update struct {
	// Reset, when it is set, says that a snapshot begins, and why: all that was known before is void.
	Reset apiv1.WatchReset_Why
	// Records are those of the snapshot. As long as Partial is set, more follow.
	Records []*apiv1.WatchRecord
	Partial bool
	// Events are what happened, in the order of the log, all of their log indexes. There may be none: then the log has moved
	// on without any that were wanted, or nothing happens at all. Pass over types that you do not know.
	Events []*apiv1.Event
	// Position is where to go on behind this. It is not set while Partial is.
	Position Position
	// ServedBy is the server that tells it.
	ServedBy string
}

// Watch yields what happens, in the order of the log, as soon as a server has applied it. Each event that is wanted comes once,
// also when the server that tells it is lost: another one goes on behind the last Position. Who reads too slowly is given a
// snapshot again; so is, with Snapshot, who asks for what is not known any more.
//
// What is told was so at its index. It is not linearizable: a look-up may know already what an event says later.
//
// It goes on until the loop is left, ctx ends, or the client is closed, and then yields the error: that of ctx, ErrClosed,
// ErrInvalid, ErrClusterMismatch, or an *Error with the reason INDEX_COMPACTED. While no server can be reached it tries again,
// as long as Config.GiveUpAfter says. It may be looped over once at a time and begins anew each time.
func (c *Client) Watch(ctx context.Context, config WatchConfig) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		w := &watch{client: c, config: config, at: config.Since, yield: yield}
		w.run(ctx)
	}
}

// watch is one loop over what happens.
type watch struct {
	client *Client
	config WatchConfig
	yield  func(Update, error) bool
	each   func(*apiv1.Event) // unless it is nil, takes each event as soon as it comes, and updates have none
	wait   *backoff.ExponentialBackOff

	at       *Position // nil before any is known
	void     bool      // a snapshot has begun and is not whole
	compact  int       // servers in a row that did not know what follows at
	restored bool      // the cluster is in another generation
	away     time.Time // since when no server could be reached
}

// run watches until the loop is left, or there is an error to yield.
func (w *watch) run(ctx context.Context) {
	w.wait = backoff.NewExponentialBackOff()
	w.wait.InitialInterval, w.wait.MaxInterval = 20*time.Millisecond, 500*time.Millisecond
	for {
		err := w.stream(ctx)
		if err == nil {
			return // the loop was left
		}
		if err = w.pause(ctx, err); err != nil {
			w.yield(Update{}, err)
			return
		}
	}
}

// request asks for what follows. A snapshot in the place of what is not known any more is asked for when no server knows that.
func (w *watch) request() *apiv1.WatchRequest {
	req := &apiv1.WatchRequest{Kind: w.config.Kind, Prefix: w.config.Prefix, Member: string(w.config.Member), Types: w.config.Types}
	if w.at == nil || w.void {
		req.Snapshot = w.config.Snapshot || w.void
		return req
	}
	if req.Since = &w.at.Index; !w.config.AnyGeneration || w.at != w.config.Since {
		req.Generation = &w.at.Generation
	}
	req.Snapshot = w.config.Snapshot && w.nobodyKnows()
	return req
}

// nobodyKnows says that every server was asked for what follows, or that none can know it.
func (w *watch) nobodyKnows() bool {
	return w.restored || w.compact >= 2*w.client.conn.followed.inUse()
}

// stream reads one stream. The error is nil when the loop was left.
func (w *watch) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := w.client.api.Watch(ctx, w.request())
	if err != nil {
		return err
	}
	var events []*apiv1.Event // of a log index that is not whole yet
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		w.away, w.compact, w.restored = time.Time{}, 0, false
		w.wait.Reset()
		if m.Reset_ != nil {
			events, w.void = nil, true
		}
		if w.each == nil {
			events = append(events, m.Events...)
		} else {
			for _, e := range m.Events {
				w.each(e)
			}
		}
		if m.Mark == nil && m.Reset_ == nil && len(m.Records) == 0 {
			continue
		}
		u := Update{Reset: m.GetReset_().GetWhy(), Records: m.Records, Partial: m.Mark == nil}
		if m.Mark != nil {
			u.Events, u.ServedBy = events, m.Mark.ServedBy
			u.Position = Position{Index: m.Mark.Index, Generation: m.Mark.Generation}
			events, w.at, w.void = nil, &u.Position, false
		}
		if !w.yield(u, nil) {
			return nil
		}
	}
}

// pause waits before the next stream, unless there is to be none: it returns why.
func (w *watch) pause(ctx context.Context, err error) error {
	conn := w.client.conn
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if conn.closed.Load() {
		return errClientClosed
	}
	var e *Error
	switch {
	case !errors.As(err, &e): // the end of a stream that has no end
	case e.Reason == apiv1.ReasonIndexCompacted:
		if w.nobodyKnows() || !w.config.Snapshot && e.Metadata["generation"] != "" {
			return err
		}
		w.compact, w.restored = w.compact+1, e.Metadata["generation"] != ""
	case !e.isUnavailable() && !errors.Is(e, ErrOverloaded):
		return err
	}
	if e == nil || e.Reason != apiv1.ReasonUnreachable {
		w.away = time.Time{}
	} else if w.away.IsZero() {
		w.away = time.Now()
	}
	if e != nil {
		conn.warnings.failed(apiv1.Placements_Watch_FullMethodName, e)
	}
	if conn.gaveUp(w.away) {
		return err
	}
	select {
	case <-time.After(w.wait.NextBackOff()):
		return nil
	case <-conn.probes.ctx.Done():
		return errClientClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
