package check

import (
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkReplicas joins what servers said of their state at one index. When a run ends, every server must have said so.
func checkReplicas(h *history.History, _ *Options, f *finding) {
	first := map[uint64]*history.Timed[history.Digest]{}
	final := map[string]bool{}
	shared := false
	for i := range h.Digests {
		d := &h.Digests[i]
		f.looked++
		if d.V.Final {
			final[d.V.Server] = true
		}
		before := first[d.V.Index]
		if before == nil {
			first[d.V.Index] = d
			continue
		}
		shared = shared || before.V.Server != d.V.Server
		if before.V.Digest != d.V.Digest {
			f.bad(d.V.Server, before.At, d.At, nil, "at index %d %s has the digest %s%s, and %s has %s%s", d.V.Index,
				before.V.Server, before.V.Digest, recomputed(before), d.V.Server, d.V.Digest, recomputed(d))
		}
	}
	if h.End == nil || len(h.FinalServers()) == 0 {
		return
	}
	for _, s := range h.FinalServers() {
		if !final[s] {
			f.unknown("%s did not say what its state is in the end", s)
		}
	}
	if len(h.FinalServers()) > 1 && !shared {
		f.unknown("no two servers said what their state is at one index")
	}
}

func recomputed(d *history.Timed[history.Digest]) string {
	if d.V.Recomputed {
		return ", computed anew"
	}
	return ""
}

// checkTerms looks for two servers that took themselves for the leader of one term.
func checkTerms(h *history.History, _ *Options, f *finding) {
	leaders := map[uint64]*history.Timed[history.Server]{}
	for i := range h.Servers {
		s := &h.Servers[i]
		f.looked++
		if s.V.Role != "leader" || s.V.Term == 0 {
			continue
		}
		before := leaders[s.V.Term]
		if before == nil {
			leaders[s.V.Term] = s
		} else if before.V.Name != s.V.Name {
			f.bad(s.V.Name, before.At, s.At, nil, "term %d has two leaders, %s and %s", s.V.Term, before.V.Name, s.V.Name)
		}
	}
}

// checkExport looks at saved states: each is as new as every change that was acknowledged before it was asked for, and two of
// one index are equal.
func checkExport(h *history.History, _ *Options, f *finding) {
	type saved struct{ op *history.Op }
	first := map[uint64]saved{}
	var acked newest
	for i := range h.Ops {
		if op := &h.Ops[i]; op.F.Changes() && op.Outcome == history.OutcomeOK && op.Answer.Read != nil {
			acked.add(op)
		}
	}
	acked.seal()
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.F != history.Export || op.Outcome != history.OutcomeOK || op.Answer.Read == nil {
			continue
		}
		f.looked++
		index := op.Answer.Read.Index
		if before := acked.before(op.Begin); before != nil && strict(op) && before.Answer.Read.Index > index {
			f.bad(op.Answer.Read.Server, before.Begin, op.End, ops(before, op), "%s was acknowledged at index %d before the state was asked for, and what came is of index %d",
				before.F, before.Answer.Read.Index, index)
		}
		other, seen := first[index]
		if !seen {
			first[index] = saved{op}
			continue
		}
		if a, b := &other.op.Answer, &op.Answer; a.Hash != b.Hash || a.Digest != b.Digest {
			f.bad(b.Read.Server, other.op.Begin, op.End, ops(other.op, op), "two saved states of index %d differ: of %s %s%s, of %s %s%s",
				index, a.Read.Server, a.Digest, a.Hash, b.Read.Server, b.Digest, b.Hash)
		}
	}
}
