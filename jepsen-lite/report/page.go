package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// view is what the page shows.
type view struct {
	Verdict, Class, Sentence string
	Title, Subtitle          string
	Command                  string
	Facts                    []fact
	Tiles                    []fact
	Checkers                 []checker
	Failures                 []failure
	End                      float64 // of the axis, in milliseconds
	Ticks                    []tick
	Phases                   []mark
	Bands                    []band
	Rate                     rate
	Latency                  latency
	Groups                   []group
	Notes                    []string
}

type fact struct{ Name, Value, Class string }

type checker struct {
	check.Result
	Time string
	Text string
}

// tick is a mark of the axis, at so many percent of its length.
type tick struct {
	At   float64
	Text string
}

// mark is a moment with a name.
type mark struct {
	At, Percent float64
	Name        string
	Class       string
}

// band is a fault: it shades all lanes.
type band struct {
	From, Length, Left, Width float64
	Kind, Title               string
	Class                     string
	Row                       int
}

func ms(ns int64) float64 { return float64(ns/1000) / 1000 }

func newPage(h *history.History, r *check.Results, o Options) *view {
	end := max(h.Last, int64(time.Millisecond))
	p := &view{
		Title: h.Run.Scenario, Subtitle: fmt.Sprintf("seed %d", h.Run.Seed), Command: h.Run.Command, End: ms(end),
	}
	p.verdict(h, r)
	p.facts(h, r)
	for _, c := range r.Checkers {
		x := checker{Result: c, Time: c.Took.Round(10 * time.Microsecond).String(), Text: c.Why}
		if c.Valid == check.False {
			x.Text = strings.TrimSpace("broken " + c.Subject)
			p.Failures = append(p.Failures, newFailure(h, &c, o))
		}
		p.Checkers = append(p.Checkers, x)
	}
	for i := range 11 {
		p.Ticks = append(p.Ticks, tick{At: float64(i) * 10, Text: short(end / 10 * int64(i))})
	}
	for _, x := range h.Phases {
		m := mark{At: ms(x.At), Percent: percent(x.At, end), Name: x.V.Name}
		if m.Percent > 92 {
			m.Class = "late" // its name stands before it
		}
		p.Phases = append(p.Phases, m)
	}
	p.bands(h, end)
	p.Rate = newRate(h, end)
	p.Latency = newLatency(h)
	p.Groups = append(p.Groups, servers(h, end))
	p.Groups = append(p.Groups, owners(h, "Who owned what", func(x *history.Hold) string { return x.Identity }), owners(h, "Who held which lock", func(x *history.Hold) string { return x.Lock }))
	p.Groups = slices.DeleteFunc(p.Groups, func(g group) bool { return len(g.Rows) == 0 })
	if h.Torn {
		p.Notes = append(p.Notes, "the last line of the history was not whole, and is left out")
	}
	if n := len(h.Ops); n > PointsMax {
		p.Notes = append(p.Notes, fmt.Sprintf("the plot of latency shows %s of %s operations", humanize.Comma(PointsMax), humanize.Comma(int64(n))))
	}
	return p
}

func percent(at, end int64) float64 { return float64(at) / float64(end) * 100 }

// short is a moment for the axis.
func short(ns int64) string {
	d := time.Duration(ns)
	switch {
	case ns == 0:
		return "0"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(ns)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(ns)/1e6)
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f min", d.Minutes())
}

