package check

import (
	"math"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// checkLock looks for two holders that exclude each other at one moment, and searches for an order of the answers about each
// lock.
func checkLock(h *history.History, o *Options, f *finding) {
	permits := map[string]int{}
	by := map[string][]*history.Op{}
	var names []string
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Lock == "" {
			continue
		}
		if by[op.Lock] == nil {
			names = append(names, op.Lock)
		}
		by[op.Lock] = append(by[op.Lock], op)
		if op.Mode == history.Semaphore {
			permits[op.Lock] = max(permits[op.Lock], int(op.Permits))
		}
	}
	for name, list := range beliefs(h, func(h *history.Hold) string { return h.Lock }) {
		lockOverlaps(name, list, permits[name], f)
	}
	fault := causes(h)
	var parts []Partition
	slices.Sort(names)
	for _, name := range names {
		if p := lockPartition(name, by[name], permits[name], fault); len(p.Ops) > 0 {
			parts = append(parts, p)
		}
	}
	search(parts, o, f)
}

// lockOverlaps looks at the beliefs in one lock. Of a semaphore at most permits may overlap.
func lockOverlaps(name string, list []*history.Hold, permits int, f *finding) {
	var running []*history.Hold
	for _, b := range list {
		f.looked++
		running = slices.DeleteFunc(running, func(a *history.Hold) bool { return a.To <= b.From })
		others := map[uint64]*history.Hold{}
		for _, a := range running {
			if a.Epoch != b.Epoch || a.Member != b.Member {
				others[a.Epoch] = a
			}
		}
		for _, a := range running {
			if others[a.Epoch] == nil || a.Mode == history.Shared && b.Mode == history.Shared ||
				a.Mode == history.Semaphore && b.Mode == history.Semaphore && len(others) < permits {
				continue
			}
			f.bad(name, a.From, min(a.To, b.To), nil, "%s, token %d, believed to hold it from %s to %s, and %s, token %d, from %s on",
				a.Member, a.Epoch, at(a.From), at(a.To), b.Member, b.Epoch, at(b.From))
			break
		}
		running = append(running, b)
	}
}

// lockAct is what an operation does in the model of a lock.
type lockAct struct {
	kind  lockActKind
	token uint64
	mode  string
	op    *history.Op // nil for what was put in
	known []uint64    // of lockSees: the tokens that were seen, of those that anybody was given
}

type lockActKind uint8

const (
	lockTakes lockActKind = iota
	lockGives             // given up by who holds it
	lockLoses             // lost, or given up without an answer, or still held
	lockHas               // the token holds it
	lockSees              // these hold it
)

// lockModel is what a lock may do. The state is the tokens that hold it, in words, with the mode before.
func lockModel(permits int) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, _ any) (bool, any) {
			mode, held := lockState(state.(string))
			a := input.(lockAct)
			word := number(a.token)
			has := slices.Contains(held, word)
			switch a.kind {
			case lockTakes:
				fits := len(held) == 0 || a.mode == mode && (mode == history.Shared || mode == history.Semaphore && len(held) < permits)
				return fits && !has, lockWords(a.mode, append(held, word))
			case lockGives:
				return has, lockWords(mode, slices.DeleteFunc(held, func(w string) bool { return w == word }))
			case lockLoses:
				return true, lockWords(mode, slices.DeleteFunc(held, func(w string) bool { return w == word }))
			case lockHas:
				return has, state
			}
			if len(a.known) != len(held) {
				return false, state
			}
			for _, t := range a.known {
				if !slices.Contains(held, number(t)) {
					return false, state
				}
			}
			return true, state
		},
		DescribeOperation: func(input, _ any) string {
			a := input.(lockAct)
			if a.op == nil {
				return "token " + number(a.token) + " lost"
			}
			return string(a.op.F) + ": " + described(a.op)
		},
		DescribeState: func(state any) string {
			if state == "" {
				return "free"
			}
			return state.(string)
		},
	}
}

func lockState(state string) (mode string, held []string) {
	words := strings.Fields(state)
	if len(words) == 0 {
		return "", nil
	}
	return words[0], words[1:]
}

func lockWords(mode string, held []string) string {
	if len(held) == 0 {
		return ""
	}
	slices.Sort(held)
	return mode + " " + strings.Join(held, " ")
}

func modeOf(op *history.Op) string {
	if op.Mode == "" {
		return history.Exclusive
	}
	return op.Mode
}

// lockPartition makes the operations of one lock. A token that nobody was told to have been given up is lost at any moment
// after there is a cause for that: a release without an answer, a break, or any fault.
func lockPartition(name string, list []*history.Op, permits int, fault int64) Partition {
	p := Partition{Name: "lock " + name, Model: lockModel(permits)}
	add := func(a lockAct, begin, end int64) {
		p.Ops = append(p.Ops, porcupine.Operation{Input: a, Call: begin, Return: end})
	}
	type life struct {
		begin, cause int64
		released     bool
	}
	lives := map[uint64]*life{}
	broken := int64(math.MaxInt64)
	for _, op := range list { // by Begin
		if op.F == history.Acquire && op.Outcome == history.OutcomeOK && op.Answer.Held {
			if lives[op.Answer.Token] == nil {
				lives[op.Answer.Token] = &life{begin: op.Begin, cause: fault}
			}
		}
	}
	var order []uint64
	for _, op := range list {
		switch ok := op.Outcome == history.OutcomeOK; {
		case op.F == history.Acquire && ok && op.Answer.Held && slices.Contains(order, op.Answer.Token):
			add(lockAct{kind: lockHas, token: op.Answer.Token, op: op}, op.Begin, op.End) // it was asked for again
		case op.F == history.Acquire && ok && op.Answer.Held:
			order = append(order, op.Answer.Token)
			add(lockAct{kind: lockTakes, token: op.Answer.Token, mode: modeOf(op), op: op}, op.Begin, op.End)
		case op.F == history.Release && ok && lives[op.Token] != nil:
			lives[op.Token].released = true
			add(lockAct{kind: lockGives, token: op.Token, op: op}, op.Begin, op.End)
		case op.F == history.Release && lives[op.Token] != nil:
			l := lives[op.Token]
			l.cause = min(l.cause, op.Begin)
		case op.F == history.Break && (ok || mayHaveDone(op)):
			broken = min(broken, op.Begin)
		case op.F == history.Renew && ok && lives[op.Token] != nil:
			add(lockAct{kind: lockHas, token: op.Token, op: op}, op.Begin, op.End)
		case op.F == history.GetLock && ok && strict(op):
			var known []uint64
			for _, t := range op.Answer.Holders {
				if lives[t] != nil {
					known = append(known, t)
				}
			}
			add(lockAct{kind: lockSees, known: known, op: op}, op.Begin, op.End)
		}
	}
	for _, t := range order {
		if l := lives[t]; !l.released && min(l.cause, broken) != math.MaxInt64 {
			add(lockAct{kind: lockLoses, token: t}, max(l.begin, min(l.cause, broken)), history.Never)
		}
	}
	return p
}
