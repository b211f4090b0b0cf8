package api

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// watchersMax is how many watch one server at most. Not more: one that does not read takes up to 200 KiB, what gRPC has
	// under way and a message that waits. Not fewer: every process of a large site may want to watch.
	watchersMax = 2048
	// watchSnapshotsMax is how many of them are given a snapshot at once; the others wait for their turn.
	watchSnapshotsMax = 16
	// markEvery is how long a mark is put off while the log moves, and markIdle while it does not.
	markEvery = time.Second
	markIdle  = 5 * time.Second
	// aloneMax is how long a server that knows no leader lets its watchers wait: an election takes a second.
	aloneMax = 5 * time.Second
)

// watching is what all watchers of a server share.
type watching struct {
	count     atomic.Int64
	sent      atomic.Uint64
	resets    atomic.Uint64
	snapshots chan struct{}
	wires     wires
}

func newWatching() *watching { return &watching{snapshots: make(chan struct{}, watchSnapshotsMax)} }

// Watching is what a server counts of its watchers.
type Watching struct {
	// Watchers watch now.
	Watchers int64
	// Sent is the number of events that were sent to all of them, and Resets how often one was given a snapshot since it had
	// lost events.
	Sent, Resets uint64
}

// Watching counts the watchers.
func (s *Server) Watching() Watching {
	w := s.watching
	return Watching{w.count.Load(), w.sent.Load(), w.resets.Load()}
}

// Watch streams what happens.
func (s *Server) Watch(req *apiv1.WatchRequest, stream grpc.ServerStreamingServer[apiv1.WatchResponse]) error {
	filter, err := watchFilterOf(req)
	if err != nil {
		return err
	}
	if s.watching.count.Add(1) > watchersMax {
		s.watching.count.Add(-1)
		return fail(apiv1.ReasonOverloaded, nil, "%d watch this server, and more cannot", watchersMax)
	}
	defer s.watching.count.Add(-1)
	g, err := s.group()
	if err != nil {
		return err
	}
	w := &watcher{server: s, stream: stream, filter: filter, group: g, ring: g.Events()}
	if err := w.begin(stream.Context(), req); err != nil {
		return asStatus(err)
	}
	return asStatus(w.run(stream.Context()))
}

// begin finds where the stream begins, and sends what comes before the first event.
func (w *watcher) begin(ctx context.Context, req *apiv1.WatchRequest) error {
	if req.Since == nil {
		v, err := w.server.View(ctx)
		if err != nil {
			return err
		}
		if req.Snapshot {
			return w.reset(ctx, apiv1.WatchReset_BEGIN)
		}
		return w.from(ctx, v.Index, true)
	}
	if err := w.reach(ctx, *req.Since); err != nil {
		return err
	}
	if own := w.generation(); req.Generation != nil && *req.Generation != own {
		if req.Snapshot {
			return w.reset(ctx, apiv1.WatchReset_RESTORED)
		}
		data := map[string]string{"generation": fmt.Sprint(own)}
		return fail(apiv1.ReasonIndexCompacted, data, "index %d is of recovery generation %d, and the cluster is in %d: it was restored", *req.Since, *req.Generation, own)
	}
	return w.from(ctx, *req.Since, req.Snapshot)
}

// reach waits until this server has an index. One that no server has breaks a rule.
func (w *watcher) reach(ctx context.Context, index uint64) error {
	if w.group.View().Index >= index {
		return nil
	}
	if _, err := w.server.View(ctx); err != nil {
		return err
	}
	// Another server may be a little further than the one that leads.
	soon, end := context.WithTimeout(ctx, markEvery)
	defer end()
	_, err := w.group.AwaitIndex(soon, index)
	if errors.Is(err, context.DeadlineExceeded) {
		return invalid("index %d is not there yet: the newest is %d", index, w.group.View().Index)
	}
	return err
}

// from goes on behind an index, with a snapshot if it must.
func (w *watcher) from(ctx context.Context, index uint64, snapshot bool) error {
	at, ok := w.ring.After(index)
	if ok {
		w.at, w.index = at, index
		return w.mark()
	}
	if snapshot {
		return w.reset(ctx, apiv1.WatchReset_COMPACTED)
	}
	after, last := w.ring.Span()
	data := map[string]string{"oldest": fmt.Sprint(after), "index": fmt.Sprint(last), "server": w.server.backend.Self().Name}
	return fail(apiv1.ReasonIndexCompacted, data, "what follows index %d is no longer known to this server: it remembers what follows index %d", index, after)
}

func (w *watcher) generation() uint32 { return uint32(w.group.View().Cluster.Generation) }

// alone is the error for a server that has lost the others.
func alone() error {
	return fail(apiv1.ReasonNoLeader, nil, "this server has known no leader for %v: it may not hear what happens", aloneMax)
}

// stopped is the error for a server that stops.
func stopped() error { return outcomeError(group.ErrClosed) }

// markMessage is a mark of a server that has a view by now.
func markMessage(v *snapshot.View, index uint64, server string) *apiv1.WatchMark {
	return &apiv1.WatchMark{Index: index, Generation: uint32(v.Cluster.Generation), Time: timeMessage(v.Time), ServedBy: server}
}
