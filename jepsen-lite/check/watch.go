package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
)

// What a watch promises; a violation is named for what it breaks.
const (
	notFiltered     = "not filtered"     // an event that the filter does not let through
	notOrdered      = "not ordered"      // an event of an earlier place after one of a later
	notUnique       = "not unique"       // an event twice
	notBookmarkable = "not bookmarkable" // an event at or below a mark, after the mark
	notResumable    = "not resumable"    // an event at or below the index that the stream was to go on from
	notReliable     = "not reliable"     // an event is missing, or says something else than the log, or than another stream
)

// segment is what one stream said between an open, or a reset, and the next.
type segment struct {
	stream uint64
	kind   string
	prefix string
	since  uint64
	from   int64
	to     int64
	events []*history.Watch
	// whole is the index up to which everything has been sent; zero for none.
	whole   uint64
	entries []*history.Watch
	reset   bool
}

func checkWatch(h *history.History, o *Options, f *finding) {
	var all []*segment
	for _, list := range streams(h) {
		all = append(all, segments(list, f)...)
	}
	for _, s := range all {
		if s.whole == 0 && len(s.events) == 0 {
			continue // a stream that said nothing proves nothing
		}
		f.looked += max(1, len(s.events))
		if o.Log != nil {
			s.againstLog(o.Log, f)
		}
	}
	if o.Log == nil {
		againstEachOther(all, f)
	}
}

// streams are the messages by stream, in order.
func streams(h *history.History) [][]*history.Timed[history.Watch] {
	by := map[uint64][]*history.Timed[history.Watch]{}
	for i := range h.Watches {
		w := &h.Watches[i]
		by[w.V.Stream] = append(by[w.V.Stream], w)
	}
	var list [][]*history.Timed[history.Watch]
	for _, n := range slices.Sorted(maps.Keys(by)) {
		list = append(list, by[n])
	}
	return list
}

// segments cuts a stream, and looks at the order of its messages.
func segments(list []*history.Timed[history.Watch], f *finding) []*segment {
	var all []*segment
	var s *segment
	for _, w := range list {
		v := &w.V
		bad := func(promise string) {
			f.bad(fmt.Sprintf("stream %d", v.Stream), s.from, w.At, nil, "%s: %s", promise, event(v))
		}
		switch {
		case v.What == history.WatchOpen:
			s = &segment{stream: v.Stream, kind: v.Kind, prefix: v.Prefix, since: v.Index, from: w.At}
			all = append(all, s)
		case s == nil:
			continue
		case v.What == history.WatchReset:
			s = &segment{stream: v.Stream, kind: s.kind, prefix: s.prefix, since: v.Index, from: w.At, reset: true}
			all = append(all, s)
		case v.What == history.WatchEntry:
			if v.Type == "" { // a placement
				s.entries = append(s.entries, v)
			}
		case v.What == history.WatchMark:
			s.whole = max(s.whole, v.Index)
		case v.What == history.WatchEvent:
			if promise := s.take(v); promise != "" {
				bad(promise)
			}
		}
		s.to = w.At
	}
	return all
}

// lets says whether the filter lets an event through.
func (s *segment) lets(identity string) bool {
	kind, key, _ := strings.Cut(identity, "/")
	return (s.kind == "" || s.kind == kind) && (s.prefix == "" || strings.HasPrefix(key, s.prefix))
}

func same(a, b *history.Watch) bool {
	return a.Index == b.Index && a.Position == b.Position && a.Type == b.Type && a.Identity == b.Identity && a.Lock == b.Lock && a.Member == b.Member &&
		a.Incarnation == b.Incarnation && a.Epoch == b.Epoch && a.Session == b.Session
}

// take takes an event, and returns the promise that it breaks.
func (s *segment) take(v *history.Watch) (promise string) {
	defer func() { s.events = append(s.events, v) }()
	if v.Identity != "" && !s.lets(v.Identity) {
		return notFiltered
	}
	for _, before := range slices.Backward(s.events) {
		if before.Index < v.Index {
			break
		}
		if same(before, v) {
			return notUnique
		}
	}
	switch {
	case v.Index <= s.since:
		return notResumable
	case v.Index <= s.whole:
		return notBookmarkable
	}
	if n := len(s.events); n > 0 {
		if last := s.events[n-1]; cmp.Or(cmp.Compare(v.Index, last.Index), cmp.Compare(v.Position, last.Position)) < 0 {
			return notOrdered
		}
		// Events come in order, so what is before this one has been sent.
		s.whole = max(s.whole, min(s.events[n-1].Index, v.Index-1))
	}
	return ""
}

// told are the types of events that the log's are compared with.
var told = []string{
	replay.Placed, replay.Settled, replay.Failed, replay.Stopping, replay.Unsettled, replay.Removed, replay.MemberLeft, replay.MemberExpired, moved,
	replay.BlockAdded, replay.BlockRemoved, replay.RetryThrottled,
}

