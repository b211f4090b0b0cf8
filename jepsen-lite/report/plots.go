package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// buckets is into how many pieces the time is cut.
const buckets = 120

// rate is the number of answers in each piece of time, by outcome, one area on the other.
type rate struct {
	Areas []area
	Most  string
}

type area struct{ Class, Path, Title string }

func newRate(h *history.History, end int64) rate {
	var counts [3][buckets]int
	for i := range h.Ops {
		op := &h.Ops[i]
		at := op.End
		if at == history.Never {
			at = op.Begin
		}
		counts[op.Outcome][min(buckets-1, int(float64(at)/float64(end)*buckets))]++
	}
	most := 1
	for i := range buckets {
		most = max(most, counts[0][i]+counts[1][i]+counts[2][i])
	}
	var below [buckets]int
	r := rate{Most: perSecond(float64(most) / (float64(end) / buckets / 1e9))}
	width := ms(end) / buckets
	for _, x := range []struct {
		outcome history.Outcome
		class   string
	}{{history.OutcomeOK, "ok"}, {history.OutcomeFail, "fail"}, {history.OutcomeUnknown, "info"}} {
		var top, bottom strings.Builder
		y := func(n int) float64 { return 100 - float64(n)/float64(most)*96 }
		for i := range buckets {
			from, to := float64(i)*width, float64(i+1)*width
			fmt.Fprintf(&top, "L%.3f %.2fL%.3f %.2f", from, y(below[i]+counts[x.outcome][i]), to, y(below[i]+counts[x.outcome][i]))
		}
		for i := buckets - 1; i >= 0; i-- {
			fmt.Fprintf(&bottom, "L%.3f %.2fL%.3f %.2f", float64(i+1)*width, y(below[i]), float64(i)*width, y(below[i]))
			below[i] += counts[x.outcome][i]
		}
		path := "M" + top.String()[1:] + bottom.String() + "Z"
		r.Areas = append(r.Areas, area{x.class, path, x.outcome.String()})
	}
	return r
}

func perSecond(n float64) string {
	switch {
	case n >= 1e6:
		return fmt.Sprintf("%.1f M/s", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0f k/s", n/1e3)
	}
	return fmt.Sprintf("%.0f/s", n)
}

// latency is a point for each operation, and lines of the median and the 99th percentile of those that were ok.
type latency struct {
	Points []area // many in one path
	Named  []area // those that say what they are
	Lines  []area
	Grid   []tick
}

// decades are the latencies at the bottom and the top of the plot, powers of ten.
type decades struct{ low, high int64 }

// The latencies between which a plot ends, whatever there is: 1 µs and 1,000 s.
const latencyLow, latencyHigh = int64(1e3), int64(1e12)

func decadesOf(ops []history.Op) decades {
	least, most := latencyHigh, latencyLow
	for i := range ops {
		if op := &ops[i]; op.End != history.Never {
			least, most = min(least, op.End-op.Begin), max(most, op.End-op.Begin)
		}
	}
	d := decades{latencyLow, latencyLow * 100}
	for d.high < latencyHigh && d.high < most {
		d.high *= 10
	}
	for d.low*10 <= least && d.low*100 < d.high {
		d.low *= 10
	}
	return d
}

// height is where a latency is drawn, 0 at the top and 100 at the bottom.
func (d decades) height(ns int64) float64 {
	l := math.Log10(float64(max(ns, 1))/float64(d.low)) / math.Log10(float64(d.high)/float64(d.low))
	return 100 - 100*min(1, max(0, l))
}

func newLatency(h *history.History) latency {
	var l latency
	d := decadesOf(h.Ops)
	classes := []string{"info", "ok", "fail"}
	paths := make([]strings.Builder, len(classes))
	var named []*history.Op
	step := max(1, len(h.Ops)/PointsMax+1)
	if len(h.Ops) <= PointsMax {
		step = 1
	}
	var all [buckets][]int64
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.End == history.Never {
			named = append(named, op)
			continue
		}
		took := op.End - op.Begin
		if op.Outcome == history.OutcomeOK {
			n := min(buckets-1, int(float64(op.End)/float64(max(1, h.Last))*buckets))
			all[n] = append(all[n], took)
		}
		if op.Outcome != history.OutcomeOK && len(named) < NamedMax/2 {
			named = append(named, op)
			continue
		}
		if i%step == 0 {
			fmt.Fprintf(&paths[op.Outcome], "M%.3f %.2fh0", ms(op.End), d.height(took))
		}
	}
	for _, o := range []history.Outcome{history.OutcomeOK, history.OutcomeFail, history.OutcomeUnknown} {
		if s := paths[o].String(); s != "" {
			l.Points = append(l.Points, area{classes[o], s, o.String()})
		}
	}
	named = append(named, slowest(h.Ops, NamedMax/2)...)
	for _, op := range named[:min(len(named), NamedMax)] {
		at, took := op.End, op.End-op.Begin
		if at == history.Never {
			at, took = op.Begin, d.high
		}
		l.Named = append(l.Named, area{classes[op.Outcome], fmt.Sprintf("M%.3f %.2fh0", ms(at), d.height(took)), title(op)})
	}
	l.Lines = []area{{"p99", d.quantiles(all, h.Last, 0.99), "99th percentile"}, {"p50", d.quantiles(all, h.Last, 0.5), "median"}}
	for ns := d.low; ns <= d.high; ns *= 10 {
		l.Grid = append(l.Grid, tick{d.height(ns), unit(ns)})
	}
	return l
}

func unit(ns int64) string {
	switch {
	case ns < 1e6:
		return fmt.Sprintf("%d µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%d ms", ns/1e6)
	}
	return fmt.Sprintf("%d s", ns/1e9)
}

// slowest are the operations that took longest, of those that were answered.
func slowest(ops []history.Op, n int) []*history.Op {
	var list []*history.Op
	for i := range ops {
		if ops[i].End != history.Never && ops[i].Outcome == history.OutcomeOK {
			list = append(list, &ops[i])
		}
	}
	slices.SortFunc(list, func(a, b *history.Op) int { return int(min(1, max(-1, (b.End-b.Begin)-(a.End-a.Begin)))) })
	return list[:min(n, len(list))]
}

// quantiles is the line of one quantile over the pieces of time that have any.
func (d decades) quantiles(all [buckets][]int64, end int64, q float64) string {
	var b strings.Builder
	command := "M"
	width := ms(end) / buckets
	for i := range all {
		list := all[i]
		if len(list) == 0 {
			command = "M"
			continue
		}
		slices.Sort(list)
		y := d.height(list[min(len(list)-1, int(q*float64(len(list))))])
		fmt.Fprintf(&b, "%s%.3f %.2fL%.3f %.2f", command, float64(i)*width, y, float64(i+1)*width, y)
		command = "L"
	}
	return b.String()
}
