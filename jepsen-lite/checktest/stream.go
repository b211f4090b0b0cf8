package checktest

import (
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// stream is a watch. What it says is worked out by replaying what the log has so far.
type stream struct {
	*world
	number       uint64
	kind, prefix string
	sent         uint64 // the index up to which it has been sent
}

func (w *world) watch(kind, prefix string) {
	s := &stream{world: w, number: uint64(len(w.streams) + 1), kind: kind, prefix: prefix, sent: w.index}
	w.streams = append(w.streams, s)
	w.record(history.Event{Watch: &history.Watch{Stream: s.number, What: history.WatchOpen, Server: "s2", Kind: kind, Prefix: prefix, Index: w.index}})
}

// mark says that everything has been sent.
func (s *stream) mark() {
	if s.index == s.sent {
		return
	}
	s.record(history.Event{Watch: &history.Watch{Stream: s.number, What: history.WatchMark, Index: s.index}})
	s.sent = s.index
}

// fill puts the events in front of the marks that they come before.
func (w *world) fill() {
	t, err := replay.Replay(w.Log, nil, w.index)
	if err != nil {
		panic("checktest: " + err.Error())
	}
	var events []history.Event
	next := map[uint64]int{}
	for _, e := range w.Events {
		if e.Watch != nil && e.Watch.What == history.WatchOpen {
			next[e.Watch.Stream] = 0
			for next[e.Watch.Stream] < len(t.Events) && t.Events[next[e.Watch.Stream]].Index <= e.Watch.Index {
				next[e.Watch.Stream]++
			}
		}
		if e.Watch != nil && e.Watch.What == history.WatchMark {
			s := w.streams[e.Watch.Stream-1]
			for ; next[s.number] < len(t.Events) && t.Events[next[s.number]].Index <= e.Watch.Index; next[s.number]++ {
				if x := t.Events[next[s.number]]; s.lets(x.Identity) {
					events = append(events, history.Event{At: e.At, Watch: &history.Watch{
						Stream: s.number, What: history.WatchEvent, Index: x.Index, Position: x.Position, Type: x.Type, Identity: x.Identity, Member: x.Member,
						Incarnation: x.Incarnation, Epoch: x.Epoch,
					}})
				}
			}
		}
		events = append(events, e)
	}
	w.Events = events
}

func (s *stream) lets(identity string) bool {
	kind, key, _ := strings.Cut(identity, "/")
	return (s.kind == "" || kind == s.kind) && strings.HasPrefix(key, s.prefix)
}
