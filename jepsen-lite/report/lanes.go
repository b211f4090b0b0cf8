package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// group is some rows under one title.
type group struct {
	Title, Legend string
	Rows          []row
	More          string
	Keys          []fact // the colours
}

// row is one lane: spans on the axis of time.
type row struct {
	Name  string
	Spans []span
	Marks []span
}

// span is drawn from From on, Length long, in its row at Y, H high, of 100.
type span struct {
	From, Length, Y, H float64
	Class, Title       string
}

// servers are the roles, terms and leases of the servers, and what became of their processes.
func servers(h *history.History, end int64) group {
	g := group{Title: "Servers", Legend: "role by colour, the read lease below it, and what happened to the process"}
	names := slices.Clone(h.Run.Servers)
	by := map[string][]*history.Timed[history.Server]{}
	for i := range h.Servers {
		s := &h.Servers[i]
		if by[s.V.Name] == nil && !slices.Contains(names, s.V.Name) {
			names = append(names, s.V.Name)
		}
		by[s.V.Name] = append(by[s.V.Name], s)
	}
	slices.Sort(names)
	for _, name := range names {
		r := row{Name: name}
		r.roles(by[name], end)
		r.leases(by[name], end)
		r.processes(h, name, end)
		if len(r.Spans)+len(r.Marks) > 0 {
			g.Rows = append(g.Rows, r)
		}
	}
	g.Keys = []fact{{"leader", "", "leader"}, {"follower", "", "follower"}, {"other", "", "other"}, {"read lease", "", "lease"}, {"stopped", "", "stopped"}, {"down", "", "down"}}
	return g
}

// roles joins what a server said of itself into spans of one role, term and leader. A server that says nothing for a while has no
// role.
func (r *row) roles(list []*history.Timed[history.Server], end int64) {
	silent := max(end/100, int64(500*time.Millisecond))
	for i := 0; i < len(list); {
		first, last := list[i], list[i]
		for i++; i < len(list) && list[i].V.Role == first.V.Role && list[i].V.Term == first.V.Term && list[i].At-last.At < silent; i++ {
			last = list[i]
		}
		until := last.At
		if i < len(list) && list[i].At-last.At < silent {
			until = list[i].At
		}
		class := "other"
		if first.V.Role == "leader" || first.V.Role == "follower" {
			class = first.V.Role
		}
		r.Spans = append(r.Spans, span{
			ms(first.At), max(ms(until-first.At), ms(end)/3000), 18, 44, class,
			fmt.Sprintf("%s: %s of term %d, from %s to %s, applied %d to %d", r.Name, first.V.Role, first.V.Term, at(first.At), at(until), first.V.Applied, last.V.Applied),
		})
	}
}

// leases joins the leases of a server.
func (r *row) leases(list []*history.Timed[history.Server], end int64) {
	for i := 0; i < len(list); {
		first := list[i]
		if i++; first.V.LeaseUntil <= first.At {
			continue
		}
		until := first.V.LeaseUntil
		for ; i < len(list) && list[i].At <= until && list[i].V.LeaseUntil > 0; i++ {
			until = max(until, list[i].V.LeaseUntil)
		}
		until = min(until, end)
		r.Spans = append(r.Spans, span{ms(first.At), ms(until - first.At), 70, 14, "lease", fmt.Sprintf("%s: read lease from %s to %s", r.Name, at(first.At), at(until))})
	}
}

// processes draws over a row when its process was stopped or down.
func (r *row) processes(h *history.History, name string, end int64) {
	since, class := int64(-1), ""
	draw := func(until int64) {
		if since >= 0 {
			r.Marks = append(r.Marks, span{ms(since), max(ms(until-since), ms(end)/2000), 10, 80, class, fmt.Sprintf("%s: %s from %s to %s", name, class, at(since), at(until))})
		}
		since = -1
	}
	for i := range h.Processes {
		p := &h.Processes[i]
		if p.V.Name != name {
			continue
		}
		switch p.V.What {
		case history.ProcessStop:
			draw(p.At)
			since, class = p.At, "stopped"
		case history.ProcessKill, history.ProcessExit, history.ProcessCrash:
			if since < 0 || class != "down" {
				draw(p.At)
				since, class = p.At, "down"
			}
		case history.ProcessGoOn, history.ProcessStart, history.ProcessReady:
			draw(p.At)
		}
	}
	draw(end)
}

