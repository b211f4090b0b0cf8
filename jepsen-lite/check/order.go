package check

import (
	"cmp"
	"container/heap"
	"maps"
	"math"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/placement"
)

// The order check. An identity is absent, then settled under an epoch, then absent, then settled under a larger one, and so
// on: those are its positions, 0 for absent, 1 for the first epoch, 2 for absent after it, 3 for the second. Each answer
// allows some positions. An order that agrees with time is one in which no answer has a position before that of an answer
// that came before its call. Taking for each, by the time of its call, the first allowed position that is not before those
// finds such an order whenever there is one, in one sweep.
//
// It believes the epochs, which is why checkLinearizable is there beside it.

// strict says that a read promises to be linearizable.
func strict(op *history.Op) bool { return op.Level != history.Stale }

// byIdentity groups the operations about identities, in the order of their calls.
func byIdentity(h *history.History) (names []string, by map[string][]*history.Op) {
	by = map[string][]*history.Op{}
	for i := range h.Ops {
		if op := &h.Ops[i]; op.Identity != "" {
			by[op.Identity] = append(by[op.Identity], op)
		}
	}
	return slices.Sorted(maps.Keys(by)), by
}

// saw says what a client's answer says of an identity: that it is settled under an epoch, or absent.
func saw(op *history.Op) (epoch uint64, absent, says bool) {
	if op.Outcome != history.OutcomeOK || !strict(op) {
		return 0, false, false
	}
	switch a := &op.Answer; op.F {
	case history.Place, history.Lookup, history.Move:
		switch a.Phase {
		case history.Settled:
			return a.Epoch, false, true
		case history.Absent:
			return 0, true, op.F == history.Lookup
		}
	}
	return 0, false, false
}

// versions are the epochs of one identity, ascending.
type versions []uint64

func versionsOf(list []*history.Op) versions {
	seen := map[uint64]bool{}
	for _, op := range list {
		if e, _, ok := saw(op); ok && e != 0 {
			seen[e] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// settled is the position of an epoch that was seen.
func (v versions) settled(epoch uint64) int {
	i, _ := slices.BinarySearch(v, epoch)
	return 2*i + 1
}

// after is the first position at which all epochs up to one are over.
func (v versions) after(epoch uint64) int {
	i, found := slices.BinarySearch(v, epoch)
	if found {
		i++
	}
	return 2 * i
}

// absentAt is the position of an absence that was seen at a log index: after the epochs that were made up to there.
func (v versions) absentAt(index uint64) (position int, known bool) {
	// An epoch's offset is a log index in the first generation, which has no base.
	if len(v) > 0 && placement.Epoch(v[len(v)-1]).Generation() != 0 || index >= placement.GenerationIndexes {
		return 0, false
	}
	return v.after(uint64(placement.MakeEpoch(0, index, placement.BatchCommandsMax-1))), true
}

// first is the first position from low on that the answer allows; ok says whether there is one, and whether the answer says
// anything at all.
func (v versions) first(op *history.Op, low int) (position int, says, ok bool) {
	if op.F == history.Remove {
		if op.Outcome != history.OutcomeOK || op.Answer.Epoch == 0 {
			return 0, false, true
		}
		return max(low, v.after(op.Answer.Epoch)), true, true
	}
	epoch, absent, says := saw(op)
	switch {
	case !says:
		return 0, false, true
	case !absent:
		p := v.settled(epoch)
		if op.F == history.Place && op.Answer.Created {
			return p, true, low < p // nobody may have seen it before it was asked for
		}
		return p, true, low <= p
	}
	if op.Answer.Read != nil {
		if p, known := v.absentAt(op.Answer.Read.Index); known {
			return p, true, low <= p
		}
	}
	return (low + 1) / 2 * 2, true, true
}

// ended are operations that have a position, the one that was answered first on top.
type ended []placed

type placed struct {
	op       *history.Op
	position int
}

func (e ended) Len() int           { return len(e) }
func (e ended) Less(i, j int) bool { return e[i].op.End < e[j].op.End }
func (e ended) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ended) Push(x any)        { *e = append(*e, x.(placed)) }
func (e *ended) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func checkOrder(h *history.History, _ *Options, f *finding) {
	names, by := byIdentity(h)
	for _, name := range names {
		orderOf(name, by[name], f)
	}
}

func orderOf(name string, list []*history.Op, f *finding) {
	v := versionsOf(list)
	var done ended
	low := placed{position: math.MinInt}
	for _, op := range list { // by Begin
		for len(done) > 0 && done[0].op.End < op.Begin {
			if p := heap.Pop(&done).(placed); p.position > low.position {
				low = p
			}
		}
		position, says, ok := v.first(op, max(low.position, 0))
		if !says {
			continue
		}
		f.looked++
		if !ok && low.op != nil {
			f.bad(name, low.op.Begin, op.End, ops(low.op, op), "%s answered at %s %s, and %s asked at %s saw %s: time went back",
				low.op.F, at(low.op.End), described(low.op), op.F, at(op.Begin), described(op))
			continue
		}
		heap.Push(&done, placed{op, position})
	}
}

// described says what an operation saw, for people.
func described(op *history.Op) string {
	a := &op.Answer
	switch {
	case op.Outcome != history.OutcomeOK:
		return cmp.Or(a.Reason, op.Outcome.String())
	case a.Phase == history.Settled:
		return "settled on " + a.Member + " under epoch " + number(a.Epoch)
	case op.F == history.Remove:
		return "epoch " + number(a.Epoch) + " removed"
	case a.Token != 0:
		return "token " + number(a.Token)
	}
	return cmp.Or(a.Phase, "ok")
}
