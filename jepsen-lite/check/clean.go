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

// checkProcesses looks for crashes, and for what was left behind.
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
}
