package check

import (
	"cmp"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// The search of porcupine for an order, of one identity at a time. The model knows values alone: an identity is absent, or
// settled under an epoch, which is a name like any other.
//
// What nobody asked for, or nobody was told of, is put into the history as operations of its own, as late and as short as it can
// have been:
//
//   - made: an epoch that nobody was told to have placed. A Place or Move that was not answered may have, so it begins with the
//     earliest of those, and it ends before the first answer that has the epoch.
//   - over: an epoch that ended, or would have later. It begins with what may have ended it: a Remove, a Move, a lost lease, or any
//     fault; without such a cause nothing ends it.

// act is what an operation does in the model.
type act struct {
	kind  actKind
	epoch uint64
	op    *history.Op // nil for what was put in
}

type actKind uint8

const (
	sees    actKind = iota // the identity is settled under the epoch, or absent when it is zero
	makes                  // it was absent, and is settled under the epoch
	ends                   // it was settled under the epoch, and is absent
	without                // it is not settled under the epoch
)

// identityModel is what an identity may do. The state is the epoch, zero for absent.
var identityModel = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, _ any) (bool, any) {
		s, a := state.(uint64), input.(act)
		switch a.kind {
		case sees:
			return s == a.epoch, s
		case makes:
			return s == 0, a.epoch
		case ends:
			return s == a.epoch, uint64(0)
		}
		return s != a.epoch, s
	},
	Hash: func(state any) uint64 { return state.(uint64) },
	DescribeOperation: func(input, _ any) string {
		a := input.(act)
		if a.op != nil {
			return string(a.op.F) + ": " + described(a.op)
		}
		if a.kind == makes {
			return "epoch " + number(a.epoch) + " made by a call without an answer"
		}
		return "epoch " + number(a.epoch) + " over"
	},
	DescribeState: func(state any) string {
		if e := state.(uint64); e != 0 {
			return "epoch " + number(e)
		}
		return "absent"
	},
}

// Partition is the operations about one identity or lock as porcupine takes them.
type Partition struct {
	Name  string
	Model porcupine.Model
	Ops   []porcupine.Operation
}

// causes are the moments from which on something may end a placement that no client asked to end.
func causes(h *history.History) int64 {
	first := int64(math.MaxInt64)
	if len(h.Faults) > 0 {
		first = h.Faults[0].At
	}
	for _, p := range h.Processes {
		if p.V.What != history.ProcessStart && p.V.What != history.ProcessReady && p.V.What != history.ProcessGoOn {
			first = min(first, p.At)
			break
		}
	}
	for _, x := range h.Holds {
		if x.V.Ended && x.V.Why == history.Lost {
			first = min(first, x.V.To)
		}
	}
	return first
}

// nothingDone are the reasons that say that a call changed nothing at all, not even for a while.
var nothingDone = []string{"NO_LEADER", "NO_QUORUM", "UNREACHABLE", "OVERLOADED", "INVALID_ARGUMENT", "PERMISSION_DENIED", "UNAUTHENTICATED", "LOCK_HELD"}

// mayHaveDone says that an operation may have changed something that its answer does not tell.
func mayHaveDone(op *history.Op) bool {
	return op.Outcome == history.OutcomeUnknown || op.Outcome == history.OutcomeFail && !slices.Contains(nothingDone, op.Answer.Reason)
}

// epochSeen is what the answers say of one epoch.
type epochSeen struct {
	epoch      uint64
	begin, end int64 // the first call, and the first answer
	created    bool
	first      *history.Op // answered first
}

