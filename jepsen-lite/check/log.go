package check

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/replay"
	"github.com/seed13d31b7f/berth/placement"
)

// checkLog holds every answer that names a log index against what the committed log says there.
func checkLog(h *history.History, o *Options, f *finding) {
	t := o.Log
	switch {
	case errors.Is(o.LogErr, replay.ErrBadLog):
		f.unknown("%v", o.LogErr)
	case o.LogErr != nil:
		f.bad("", 0, h.Last, nil, "%v", o.LogErr)
	}
	if t == nil {
		return
	}
	known := func(index uint64) bool {
		if index+1 >= t.First && index <= t.Last {
			return true
		}
		f.unknown("an answer is of index %d, and the log that was copied has %d to %d", index, t.First, t.Last)
		return false
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Outcome != history.OutcomeOK || op.Answer.Read == nil || !known(op.Answer.Read.Index) {
			continue
		}
		f.looked++
		if what := againstLog(t, op); what != "" {
			f.bad(op.Identity+op.Lock, op.Begin, op.End, ops(op), "%s of %s answered %s at index %d, where the log says %s", op.F, op.Identity+op.Lock, described(op), op.Answer.Read.Index, what)
		}
	}
	for i := range h.Digests {
		d := &h.Digests[i]
		f.looked++
		want, ok := t.DigestAt(d.V.Index)
		if ok && want != d.V.Digest {
			f.bad(d.V.Server, d.At, d.At, nil, "%s has the digest %s at index %d, and the log gives %s", d.V.Server, d.V.Digest, d.V.Index, want)
		}
	}
}

// againstLog is what the log says when an answer says something else; empty when they agree.
func againstLog(t *replay.Timeline, op *history.Op) string {
	a := &op.Answer
	switch op.F {
	case history.Place, history.Lookup, history.Move:
		v := t.At(op.Identity, a.Read.Index)
		epoch, absent, says := a.Epoch, a.Phase == history.Absent, a.Phase == history.Settled || a.Phase == history.Absent
		switch {
		case !says:
		case absent && v.Phase == placement.Absent:
		case !absent && v.Phase == placement.Settled && v.Epoch == epoch && v.Member == a.Member:
		case v.Phase == placement.Settled || v.Phase == placement.Pending:
			return v.Phase.String() + " on " + v.Member + " under epoch " + number(v.Epoch)
		default:
			return v.Phase.String()
		}
	case history.Remove:
		if v := t.At(op.Identity, a.Read.Index); a.Epoch != 0 && v.Epoch == a.Epoch && v.Phase != placement.Absent {
			return v.Phase.String() + " under that epoch"
		}
	case history.Acquire:
		c := t.Claims[a.Token]
		switch {
		case !a.Held:
		case c == nil || c.Lock != op.Lock:
			return "no such claim"
		case c.Held == 0 || c.Held > a.Read.Index:
			return "that it waits"
		}
	case history.Release:
		if c := t.Claims[op.Token]; op.Token != 0 && (c == nil || c.Ended == 0 || c.Ended > a.Read.Index) {
			return "that it is held"
		}
	case history.Export:
		if want, ok := t.DigestAt(a.Read.Index); ok && a.Digest != "" && want != a.Digest {
			return "the digest " + want
		}
	}
	return ""
}

// checkRequests looks for requests that were carried out twice, or although every attempt was refused, and for identities that were
// given an owner without anybody having asked for it: a client that asks again under another name has that carried out once more.
func checkRequests(h *history.History, o *Options, f *finding) {
	if o.Log == nil {
		return
	}
	attempts := map[string][]*history.Op{}
	about := map[string]bool{} // what is placed
	unnamed := false           // some request of a Place is not known
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Request != "" {
			attempts[op.Request] = append(attempts[op.Request], op)
		}
		if op.F == history.Place {
			about[op.Identity], unnamed = true, unnamed || op.Request == ""
		}
	}
	if !unnamed {
		for _, request := range slices.Sorted(maps.Keys(o.Log.Requests)) {
			for _, c := range o.Log.Requests[request] {
				if about[c.Placed] && attempts[request] == nil {
					f.bad(c.Placed, 0, h.Last, nil, "%s was given an owner at index %d for the request %s, which nobody has made", c.Placed, c.Index, request)
				}
			}
		}
	}
	for _, request := range slices.Sorted(maps.Keys(attempts)) {
		list := attempts[request]
		f.looked++
		carried := o.Log.Requests[request]
		last := slices.MaxFunc(list, func(a, b *history.Op) int { return cmp.Compare(a.End, b.End) })
		if len(carried) > 1 {
			f.bad(list[0].Identity+list[0].Lock, list[0].Begin, last.End, ops(list...), "the request %s was carried out at index %d and again at %d", request, carried[0].Index, carried[1].Index)
		}
		refused := !slices.ContainsFunc(list, func(op *history.Op) bool { return op.Outcome == history.OutcomeOK || mayHaveDone(op) })
		if refused && len(carried) > 0 {
			f.bad(list[0].Identity+list[0].Lock, list[0].Begin, last.End, ops(list...), "the request %s was refused with %s, and was carried out at index %d", request, last.Answer.Reason, carried[0].Index)
		}
	}
}
