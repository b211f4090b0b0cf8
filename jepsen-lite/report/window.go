package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// failure is a broken promise, and the part of the history in which it shows.
type failure struct {
	check.Result
	Order  string // a file
	Window []lane
	From   string
	To     string
	Height int
}

// lane is one client's, or one member's, part of the window, or a fault.
type lane struct {
	Name string
	Y    int
	Bars []bar
}

// bar is one operation, belief or fault.
type bar struct {
	X, Width    float64
	Class       string
	Text, Title string
	Anchor      string  // start or end: which end of the text is at TextX
	TextX       float64 // in percent
	Named       bool    // it belongs to the violation
}

// The window's size in its own units, and how many operations and faults it has at most.
const windowWidth, laneHeight, windowOps, windowFaults = 1000, 34, 60, 12

func newFailure(h *history.History, r *check.Result, o Options) failure {
	f := failure{Result: *r, Order: o.Orders[r.Subject]}
	named := map[uint64]bool{}
	for _, op := range r.Ops {
		named[op] = true
	}
	from, to := r.From, min(r.To, h.Last)
	margin := max((to-from)/10, 1000)
	from, to = max(0, from-margin), to+margin
	lanes := map[string][]bar{}
	x := func(ns int64) float64 {
		return min(windowWidth, max(0, float64(ns-from)/float64(to-from)*windowWidth))
	}
	add := func(lane string, b bar, begin, end int64) {
		b.X = x(begin)
		b.Width = max(x(end)-b.X, 2)
		if b.TextX, b.Anchor = b.X/windowWidth*100, "start"; b.X > windowWidth*0.7 {
			b.TextX, b.Anchor = (b.X+b.Width)/windowWidth*100, "end"
		}
		lanes[lane] = append(lanes[lane], b)
	}
	var around []*history.Op
	for i := range h.Ops {
		op := &h.Ops[i]
		if named[op.Op] || len(r.Ops) > 0 && len(r.Subject) > 0 && about(op) == strings.TrimPrefix(r.Subject, "lock ") && op.Begin <= to && op.End >= from {
			around = append(around, op)
		}
	}
	slices.SortStableFunc(around, func(a, b *history.Op) int { // the named ones are kept
		return cmp.Or(cmp.Compare(btoi(named[b.Op]), btoi(named[a.Op])), cmp.Compare(a.Begin, b.Begin))
	})
	for _, op := range around[:min(len(around), windowOps)] {
		class := [...]string{"info", "ok", "fail"}[op.Outcome]
		b := bar{Class: class, Title: title(op), Named: named[op.Op]}
		if b.Named {
			b.Text = string(op.F) + " " + saw(op)
		}
		add(op.Client, b, op.Begin, op.End)
	}
	if r.Checker == "owner" || r.Checker == "lock" || r.Checker == "fence" {
		var holds []*history.Hold
		for i := range h.Holds {
			if v := &h.Holds[i].V; v.Identity+v.Lock == r.Subject && v.From <= to && v.To >= from {
				holds = append(holds, v)
			}
		}
		for _, v := range join(holds) {
			// Each epoch has a lane of its own, or two of one member would cover each other.
			add(fmt.Sprintf("%s\x00%020d", v.Member, v.Epoch), bar{Class: "hold", Title: belief(&v), Text: fmt.Sprintf("epoch %d", v.Epoch), Named: true}, v.From, v.To)
		}
	}
	if len(lanes) > 0 {
		spans := slices.DeleteFunc(spansOf(h, h.Last), func(s faultSpan) bool { return s.from > to || s.to < from })
		for i, s := range spans[max(0, len(spans)-windowFaults):] { // above the others, since no client has so small a name
			add(fmt.Sprintf("\x00%020d", i), bar{Class: "fault", Title: s.title(), Text: label(s.f)}, s.from, s.to)
		}
	}
	names := make([]string, 0, len(lanes))
	for name := range lanes { // any order
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		who, _, _ := strings.Cut(name, "\x00")
		f.Window = append(f.Window, lane{Name: cmp.Or(who, "fault"), Y: i * laneHeight, Bars: lanes[name]})
	}
	f.From, f.To, f.Height = at(from), at(to), len(names)*laneHeight
	return f
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func about(op *history.Op) string { return op.Identity + op.Lock }

// saw is what an operation saw, in few words.
func saw(op *history.Op) string {
	a := &op.Answer
	switch {
	case op.Outcome != history.OutcomeOK:
		return cmp.Or(a.Reason, op.Outcome.String())
	case a.Phase == history.Settled:
		return fmt.Sprintf("→ %s, epoch %d", a.Member, a.Epoch)
	case a.Token != 0:
		return fmt.Sprintf("→ token %d", a.Token)
	case op.F == history.Remove && a.Epoch != 0:
		return fmt.Sprintf("epoch %d", a.Epoch)
	}
	return strings.TrimSpace("→ " + cmp.Or(a.Phase, "ok"))
}

// title is all of an operation, for a tooltip.
func title(op *history.Op) string {
	end := "never answered"
	if op.End != history.Never {
		end = fmt.Sprintf("to %s (%s)", at(op.End), at(op.End-op.Begin))
	}
	s := fmt.Sprintf("%d: %s %s %s by %s, from %s %s", op.Op, op.F, about(op), saw(op), op.Client, at(op.Begin), end)
	if r := op.Answer.Read; r != nil {
		s += fmt.Sprintf("; answered by %s at index %d", r.Server, r.Index)
	}
	return s
}
