package check

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// checkOwner looks for two beliefs in one identity at one moment. A process that was stopped believed meanwhile what it believed before,
// if it still does when it goes on. Beliefs that touch do not overlap.
func checkOwner(h *history.History, _ *Options, f *finding) {
	for name, list := range beliefs(h, func(h *history.Hold) string { return h.Identity }) {
		overlaps(list, f, func(a, b *history.Hold) bool {
			if a.Member == b.Member && a.Incarnation == b.Incarnation && a.Epoch == b.Epoch {
				return false
			}
			f.bad(name, a.From, min(a.To, b.To), nil, "%s, epoch %d, believed to own it from %s to %s, and %s, epoch %d, from %s on",
				a.Member, a.Epoch, at(a.From), at(a.To), b.Member, b.Epoch, at(b.From))
			return true
		})
	}
}

// beliefs are the holds by what is held, each by From. Those that end where they begin are left out: who looked once believed at no moment
// that is known.
func beliefs(h *history.History, of func(*history.Hold) string) func(yield func(string, []*history.Hold) bool) {
	by := map[string][]*history.Hold{}
	for i := range h.Holds {
		x := &h.Holds[i].V
		if name := of(x); name != "" && x.From < x.To {
			by[name] = append(by[name], x)
		}
	}
	return func(yield func(string, []*history.Hold) bool) {
		for _, name := range slices.Sorted(maps.Keys(by)) {
			list := by[name]
			slices.SortStableFunc(list, func(a, b *history.Hold) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
			if !yield(name, list) {
				return
			}
		}
	}
}

// overlaps gives pairs of holds that overlap to conflict, the earlier one first, until it says for the later one that they
// exclude each other. A hold is compared with those before it that last beyond its beginning.
func overlaps(list []*history.Hold, f *finding, conflict func(a, b *history.Hold) bool) {
	var running []*history.Hold
	for _, b := range list {
		f.looked++
		running = slices.DeleteFunc(running, func(a *history.Hold) bool { return a.To <= b.From })
		for _, a := range running {
			if conflict(a, b) {
				break
			}
		}
		running = append(running, b)
	}
}
