package check

import (
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkRestore looks at new clusters that were made of a saved state: each has what that has, and every epoch that it makes is larger
// than all that anybody was given before, also after the state was saved.
func checkRestore(h *history.History, _ *Options, f *finding) {
	if len(h.Restored) == 0 {
		return
	}
	for i := range h.Restored {
		r := &h.Restored[i]
		x := &r.V
		highest := highestToken(h, x.Member)
		f.looked += x.Settled + len(x.Epochs)
		bad := func(format string, args ...any) { f.bad("", r.At, r.At, nil, format, args...) }
		if len(x.Differs) > 0 {
			bad("the cluster that was made of the state of index %d has %d things otherwise: %s", x.Index, len(x.Differs), strings.Join(x.Differs, "; "))
		}
		if x.To <= x.From {
			bad("the cluster that was made of a state of generation %d has generation %d", x.From, x.To)
		}
		for _, e := range x.Epochs {
			if e <= highest {
				bad("the new cluster made epoch %d, and the old one had made %d", e, highest)
			}
		}
		switch {
		case x.Settled == 0:
			f.unknown("the state that was restored had no placement")
		case len(x.Epochs) == 0:
			f.unknown("the new cluster has placed nothing")
		}
	}
}

// highestToken is the largest epoch or token that anybody was given but the member of a new cluster.
func highestToken(h *history.History, but string) (highest uint64) {
	for i := range h.Ops {
		a := &h.Ops[i].Answer
		highest = max(highest, a.Epoch, a.Token)
	}
	for i := range h.Holds {
		if x := &h.Holds[i].V; x.Member != but {
			highest = max(highest, x.Epoch)
		}
	}
	for i := range h.Writes {
		if x := &h.Writes[i].V; x.Writer != but {
			highest = max(highest, x.Token)
		}
	}
	return highest
}