// moved stands in the place of placed when an operator chose the owner.
const moved = "moved"

// key is what an event says, whatever its place within its index.
func key(w *history.Watch) string {
	what := w.Type
	if what == moved {
		what = replay.Placed
	}
	return fmt.Sprintf("%d %s %s %s %d %d", w.Index, what, w.Identity, w.Member, w.Incarnation, w.Epoch)
}

// againstLog holds what a segment said, up to where it is whole, against the log.
func (s *segment) againstLog(t *replay.Timeline, f *finding) {
	name := fmt.Sprintf("stream %d", s.stream)
	if s.since+1 < t.First || s.whole > t.Last {
		f.unknown("%s is of the indexes %d to %d, and the log that was copied has %d to %d", name, s.since+1, s.whole, t.First, t.Last)
		return
	}
	if s.reset {
		s.entriesAgainstLog(name, t, f)
	}
	said := map[string]*history.Watch{}
	var order []string
	for _, e := range s.events {
		if k := key(e); e.Index <= s.whole && slices.Contains(told, e.Type) && said[k] == nil {
			said[k] = e
			order = append(order, k)
		}
	}
	first, _ := slices.BinarySearchFunc(t.Events, s.since+1, func(e replay.Event, index uint64) int { return cmp.Compare(e.Index, index) })
	for _, e := range t.Events[first:] {
		if e.Index > s.whole {
			break
		}
		if e.Identity != "" && !s.lets(e.Identity) || e.Identity == "" && (s.kind != "" || s.prefix != "") {
			continue
		}
		want := &history.Watch{Index: e.Index, Type: e.Type, Identity: e.Identity, Member: e.Member, Incarnation: e.Incarnation, Epoch: e.Epoch}
		if said[key(want)] == nil {
			f.bad(name, s.from, s.to, nil, "%s: the log has %s, and the stream does not", notReliable, event(want))
			return
		}
		delete(said, key(want))
	}
	for _, k := range order {
		// What is settled as it is placed may be told as both.
		if e := said[k]; e != nil && !(e.Type == replay.Settled && t.At(e.Identity, e.Index).From == e.Index && t.At(e.Identity, e.Index-1).Epoch != e.Epoch) {
			f.bad(name, s.from, s.to, nil, "%s: the stream has %s, and the log does not", notReliable, event(e))
			return
		}
	}
}

// entriesAgainstLog holds the snapshot in a stream against the state at its index.
func (s *segment) entriesAgainstLog(name string, t *replay.Timeline, f *finding) {
	seen := map[string]bool{}
	for _, e := range s.entries {
		v := t.At(e.Identity, s.since)
		if seen[e.Identity] = true; v.Phase != placement.Settled || v.Epoch != e.Epoch {
			f.bad(name, s.from, s.to, nil, "%s: the snapshot of index %d has %s, and the log %v under %d", notReliable, s.since, event(e), v.Phase, v.Epoch)
			return
		}
	}
	for _, id := range slices.Sorted(maps.Keys(t.Identities)) {
		if s.lets(id) && !seen[id] && t.At(id, s.since).Phase == placement.Settled {
			f.bad(name, s.from, s.to, nil, "%s: the snapshot of index %d has no %s", notReliable, s.since, id)
			return
		}
	}
}

// againstEachOther compares segments of one filter where both are whole.
func againstEachOther(all []*segment, f *finding) {
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.kind != b.kind || a.prefix != b.prefix {
				continue
			}
			since, whole := max(a.since, b.since), min(a.whole, b.whole)
			if whole <= since {
				continue
			}
			x, y := a.between(since, whole), b.between(since, whole)
			for n := range max(len(x), len(y)) {
				if n < len(x) && n < len(y) && same(x[n], y[n]) {
					continue
				}
				f.bad(fmt.Sprintf("stream %d", b.stream), min(a.from, b.from), max(a.to, b.to), nil, "%s: between %d and %d, stream %d has %s where stream %d has %s",
					notReliable, since, whole, a.stream, eventAt(x, n), b.stream, eventAt(y, n))
				break
			}
		}
	}
}

// between are the events above since, up to whole.
func (s *segment) between(since, whole uint64) []*history.Watch {
	var list []*history.Watch
	for _, e := range s.events {
		if e.Index > since && e.Index <= whole {
			list = append(list, e)
		}
	}
	return list
}

func eventAt(list []*history.Watch, n int) string {
	if n >= len(list) {
		return "nothing"
	}
	return event(list[n])
}

// event is an event for people.
func event(w *history.Watch) string {
	return fmt.Sprintf("%s %s, epoch %d, at index %d", w.Type, cmp.Or(w.Identity, w.Lock, w.Member), w.Epoch, w.Index)
}
