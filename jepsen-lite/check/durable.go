package check

import (
	"fmt"
	"math"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkDurable looks at the last reads, after everything has healed: every server must have made some, and an identity whose
// placement was acknowledged has that placement, or a newer one, unless something may have ended it: a Remove, a Move or a Free
// of it, its member giving it up, or whatever befell the member.
func checkDurable(h *history.History, _ *Options, f *finding) {
	befell := befallen(h)
	gone := map[string]int64{} // identity and epoch that a member gave up, and when
	for i := range h.Holds {
		if x := &h.Holds[i].V; x.Identity != "" && x.Ended {
			gone[epochOf(x.Identity, x.Epoch)] = x.To
		}
	}
	names, by := byIdentity(h)
	served := map[string]bool{}
	asked := false
	for _, name := range names {
		var newest *history.Op // the placement that was acknowledged last
		ended := int64(math.MaxInt64)
		for _, op := range by[name] {
			asked = asked || op.Final
			if (op.F == history.Remove || op.F == history.Move || op.F == history.Free) && (op.Outcome == history.OutcomeOK || mayHaveDone(op)) {
				ended = min(ended, op.Begin)
			}
			if e, _, ok := saw(op); ok && e != 0 && !op.Final && (newest == nil || e > newest.Answer.Epoch) {
				newest = op
			}
		}
		for _, op := range by[name] {
			if !op.Final || op.F != history.Lookup || op.Outcome != history.OutcomeOK || !strict(op) {
				continue
			}
			f.looked++
			served[op.Server] = true
			epoch, absent, says := saw(op)
			if newest == nil || !says || op.Begin < newest.End || epoch >= newest.Answer.Epoch {
				continue
			}
			a := &newest.Answer
			_, released := gone[epochOf(name, a.Epoch)]
			if when, ok := befell[a.Member]; absent && (released || ended < op.End || ok && when < op.End) {
				continue
			}
			f.bad(name, newest.Begin, op.End, ops(newest, op), "%s, acknowledged at %s, is lost: in the end %s says %s", described(newest), at(newest.End), where(op), described(op))
		}
	}
	if h.End == nil || len(h.FinalServers()) == 0 || len(names) == 0 {
		return
	}
	for _, s := range h.FinalServers() {
		if !asked || !served[s] {
			f.unknown("there is no look-up in the end that %s answered", s)
		}
	}
}

func epochOf(identity string, epoch uint64) string { return fmt.Sprintf("%d %s", epoch, identity) }

func where(op *history.Op) string {
	if op.Answer.Read != nil {
		return op.Answer.Read.Server
	}
	return op.Server
}

// befallen are the members to which something happened that may end what they own, and when: they were stopped, killed or cut
// off, or lost their lease.
func befallen(h *history.History) map[string]int64 {
	befell := map[string]int64{}
	note := func(member string, at int64) {
		if before, ok := befell[member]; !ok || at < before {
			befell[member] = at
		}
	}
	for _, x := range h.Faults {
		for _, t := range x.V.Targets {
			note(t, x.At)
		}
	}
	for _, p := range h.Processes {
		if p.V.Kind == "member" && !slices.Contains([]string{history.ProcessStart, history.ProcessReady, history.ProcessGoOn}, p.V.What) {
			note(p.V.Name, p.At)
		}
	}
	for _, x := range h.Holds {
		if x.V.Ended && x.V.Why == history.Lost {
			note(x.V.Member, x.V.To)
		}
	}
	return befell
}
