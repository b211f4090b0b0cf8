package check

import (
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// phase is when a phase begins, and ok whether it does.
func phase(h *history.History, name string) (begin int64, ok bool) {
	for _, p := range h.Phases {
		if p.V.Name == name {
			return p.At, true
		}
	}
	return 0, false
}

// checkProgress looks whether everything works again in time after everything has healed: each operation that the run is made
// of, and each server. And that a majority that is well is not held up, before the first fault.
func checkProgress(h *history.History, _ *Options, f *finding) {
	healed, ok := phase(h, history.PhaseHealed)
	if bound := h.Run.Bounds.Progress; bound > 0 {
		if ok {
			progressAfter(h, healed, bound, f)
		} else {
			f.unknown("nothing says when everything had healed")
		}
	}
	if bound := h.Run.Bounds.Gap; bound > 0 {
		gaps(h, bound, f)
	}
	if h.Run.Bounds == (history.Bounds{}) {
		f.looked++ // nothing is promised
	}
}

// progressAfter wants one operation of each kind, and one answer of each server, that begins at healed or later and ends
// within the bound.
func progressAfter(h *history.History, healed, bound int64, f *finding) {
	type goal struct {
		f      history.F
		server string
	}
	first := map[goal]int64{}
	var goals []goal
	want := func(g goal) {
		if !slices.Contains(goals, g) {
			goals = append(goals, g)
		}
	}
	for _, s := range h.FinalServers() {
		want(goal{server: s})
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OutcomeOK {
			continue
		}
		if !op.F.IsFault() {
			want(goal{f: op.F})
		}
		if op.Begin < healed {
			continue
		}
		for _, g := range []goal{{f: op.F}, {server: op.Server}} {
			if end, seen := first[g]; !seen || op.End < end {
				first[g] = op.End
			}
		}
	}
	for _, g := range goals {
		what := string(g.f)
		if g.server != "" {
			what = "answer of " + g.server
		}
		f.looked++
		switch end, seen := first[g]; {
		case !seen && h.Last < healed+bound:
			f.unknown("the run ended %s after everything had healed, before there was any %s", at(h.Last-healed), what)
		case !seen:
			f.bad(g.server, healed, h.Last, nil, "after everything had healed there was no %s", what)
		case end > healed+bound:
			f.bad(g.server, healed, end, nil, "%s took until %s after everything had healed, and has %s", what, at(end-healed), at(bound))
		}
	}
}

// gaps looks at the time between two changes that were acknowledged, from the first one to the first fault.
func gaps(h *history.History, bound int64, f *finding) {
	end := h.Last
	if len(h.Faults) > 0 {
		end = h.Faults[0].At
	}
	if t, ok := phase(h, history.PhaseTeardown); ok {
		end = min(end, t)
	}
	var moments []int64
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Outcome == history.OutcomeOK && op.F.Changes() && op.End <= end {
			moments = append(moments, op.End)
		}
	}
	slices.Sort(moments)
	for i := 1; i < len(moments); i++ {
		f.looked++
		if gap := moments[i] - moments[i-1]; gap > bound {
			f.bad("", moments[i-1], moments[i], nil, "without any fault nothing was acknowledged for %s, and at most %s are allowed", at(gap), at(bound))
		}
	}
}