func (p *view) verdict(h *history.History, r *check.Results) {
	broken, undecided := 0, 0
	for _, c := range r.Checkers {
		switch c.Valid {
		case check.False:
			broken++
		case check.Unknown:
			undecided++
		}
	}
	switch {
	case r.ExpectedToFail && r.Passed:
		p.Verdict, p.Class, p.Sentence = "Broken, as it was meant to be", "good", "This run breaks a promise on purpose, and the checkers saw it."
	case r.ExpectedToFail && r.Valid == check.False:
		p.Verdict, p.Class, p.Sentence = "A promise was broken", "bad", fmt.Sprintf("This run breaks %s on purpose, and what was found is not that alone.", strings.Join(h.Run.Breaks, " or "))
	case r.ExpectedToFail:
		p.Verdict, p.Class, p.Sentence = "Not broken", "bad", "This run breaks a promise on purpose, and no checker saw it: the test itself is wrong."
	case r.Valid == check.True:
		p.Verdict, p.Class = "Every promise was kept", "good"
		p.Sentence = fmt.Sprintf("%s operations, %s under %s.", humanize.Comma(int64(r.Ops)), plural(faults(h), "fault"), plural(len(h.Run.Servers), "server"))
	case r.Valid == check.Unknown:
		p.Verdict, p.Class = "Not proved", "unknown"
		p.Sentence = fmt.Sprintf("%s could not say. What is not proved does not pass.", plural(undecided, "checker"))
	default:
		p.Verdict, p.Class = "A promise was broken", "bad"
		p.Sentence = fmt.Sprintf("%s found a violation.", plural(broken, "checker"))
	}
	if r.Valid == check.True && faults(h) > 0 {
		p.Sentence = fmt.Sprintf("%s operations on %s, through %s.", humanize.Comma(int64(r.Ops)), plural(len(h.Run.Servers), "server"), plural(faults(h), "fault"))
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "s"
}

func faults(h *history.History) int {
	n := 0
	for _, f := range h.Faults {
		if !f.V.Ends {
			n++
		}
	}
	return n
}

func (p *view) facts(h *history.History, r *check.Results) {
	run := &h.Run
	add := func(name, value string) {
		if value != "" {
			p.Facts = append(p.Facts, fact{Name: name, Value: value})
		}
	}
	if run.Tier > 0 {
		add("tier", [...]string{"", "1, virtual time", "2, processes", "3, hosts"}[min(run.Tier, 3)])
	}
	if !run.Started.IsZero() {
		add("started", run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	add("lasted", time.Duration(h.Last).Round(time.Millisecond).String())
	add("servers", strings.Join(run.Servers, ", "))
	add("members", strings.Join(run.Members, ", "))
	add("workload", strings.Join(run.Workload, ", "))
	add("faults", strings.Join(run.Faults, ", "))
	add("mutant", run.Mutant)
	add("version", run.Version)
	add("commit", run.Commit)
	add("go", run.Go)
	add("kernel", run.Kernel)
	tile := func(name, value, class string) { p.Tiles = append(p.Tiles, fact{name, value, class}) }
	tile("operations", humanize.Comma(int64(r.Ops)), "")
	tile("ok", humanize.Comma(int64(r.OK)), "ok")
	tile("refused", humanize.Comma(int64(r.Fail)), "fail")
	tile("unknown", humanize.Comma(int64(r.Unknown)), "info")
	tile("faults", humanize.Comma(int64(faults(h))), "")
	terms := map[uint64]bool{}
	for _, s := range h.Servers {
		if s.V.Term > 0 {
			terms[s.V.Term] = true
		}
	}
	tile("terms", fmt.Sprint(len(terms)), "")
	tile("longest pause", short(pause(h)), "")
	if all, alone := lookups(h); all > 0 {
		tile("by followers", fmt.Sprintf("%.0f %%", float64(alone)/float64(all)*100), "")
	}
}

// pause is the longest time between two answers that were ok.
func pause(h *history.History) (longest int64) {
	var ends []int64
	for i := range h.Ops {
		if h.Ops[i].Outcome == history.OutcomeOK {
			ends = append(ends, h.Ops[i].End)
		}
	}
	slices.Sort(ends)
	for i := 1; i < len(ends); i++ {
		longest = max(longest, ends[i]-ends[i-1])
	}
	return longest
}

// lookups counts the look-ups with a proof, and those that a follower answered alone.
func lookups(h *history.History) (all, alone int) {
	for i := range h.Ops {
		if a := &h.Ops[i].Answer; h.Ops[i].F == history.Lookup && a.Read != nil {
			all++
			if a.Read.Role == "follower" {
				alone++
			}
		}
	}
	return all, alone
}

// faultSpan is a fault from its beginning to its end.
type faultSpan struct {
	f        *history.Timed[history.Fault]
	from, to int64
}

// title is all of a fault, for a tooltip.
func (s faultSpan) title() string {
	t := fmt.Sprintf("%s %s from %s to %s", s.f.V.Kind, strings.Join(s.f.V.Targets, " "), time.Duration(s.from).Round(time.Millisecond), time.Duration(s.to).Round(time.Millisecond))
	if s.f.V.Detail != "" {
		t += ": " + s.f.V.Detail
	}
	return t
}

// spansOf are all faults in the order in which they begin. One that does not end lasts until end.
func spansOf(h *history.History, end int64) []faultSpan {
	open := map[uint64]*history.Timed[history.Fault]{}
	var spans []faultSpan
	for i := range h.Faults {
		f := &h.Faults[i]
		if !f.V.Ends {
			open[f.V.Fault] = f
		} else if begun := open[f.V.Fault]; begun != nil {
			spans = append(spans, faultSpan{begun, begun.At, f.At})
			delete(open, f.V.Fault)
		}
	}
	for _, f := range open { // any order
		spans = append(spans, faultSpan{f, f.At, end})
	}
	slices.SortFunc(spans, func(a, b faultSpan) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.f.V.Fault, b.f.V.Fault))
	})
	return spans
}

// bands are the faults, each from its beginning to its end, in as few rows as they and their names fit without covering each other,
// and in bandRowsMax at most.
func (p *view) bands(h *history.History, end int64) {
	spans := spansOf(h, end)
	kinds := map[string]int{}
	var rows []int64 // until when each is taken
	for _, s := range spans {
		kind := s.f.V.Kind
		if _, ok := kinds[kind]; !ok {
			kinds[kind] = len(kinds)
		}
		b := band{
			From: ms(s.from), Length: max(ms(s.to-s.from), p.End/2000), Left: percent(s.from, end), Width: max(percent(s.to-s.from, end), 0.15),
			Kind: label(s.f), Class: fmt.Sprintf("f%d", kinds[kind]%6),
		}
		b.Title = s.title()
		b.Row = slices.IndexFunc(rows, func(until int64) bool { return until <= s.from })
		switch {
		case b.Row >= 0:
		case len(rows) < bandRowsMax:
			b.Row = len(rows)
			rows = append(rows, 0)
		default: // it has no room for its name, which is in its title
			b.Row, b.Kind = slices.Index(rows, slices.Min(rows)), ""
		}
		rows[b.Row] = max(rows[b.Row], s.to, s.from+end/letters*int64(len(b.Kind)))
		p.Bands = append(p.Bands, b)
	}
}

const (
	// bandRowsMax is how many rows of faults the page has room for, and letters how many letters its width has.
	bandRowsMax, letters = 6, 180
	// targetsMax is how many targets the name of a fault has.
	targetsMax = 3
)

// label is the name of a fault, in few words.
func label(f *history.Timed[history.Fault]) string {
	if n := len(f.V.Targets); n > targetsMax {
		return fmt.Sprintf("%s %d hosts", f.V.Kind, n)
	}
	return strings.TrimSpace(f.V.Kind + " " + strings.Join(f.V.Targets, " "))
}

// BandRows is how many rows the faults need.
func (p *view) BandRows() int {
	n := 0
	for _, b := range p.Bands {
		n = max(n, b.Row+1)
	}
	return n
}