func at(ns int64) string { return time.Duration(ns).Round(10 * time.Microsecond).String() }

// owners are the beliefs by what is believed in, those with overlaps and most changes first.
func owners(h *history.History, title string, of func(*history.Hold) string) group {
	g := group{Title: title, Legend: "each bar is a belief, its colour the holder; two at one moment are red"}
	by := map[string][]*history.Hold{}
	members := map[string]bool{}
	for i := range h.Holds {
		x := &h.Holds[i].V
		if name := of(x); name != "" {
			by[name] = append(by[name], x)
			members[x.Member] = true
		}
	}
	colours := map[string]string{}
	for i, m := range slices.Sorted(maps.Keys(members)) {
		colours[m] = fmt.Sprintf("m%d", i%10)
		if i < 10 {
			g.Keys = append(g.Keys, fact{m, "", colours[m]})
		}
	}
	type named struct {
		row
		overlaps, changes int
		first             float64
	}
	var rows []named
	for name, list := range by { // any order
		r := named{row: row{Name: name}}
		joined := join(list)
		r.first = ms(joined[0].From)
		r.changes = len(joined)
		for i := range joined {
			x := &joined[i]
			if i < SpansMax {
				r.Spans = append(r.Spans, span{ms(x.From), max(ms(x.To-x.From), ms(h.Last)/4000), 20, 60, colours[x.Member], belief(x)})
			}
			for j := range joined[:i] {
				if y := &joined[j]; y.To > x.From && (y.Epoch != x.Epoch || y.Member != x.Member) && !(x.Mode == history.Shared && y.Mode == history.Shared) && x.Mode != history.Semaphore {
					r.overlaps++
					r.Marks = append(r.Marks, span{ms(x.From), max(ms(min(x.To, y.To)-x.From), ms(h.Last)/1000), 6, 88, "overlap", belief(y) + ", and " + belief(x)})
				}
			}
		}
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.overlaps, a.overlaps), cmp.Compare(b.changes, a.changes), strings.Compare(a.Name, b.Name))
	})
	if n := len(rows); n > RowsMax {
		g.More = fmt.Sprintf("%d more, with no overlap that is not shown here", n-RowsMax)
		if rows[RowsMax].overlaps > 0 {
			g.More = fmt.Sprintf("%d more, some of them with overlaps", n-RowsMax)
		}
		rows = rows[:RowsMax]
	}
	slices.SortStableFunc(rows, func(a, b named) int {
		return cmp.Or(cmp.Compare(b.overlaps, a.overlaps), cmp.Compare(a.first, b.first))
	})
	for _, r := range rows {
		g.Rows = append(g.Rows, r.row)
	}
	return g
}

// join makes one belief of holds that meet.
func join(list []*history.Hold) []history.Hold {
	slices.SortStableFunc(list, func(a, b *history.Hold) int { return cmp.Compare(a.From, b.From) })
	var joined []history.Hold
	last := map[string]int{} // of a holder's epoch: its place in joined
	for _, x := range list {
		key := fmt.Sprintf("%d %d %s", x.Epoch, x.Incarnation, x.Member)
		if i, ok := last[key]; ok && x.From <= joined[i].To {
			joined[i].To = max(joined[i].To, x.To)
			joined[i].Why = cmp.Or(x.Why, joined[i].Why)
			continue
		}
		last[key] = len(joined)
		joined = append(joined, *x)
	}
	return joined
}

func belief(x *history.Hold) string {
	s := fmt.Sprintf("%s, epoch %d, from %s to %s", x.Member, x.Epoch, at(x.From), at(x.To))
	if x.Why != "" {
		s += ", " + x.Why
	}
	return s
}
