package check

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
)

// Options say how a history is checked. The zero value checks all that the history alone allows.
type Options struct {
	// Log is what the committed log says; nil when it was not copied.
	Log *replay.Timeline
	// LogErr is why there is no Log although it was copied: the logs disagree, or cannot be replayed.
	LogErr error
	// Search bounds the search for one order of one identity's or lock's operations. Default 30 s. When it ends the result
	// is unknown.
	Search time.Duration
	// Only names the checkers that run; empty for all.
	Only []string
}

// checker is one promise.
type checker struct {
	name string
	// about is the workload that the checker must find something of, empty for every run.
	about string
	run   func(*history.History, *Options, *finding)
}

// The workloads, as they are named in a run.
const (
	WorkLookup     = "lookup"
	WorkActivation = "activation"
	WorkLock       = "lock"
	WorkWatch      = "watch"
	WorkExport     = "export"
	WorkRestore    = "restore"
	WorkBlock      = "block"
)

// never is the workload that no run has: the checker is idle when there is nothing.
const never = "-"

var checkers = []checker{
	{"run", "", checkRun},
	{"processes", "", checkProcesses},
	{"order", WorkLookup, checkOrder},
	{"linearizable", WorkLookup, checkLinearizable},
	{"owner", WorkActivation, checkOwner},
	{"fence", WorkActivation, checkFence},
	{"lock", WorkLock, checkLock},
	{"durable", WorkLookup, checkDurable},
	{"replicas", "", checkReplicas},
	{"export", WorkExport, checkExport},
	{"restore", WorkRestore, checkRestore},
	{"terms", "", checkTerms},
	{"watch", WorkWatch, checkWatch},
	{"blocks", WorkBlock, checkBlocks},
	{"log", never, checkLog},
	{"requests", never, checkRequests},
	{"progress", "", checkProgress},
}

// Names are the names of the checkers, in their order.
func Names() []string {
	var names []string
	for _, c := range checkers {
		names = append(names, c.name)
	}
	return names
}

// Run checks a history.
func Run(h *history.History, o Options) *Results {
	if o.Search == 0 {
		o.Search = 30 * time.Second
	}
	r := &Results{ExpectedToFail: h.Run.ExpectedToFail, Ops: len(h.Ops), Last: h.Last, Valid: True}
	for i := range h.Ops {
		switch h.Ops[i].Outcome {
		case history.OutcomeOK:
			r.OK++
		case history.OutcomeFail:
			r.Fail++
		default:
			r.Unknown++
		}
	}
	for _, c := range checkers {
		if len(o.Only) > 0 && !slices.Contains(o.Only, c.name) {
			continue
		}
		begin := time.Now()
		f := &finding{}
		c.run(h, &o, f)
		x := f.result(c.name, c.about == "" || slices.Contains(h.Run.Workload, c.about))
		x.Took = time.Since(begin)
		r.Checkers = append(r.Checkers, x)
		switch {
		case x.Valid == False:
			r.Valid = False
		case x.Valid == Unknown && r.Valid == True:
			r.Valid = Unknown
		}
	}
	r.Passed = r.Valid == True
	if r.ExpectedToFail {
		r.Passed = r.brokeOnly(h.Run.Breaks)
	}
	return r
}

// brokeOnly says whether one of some checkers says false, of all when none is named, and no other one finds anything wrong.
func (r *Results) brokeOnly(breaks []string) bool {
	broke := false
	for _, c := range r.Checkers {
		meant := len(breaks) == 0 || slices.Contains(breaks, c.Checker)
		if !meant && (c.Valid == False || c.Valid == Unknown) {
			return false
		}
		broke = broke || meant && c.Valid == False
	}
	return broke
}
