package api

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/events"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// watchRead is how many events are read at once, and watchSend how many are sent in one message, or how many records.
	watchRead = 64
	watchSend = 256
	// watchBytes is when a message goes that has fewer.
	watchBytes = 64 << 10
)

// watcher is one stream of events. It belongs to the goroutine of its call, which sends and waits for the reader; meanwhile it
// holds nothing but a place in the ring, and the message that is being sent.
type watcher struct {
	server *Server
	stream grpc.ServerStreamingServer[apiv1.WatchResponse]
	filter *watchFilter
	group  *group.Group
	ring   *events.Ring

	at    events.Reading
	index uint64    // everything up to here was sent, but for what is in out
	told  time.Time // of the last mark
	out   []byte    // events that are not sent yet
	count int       // of them
	lost  bool      // what comes next cannot be told any more
}

// run sends what happens, until ctx ends, the server stops, or nobody knows what happens.
func (w *watcher) run(ctx context.Context) error {
	buf := make([]events.Event, watchRead)
	since := time.Now() // when a leader was known
	timer := time.NewTimer(markEvery)
	defer timer.Stop()
	for {
		changed := w.ring.Changed()
		n, err := w.step(ctx, buf)
		if err != nil {
			return err
		}
		if n == 0 {
			timer.Reset(markEvery)
			select {
			case <-changed:
			case <-timer.C:
			case <-ctx.Done():
			case <-w.server.stopping:
			}
		}
		if leader, _ := w.group.Leader(); leader != "" {
			since = time.Now()
		} else if time.Since(since) >= aloneMax {
			return alone()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.server.stopping:
			return stopped()
		default:
		}
	}
}

// step reads some events and sends what is wanted of them, and perhaps a mark.
func (w *watcher) step(ctx context.Context, buf []events.Event) (n int, err error) {
	n, through, ok := w.ring.Read(w.at, buf)
	if !ok {
		return 0, w.reset(ctx, apiv1.WatchReset_BEHIND)
	}
	for i := range n {
		if err := w.tell(w.at+events.Reading(i), &buf[i]); err != nil {
			return 0, err
		}
		if w.lost {
			return 0, w.reset(ctx, apiv1.WatchReset_BEHIND)
		}
	}
	w.at += events.Reading(n)
	if n > 0 && through < buf[n-1].Index {
		return n, w.flush() // the rest of that index follows
	}
	moved := through > w.index
	w.index = through
	if age := time.Since(w.told); w.count > 0 || w.partial() || moved && age >= markEvery || age >= markIdle {
		return n, w.mark()
	}
	return n, nil
}

// tell makes of one event what a watcher gets of it.
func (w *watcher) tell(at events.Reading, e *events.Event) error {
	if e.Type == events.RemovalsCompleted {
		return w.tellCompleted(e)
	}
	if e.Cut != nil && w.filter.wants(apiv1.Event_REMOVED, e.Cut.Identity, e.Cut.Member) {
		if err := w.add(appendEvent(nil, watchMessage(e.Cut, apiv1.Event_REMOVED))); err != nil {
			return err
		}
	}
	first, second := watchTypesOf(e)
	id, member := subject(e)
	for i, t := range [2]apiv1.Event_Type{first, second} {
		if t == apiv1.Event_UNSPECIFIED || !w.filter.wants(t, id, member) {
			continue
		}
		x := w.server.watching.wires.of(w.ring, at, e, [2]apiv1.Event_Type{first, second})
		if err := w.add(x.parts[i]); err != nil {
			return err
		}
	}
	if e.Type == events.MemberEnded {
		return w.eachEnded(at, e, func(owned *events.Event) error {
			t, _ := watchTypesOf(owned)
			if !w.filter.wants(t, owned.Identity, owned.Member) {
				return nil
			}
			return w.add(appendEvent(nil, watchMessage(owned, t)))
		})
	}
	return nil
}

// eachEnded calls f with the end of each placement that a member owned when it ended. The view in which they are found is that
// of the ring, which is looked up again for each part, so that a reader who is slow does not keep it.
func (w *watcher) eachEnded(at events.Reading, end *events.Event, f func(*events.Event) error) error {
	if end.Detail.Owned == 0 || w.filter.member != "" && end.Member != w.filter.member ||
		!w.filter.wantsAny(apiv1.Event_UNSETTLED, apiv1.Event_REMOVED) {
		return nil
	}
	var found []*events.Event
	for next, whole := snapshot.Cursor(0), false; !whole; {
		view := w.ring.View(at)
		if view == nil {
			w.lost = true
			return nil
		}
		found = found[:0]
		next, whole = view.ScanEnded(end.Incarnation, next, listScanMax, func(id placement.Identity, e placement.Entry) bool {
			if len(found) == watchSend {
				return false
			}
			found = append(found, endOfPlacement(end, id, e))
			return true
		})
		for _, e := range found {
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// tellCompleted tells of what was unsettled that it is removed for everybody.
func (w *watcher) tellCompleted(completed *events.Event) error {
	if !w.filter.types[apiv1.Event_REMOVED] {
		return nil
	}
	at, ok := w.ring.After(completed.Detail.From)
	if !ok {
		w.lost = true
		return nil
	}
	tell := func(e *events.Event) error {
		if e.Was != placement.Settled || !w.filter.wants(apiv1.Event_REMOVED, e.Identity, e.Member) {
			return nil
		}
		return w.add(appendEvent(nil, completedMessage(e, completed)))
	}
	var buf [watchRead / 4]events.Event
	for {
		n, _, ok := w.ring.Read(at, buf[:])
		if !ok {
			w.lost = true
			return nil
		}
		for i := range n {
			e := &buf[i]
			if e.Index > completed.Detail.To {
				return nil
			}
			var err error
			switch e.Type {
			case events.Removed:
				err = tell(e)
			case events.MemberEnded:
				err = w.eachEnded(at+events.Reading(i), e, tell)
			}
			if err != nil || w.lost {
				return err
			}
		}
		if at += events.Reading(n); n == 0 {
			return nil
		}
	}
}

// add puts an event into the message that goes next, and sends that one when it is large enough.
func (w *watcher) add(event []byte) error {
	w.out, w.count = append(w.out, event...), w.count+1
	if w.count < watchSend && len(w.out) < watchBytes {
		return nil
	}
	return w.flush()
}

// flush sends events whose index goes on.
func (w *watcher) flush() error {
	if w.count == 0 {
		return nil
	}
	w.told = time.Time{} // until a mark is sent, more is to come
	return w.send(appendPartial(w.out))
}

// partial says that events were sent whose index goes on.
func (w *watcher) partial() bool { return w.told.IsZero() }

// mark sends what is left of events, and says that everything up to their index was sent.
func (w *watcher) mark() error {
	w.told = time.Now()
	return w.send(appendMessage(w.out, fieldMark, markMessage(w.group.View(), w.index, w.server.backend.Self().Name)))
}

func (w *watcher) send(b []byte) error {
	w.server.watching.sent.Add(uint64(w.count))
	w.out, w.count = nil, 0
	return w.stream.SendMsg(encoded(b))
}