// identityPartition makes the operations of one identity. bad is called when an epoch comes from nowhere.
func identityPartition(name string, list []*history.Op, fault int64, bad func(e *epochSeen)) Partition {
	p := Partition{Name: name, Model: identityModel}
	add := func(a act, client string, begin, end int64) {
		p.Ops = append(p.Ops, porcupine.Operation{Input: a, Call: begin, Return: end, Metadata: client})
	}
	seen := map[uint64]*epochSeen{}
	removal := fault
	var ghosts []int64        // calls that may have placed it
	for _, op := range list { // by Begin
		if (op.F == history.Remove || op.F == history.Move || op.F == history.Free) && (op.Outcome == history.OutcomeOK || mayHaveDone(op)) {
			removal = min(removal, op.Begin)
		}
		// A client tries again by itself, so a Place may have found what an attempt of its own had made whose answer was lost.
		found := op.F == history.Place && op.Outcome == history.OutcomeOK && !op.Answer.Created
		if op.F == history.Move && (op.Outcome == history.OutcomeOK || mayHaveDone(op)) || op.F == history.Place && (mayHaveDone(op) || found) {
			ghosts = append(ghosts, op.Begin)
		}
		epoch, none, says := saw(op)
		switch {
		case op.F == history.Remove && op.Outcome == history.OutcomeOK && op.Answer.Epoch != 0:
			add(act{without, op.Answer.Epoch, op}, op.Client, op.Begin, op.End)
		case !says:
		case none:
			add(act{sees, 0, op}, op.Client, op.Begin, op.End)
		default:
			s := seen[epoch]
			if s == nil {
				s = &epochSeen{epoch: epoch, begin: op.Begin, end: op.End, first: op}
				seen[epoch] = s
			}
			if op.End < s.end {
				s.end, s.first = op.End, op
			}
			if op.F == history.Place && op.Answer.Created {
				s.created = true
				add(act{makes, epoch, op}, op.Client, op.Begin, op.End)
			} else {
				add(act{sees, epoch, op}, op.Client, op.Begin, op.End)
			}
		}
	}
	epochs := make([]*epochSeen, 0, len(seen))
	for _, s := range seen { // any order
		epochs = append(epochs, s)
	}
	slices.SortFunc(epochs, func(a, b *epochSeen) int { return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(a.epoch, b.epoch)) })
	orphans := 0
	for _, s := range epochs {
		if s.created {
			continue
		}
		// The calls that may have made it and the orphans before it: one for each.
		orphans++
		if n, _ := slices.BinarySearch(ghosts, s.end+1); n < orphans {
			bad(s)
			add(act{makes, s.epoch, nil}, "", s.begin, s.end) // the search may find something else
		} else {
			add(act{makes, s.epoch, nil}, "", min(ghosts[0], s.end), s.end)
		}
	}
	if removal == math.MaxInt64 {
		return p
	}
	for _, s := range epochs {
		add(act{ends, s.epoch, nil}, "", max(removal, s.begin), history.Never)
	}
	return p
}

func checkLinearizable(h *history.History, o *Options, f *finding) {
	names, by := byIdentity(h)
	fault := causes(h)
	var parts []Partition
	for _, name := range names {
		p := identityPartition(name, by[name], fault, func(s *epochSeen) {
			f.bad(name, s.first.Begin, s.first.End, ops(s.first), "epoch %d was made by nobody: no call that may have placed it began before it was seen at %s", s.epoch, at(s.end))
		})
		if len(p.Ops) > 0 {
			parts = append(parts, p)
		}
	}
	search(parts, o, f)
}

// search looks for an order of each partition, some at a time.
func search(parts []Partition, o *Options, f *finding) {
	results := make([]porcupine.CheckResult, len(parts))
	var wg sync.WaitGroup
	turn := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range parts {
		turn <- struct{}{}
		wg.Go(func() {
			results[i] = porcupine.CheckOperationsTimeout(parts[i].Model, parts[i].Ops, o.Search)
			<-turn
		})
	}
	wg.Wait()
	for i, r := range results {
		f.looked += len(parts[i].Ops)
		switch r {
		case porcupine.Unknown:
			f.unknown("the search for an order of the %d operations of %s was broken off after %v", len(parts[i].Ops), parts[i].Name, o.Search)
		case porcupine.Illegal:
			show(parts[i], o.Search, f)
		}
	}
}

// show makes a partition without an order as small as it can within the time, and notes it.
func show(p Partition, within time.Duration, f *finding) {
	p.Ops = shrink(p, time.Now().Add(within))
	var seen []uint64
	var list []*history.Op
	from, to := int64(math.MaxInt64), int64(0)
	for _, x := range p.Ops {
		if op := opOf(x.Input); op != nil {
			seen, list = append(seen, op.Op), append(list, op)
			from, to = min(from, op.Begin), max(to, op.End)
		}
	}
	slices.SortFunc(list, func(a, b *history.Op) int { return cmp.Compare(a.Begin, b.Begin) })
	var said []string
	for _, op := range list[:min(len(list), saidMax)] {
		said = append(said, fmt.Sprintf("%s of %s from %s to %s: %s", op.F, op.Client, at(op.Begin), at(op.End), described(op)))
	}
	f.bad(p.Name, from, to, seen, "%d answers have no order that agrees with time: %s", len(seen), strings.Join(said, "; "))
}

// saidMax is how many operations a sentence names.
const saidMax = 6

