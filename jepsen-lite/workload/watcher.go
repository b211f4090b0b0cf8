package workload

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

const (
	// watchFor is how long a watcher stays with one stream, at most. Then it goes on behind something that it was told before, at
	// any server that it knows, as one does who starts again.
	watchFor = 4 * time.Second
	// watchRest is how long it waits when it was told nothing.
	watchRest = 100 * time.Millisecond
)

// watcher watches what happens. What belongs to it belongs to its goroutine.
type watcher struct {
	*Clients
	client *lookupclient.Client
	rng    *rand.Rand
	// config is what is wanted, without the place to begin.
	config lookupclient.WatchConfig
}

// run watches until ctx ends. Each time is a stream of its own.
func (w *watcher) run(ctx context.Context) {
	var since *lookupclient.Position
	for ctx.Err() == nil {
		stream := streaming{watcher: w, number: w.streams.Add(1), since: since}
		stream.run(ctx)
		if since = stream.since; stream.told == 0 {
			pause(ctx, watchRest)
		}
	}
}

// streaming is one stream of a watcher.
type streaming struct {
	*watcher
	number uint64
	// since is the place behind which it begins, nil for now; in the end that to go on from.
	since   *lookupclient.Position
	told    int // updates
	opened  bool
	reset   bool                 // a snapshot has begun
	records []*apiv1.WatchRecord // of it
}

func (s *streaming) says(x history.Watch) {
	x.Stream = s.number
	s.Clients.config.Recorder.Record(history.Event{Watch: &x})
}

func (s *streaming) opens(index uint64) {
	s.says(history.Watch{What: history.WatchOpen, Index: index, Kind: s.config.Kind, Prefix: s.config.Prefix})
	s.opened = true
}

// run reads the stream for a while.
func (s *streaming) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(1+s.rng.Int64N(int64(watchFor))))
	defer cancel()
	config := s.config
	if config.Since = s.since; s.since != nil {
		s.opens(s.since.Index)
	}
	for u, err := range s.client.Watch(ctx, config) {
		if err != nil {
			var e *lookupclient.Error
			if errors.As(err, &e) && e.Reason == apiv1.ReasonIndexCompacted {
				s.since = nil // what follows is not known any more
			}
			return
		}
		s.told++
		s.update(u)
	}
}

// update records what it is told.
func (s *streaming) update(u lookupclient.Update) {
	s.reset = s.reset || u.Reset != 0
	if s.records = append(s.records, u.Records...); u.Partial {
		return
	}
	switch {
	case s.reset:
		if !s.opened {
			s.opens(0)
		}
		s.says(history.Watch{What: history.WatchReset, Index: u.Position.Index})
		for _, r := range s.records {
			if entry, ok := WatchEntry(r, u.Position.Index); ok {
				s.says(entry)
			}
		}
	case !s.opened && len(u.Events) > 0:
		s.opens(u.Events[0].Index - 1)
	case !s.opened:
		s.opens(u.Position.Index)
	}
	s.reset, s.records = false, nil
	for _, e := range u.Events {
		s.says(watched(e))
	}
	s.says(history.Watch{What: history.WatchMark, Server: u.ServedBy, Index: u.Position.Index})
	if s.since == nil || s.rng.IntN(10) == 0 {
		s.since = &u.Position
	}
}

// WatchEntry is what a record of a snapshot says is so at an index, if histories have that: the owner of an identity, or a block.
func WatchEntry(r *apiv1.WatchRecord, index uint64) (entry history.Watch, ok bool) {
	entry = history.Watch{What: history.WatchEntry, Index: index}
	if b := r.GetBlock(); b != nil {
		if entry.Type, entry.Member = strings.ToLower(apiv1.Event_BLOCK_ADDED.String()), b.Member; b.Key != "" {
			entry.Identity = b.Kind + "/" + b.Key
		}
		return entry, true
	}
	p := r.GetPlacement()
	if p.GetPhase() != apiv1.Placement_SETTLED {
		return entry, false
	}
	entry.Identity, entry.Member, entry.Epoch = p.Kind+"/"+p.Key, p.Member, p.Epoch
	return entry, true
}

// watched is an event as a history has it.
func watched(e *apiv1.Event) history.Watch {
	x := history.Watch{
		What: history.WatchEvent, Index: e.Index, Type: strings.ToLower(e.Type.String()), Lock: e.Lock,
		Member: e.Member, Incarnation: e.Incarnation, Epoch: e.Epoch, Session: e.Session,
	}
	if e.Key != "" {
		x.Identity = e.Kind + "/" + e.Key
	}
	return x
}
