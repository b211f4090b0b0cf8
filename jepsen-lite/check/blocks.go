package check

import (
	"cmp"
	"math"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
)

// checkBlocks looks at what watchers were told, and at what was answered: from the log index at which a member or an identity is put on the
// block list to that at which it is taken off, it is given nothing. At those indexes themselves nobody can say what came first. A retry is
// held back by a block, which is told right before.
func checkBlocks(h *history.History, _ *Options, f *finding) {
	blocksTold(h, f)
	blocksAcknowledged(h, f)
}

// blocksTold looks at each stream by itself.
func blocksTold(h *history.History, f *finding) {
	for _, list := range streams(h) {
		blocked := map[string]uint64{} // members and identities, and since which index
		for len(list) > 0 {
			switch w := &list[0].V; {
			case w.What == history.WatchOpen || w.What == history.WatchReset:
				clear(blocked) // what was in between was not told
			case w.What == history.WatchEntry && w.Type == replay.BlockAdded:
				f.looked++
				blocked[blockOf(w)] = w.Index
			}
			if list[0].V.What != history.WatchEvent {
				list = list[1:]
				continue
			}
			n := 1
			for n < len(list) && list[n].V.What == history.WatchEvent && list[n].V.Index == list[0].V.Index {
				n++
			}
			blocksAt(list[:n], blocked, f)
			list = list[n:]
		}
	}
}

// blockOf is what a block is about.
func blockOf(w *history.Watch) string { return cmp.Or(w.Identity, w.Member) }

// blocksAt looks at what was told of one index.
func blocksAt(list []*history.Timed[history.Watch], blocked map[string]uint64, f *finding) {
	for _, w := range list {
		if w.V.Type == replay.BlockRemoved {
			delete(blocked, blockOf(&w.V))
		}
	}
	for _, w := range list {
		if w.V.Type != replay.Placed && w.V.Type != moved {
			continue
		}
		for _, name := range []string{w.V.Identity, w.V.Member} {
			if since, ok := blocked[name]; ok {
				f.bad(name, w.At, w.At, nil, "stream %d: %s is on the block list since index %d, and there is %s on %s", w.V.Stream, name, since, event(&w.V), w.V.Member)
			}
		}
	}
	for i, w := range list {
		switch w.V.Type {
		case replay.BlockAdded:
			f.looked++
			blocked[blockOf(&w.V)] = w.V.Index
		case replay.RetryThrottled:
			if i == 0 || list[i-1].V.Type != replay.BlockAdded || list[i-1].V.Identity != w.V.Identity {
				f.bad(w.V.Identity, w.At, w.At, nil, "stream %d: no block is told right before %s", w.V.Stream, event(&w.V))
			}
		}
	}
}

// blocksAcknowledged holds the placements that were seen, each of which has the log index that made it in its epoch, against the blocks that
// somebody was told of: from the index of the answer up to what anybody had seen when it was first asked to be taken off.
func blocksAcknowledged(h *history.History, f *finding) {
	type seen struct {
		index uint64
		op    *history.Op
	}
	of := map[string][]seen{} // by member and identity
	var answered newest
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OutcomeOK {
			continue
		}
		if op.Answer.Read != nil {
			answered.add(op)
		}
		// The first generation's offsets are log indexes.
		if epoch := placement.Epoch(op.Answer.Epoch); op.Answer.Phase == history.Settled && epoch.Generation() == 0 {
			for _, name := range []string{op.Identity, op.Answer.Member} {
				of[name] = append(of[name], seen{epoch.Offset(), op})
			}
		}
	}
	answered.seal()
	for i := range h.Ops {
		on := &h.Ops[i]
		if on.F != history.Block || on.Outcome != history.OutcomeOK || on.Answer.Read == nil {
			continue
		}
		f.looked++
		from, to := on.Answer.Read.Index, uint64(math.MaxUint64)
		for j := range h.Ops {
			off := &h.Ops[j]
			if off.F != history.Unblock || off.Subject != on.Subject || off.Outcome == history.OutcomeOK && off.End < on.Begin {
				continue
			}
			to = 0
			if last := answered.before(off.Begin); last != nil {
				to = last.Answer.Read.Index
			}
			break
		}
		for _, x := range of[on.Subject] {
			if x.index > from && x.index <= to {
				f.bad(on.Subject, on.Begin, x.op.End, ops(on, x.op), "%s was put on the block list at index %d, and %s was placed on %s at index %d", on.Subject, from, x.op.Identity, x.op.Answer.Member, x.index)
			}
		}
	}
}
