package check

import (
	"strings"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkRun looks whether the run came to its end.
func checkRun(h *history.History, _ *Options, f *finding) {
	f.looked++
	switch {
	case h.End == nil:
		f.unknown("the history was broken off at %s", at(h.Last))
	case h.End.V.Error != "":
		f.unknown("the test itself failed: %s", h.End.V.Error)
	}
}

// checkProcesses looks for crashes, for what was left behind, and for servers that have more and more in use.
func checkProcesses(h *history.History, _ *Options, f *finding) {
	for i := range h.Processes {
		p := &h.Processes[i]
		f.looked++
		if p.V.What == history.ProcessCrash {
			f.bad(p.V.Name, p.At, p.At, nil, "%s crashed: %s", p.V.Name, p.V.Status)
		}
	}
	for i := range h.Leaks {
		l := &h.Leaks[i]
		f.looked++
		if n := l.V.Goroutines + l.V.Processes + l.V.Namespaces + l.V.Mounts + l.V.Files; n > 0 {
			f.bad("", l.At, l.At, nil, "%d goroutines, %d processes, %d namespaces, %d mounts and %d files were left behind: %s",
				l.V.Goroutines, l.V.Processes, l.V.Namespaces, l.V.Mounts, l.V.Files, strings.Join(l.V.What, ", "))
		}
	}
	if h.End != nil && len(h.Leaks) == 0 {
		f.unknown("nobody looked for what was left behind")
	}
	checkUsage(h, f)
}

// checkUsage holds what each server has in use in the end against the most that one had in the beginning: another one may lead, and
// some have begun anew, or later.
func checkUsage(h *history.History, f *finding) {
	goroutines, descriptors := h.Run.Bounds.Goroutines, h.Run.Bounds.Descriptors
	if goroutines == 0 && descriptors == 0 {
		return
	}
	var most history.Usage
	final := map[string]bool{}
	for i := range h.Usages {
		if u := &h.Usages[i].V; !u.Final {
			most.Goroutines, most.Descriptors = max(most.Goroutines, u.Goroutines), max(most.Descriptors, u.Descriptors)
		}
	}
	for i := range h.Usages {
		u := &h.Usages[i]
		if !u.V.Final {
			continue
		}
		f.looked++
		final[u.V.Server] = true
		for _, x := range []struct {
			what             string
			had, has, within int
		}{{"goroutines", most.Goroutines, u.V.Goroutines, goroutines}, {"file descriptors", most.Descriptors, u.V.Descriptors, descriptors}} {
			if x.within > 0 && x.has > x.had+x.within {
				f.bad(u.V.Server, u.At, u.At, nil, "%s has %d %s in the end, where none had over %d in the beginning, and at most %d more are allowed",
					u.V.Server, x.has, x.what, x.had, x.within)
			}
		}
	}
	if h.End == nil || h.End.V.Error != "" {
		return
	}
	if most == (history.Usage{}) {
		f.unknown("nobody looked at what servers have in use in the beginning")
	}
	for _, s := range h.FinalServers() {
		if !final[s] {
			f.unknown("nobody looked at what %s has in use in the end", s)
		}
	}
}