// opOf is the operation behind what is given to porcupine; nil for what was put in.
func opOf(input any) *history.Op {
	switch a := input.(type) {
	case act:
		return a.op
	case lockAct:
		return a.op
	}
	return nil
}

// observes says that an operation changes nothing in the model, so that leaving it out makes no order impossible.
func observes(input any) bool {
	switch a := input.(type) {
	case act:
		return a.kind == sees || a.kind == without
	case lockAct:
		return a.kind == lockSees
	}
	return false
}

// shrink leaves out what is not needed for there to be no order: first everything after the first moment at which there is none,
// then one observation after the other, then what is about epochs that are not spoken of any more.
func shrink(p Partition, until time.Time) []porcupine.Operation {
	illegal := func(ops []porcupine.Operation) bool {
		left := time.Until(until)
		return left > 0 && porcupine.CheckOperationsTimeout(p.Model, ops, left) == porcupine.Illegal
	}
	list := slices.Clone(p.Ops)
	slices.SortStableFunc(list, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	// An operation that was not answered by then may be left out if it only observes, or if nobody has seen what it makes, and may
	// end later otherwise.
	prefix := func(moment int64) []porcupine.Operation {
		var kept []porcupine.Operation
		seen := seenBy(list, moment)
		for _, x := range list {
			switch {
			case x.Call > moment || x.Return > moment && (observes(x.Input) || makesUnseen(x.Input, seen)):
				continue
			case x.Return > moment:
				x.Return = history.Never
			}
			kept = append(kept, x)
		}
		return withoutEndsOfNothing(kept)
	}
	moments := make([]int64, 0, len(list))
	for _, x := range list {
		moments = append(moments, x.Return)
	}
	slices.Sort(moments)
	i, _ := slices.BinarySearchFunc(moments, true, func(moment int64, _ bool) int {
		if illegal(prefix(moment)) {
			return 1
		}
		return -1
	})
	if i < len(moments) {
		list = prefix(moments[i])
	}
	if len(list) > shrinkMax {
		return list
	}
	for chunk := max(1, len(list)/2); chunk > 0; chunk /= 2 {
		for at := 0; at < len(list); {
			kept := slices.Clone(list[:at])
			end := min(at+chunk, len(list))
			for _, x := range list[at:end] {
				if !observes(x.Input) {
					kept = append(kept, x)
				}
			}
			kept = append(kept, list[end:]...)
			if len(kept) < len(list) && illegal(kept) {
				list = kept
			} else {
				at = end
			}
		}
	}
	return dropWhole(list, illegal)
}

// seenBy are the epochs that answers up to a moment name.
func seenBy(list []porcupine.Operation, moment int64) map[uint64]bool {
	seen := map[uint64]bool{}
	for _, x := range list {
		if a, ok := x.Input.(act); ok && a.kind == sees && x.Return <= moment {
			seen[a.epoch] = true
		}
	}
	return seen
}

// makesUnseen says whether an operation makes an epoch that is not among those.
func makesUnseen(input any, seen map[uint64]bool) bool {
	a, ok := input.(act)
	return ok && a.kind == makes && !seen[a.epoch]
}

// withoutEndsOfNothing leaves out the ends that were put in of epochs that nothing makes, as when their call was left out: there is no
// order of such, which says nothing.
func withoutEndsOfNothing(list []porcupine.Operation) []porcupine.Operation {
	made := map[uint64]bool{}
	for _, x := range list {
		if a, ok := x.Input.(act); ok && a.kind == makes {
			made[a.epoch] = true
		}
	}
	return slices.DeleteFunc(list, func(x porcupine.Operation) bool {
		a, ok := x.Input.(act)
		return ok && a.kind == ends && !made[a.epoch]
	})
}

// shrinkMax is the number of operations above which nothing is left out: it would take too long.
const shrinkMax = 2000

// subject is the epoch or token that an operation is about.
func subject(input any) uint64 {
	switch a := input.(type) {
	case act:
		return a.epoch
	case lockAct:
		return a.token
	}
	return 0
}

// dropWhole leaves out epochs with all that is about them.
func dropWhole(list []porcupine.Operation, illegal func([]porcupine.Operation) bool) []porcupine.Operation {
	var subjects []uint64
	for _, x := range list {
		if s := subject(x.Input); !slices.Contains(subjects, s) {
			subjects = append(subjects, s)
		}
	}
	for _, s := range subjects {
		kept := slices.DeleteFunc(slices.Clone(list), func(x porcupine.Operation) bool { return subject(x.Input) == s })
		if len(kept) > 0 && illegal(kept) {
			list = kept
		}
	}
	return list
}
