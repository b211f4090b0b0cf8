package check

import (
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// checkBlocks looks at what watchers were told: from the log index at which a member or an identity is put on the block list to that at
// which it is taken off, it is given nothing. At those indexes themselves nobody can say what came first. A retry is held back by a
// block, which is told right before.
func checkBlocks(h *history.History, _ *Options, f *finding) {
	for _, list := range streams(h) {
		blocked := map[string]uint64{} // members and identities, and since which index
		for len(list) > 0 {
			if what := list[0].V.What; what == history.WatchOpen || what == history.WatchReset {
				clear(blocked) // what was in between was not told
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

// blocksAt looks at what was told of one index.
func blocksAt(list []*history.Timed[history.Watch], blocked map[string]uint64, f *finding) {
	subject := func(w *history.Watch) string {
		if w.Identity != "" {
			return w.Identity
		}
		return w.Member
	}
	for _, w := range list {
		if w.V.Type == replay.BlockRemoved {
			delete(blocked, subject(&w.V))
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
			blocked[subject(&w.V)] = w.V.Index
		case replay.RetryThrottled:
			if i == 0 || list[i-1].V.Type != replay.BlockAdded || list[i-1].V.Identity != w.V.Identity {
				f.bad(w.V.Identity, w.At, w.At, nil, "stream %d: no block is told right before %s", w.V.Stream, event(&w.V))
			}
		}
	}
}
