package history

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Outcome says how an operation ended.
type Outcome uint8

// The outcomes.
const (
	// OutcomeUnknown: it may have happened, or may yet.
	OutcomeUnknown Outcome = iota
	// OutcomeOK: it happened.
	OutcomeOK
	// OutcomeFail: it certainly changed nothing.
	OutcomeFail
)

// String is the outcome's word.
func (o Outcome) String() string { return [...]string{"unknown", "ok", "fail"}[o] }

// Never is the end of an operation that was not answered.
const Never = math.MaxInt64

// Op is one operation from its call to its answer.
type Op struct {
	Call
	// Begin and End are the moments of call and answer; Never for an operation without an answer.
	Begin, End int64
	Outcome    Outcome
	// Answer is what was answered; the zero value, but for the number, when nothing was.
	Answer Answer
}

// Timed is something with its moment.
type Timed[T any] struct {
	At int64
	V  T
}

// History is a whole history, each kind of event in the order of time.
type History struct {
	Run       Run
	Ops       []Op // by Begin
	Holds     []Timed[Hold]
	Writes    []Timed[Write]
	Watches   []Timed[Watch]
	Servers   []Timed[Server]
	Digests   []Timed[Digest]
	Faults    []Timed[Fault]
	Processes []Timed[Process]
	Phases    []Timed[Phase]
	Restored  []Timed[Restored]
	Usages    []Timed[Usage]
	Leaks     []Timed[Leaks]
	// End is the last line of a run that came to its end; nil when the history was broken off.
	End *Timed[End]
	// Last is the moment of the last event.
	Last int64
	// Torn says that the last line was not whole.
	Torn bool
}

// Open reads a history from a file.
func Open(path string) (*History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	h, err := Load(f, Limits{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h, nil
}

// Load reads a history. Errors are those of Read, and ErrOrder in a *LineError.
func Load(r io.Reader, limits Limits) (*History, error) {
	h := &History{}
	l := loading{History: h, open: map[uint64]int{}}
	var err error
	if h.Torn, err = Read(r, limits, l.take); err != nil {
		return nil, err
	}
	h.sort()
	return h, nil
}

// FinalServers are the servers of the cluster at the end: those that the run began with and those that were started later,
// without those that were taken out.
func (h *History) FinalServers() []string {
	list := slices.Clone(h.Run.Servers)
	for _, p := range h.Processes {
		switch {
		case p.V.Kind == "server" && p.V.What == ProcessStart && !slices.Contains(list, p.V.Name):
			list = append(list, p.V.Name)
		case p.V.What == ProcessRemoved:
			list = slices.DeleteFunc(list, func(name string) bool { return name == p.V.Name })
		}
	}
	return list
}

// FromEvents makes a history of events, of which the first is that of the run. Errors are those of Load.
func FromEvents(events []Event) (*History, error) {
	h := &History{}
	l := loading{History: h, open: map[uint64]int{}}
	for i := range events {
		e := &events[i]
		err := e.Validate()
		if err == nil && (i == 0) != (e.Run != nil) {
			err = ErrNotAHistory
		}
		if err == nil {
			err = l.take(i+1, e)
		}
		if err != nil {
			return nil, &LineError{i + 1, err}
		}
	}
	h.sort()
	return h, nil
}

// loading is a history that is being read.
type loading struct {
	*History
	open map[uint64]int // operations by number: their place in Ops, or answered
}

func timed[T any](e *Event, v *T) Timed[T] { return Timed[T]{e.At, *v} }

func (l *loading) take(line int, e *Event) error {
	l.Last = max(l.Last, e.At)
	switch {
	case e.Run != nil:
		l.Run = *e.Run
	case e.Invoke != nil:
		if _, ok := l.open[e.Invoke.Op]; ok {
			return &LineError{line, fmt.Errorf("%w: %d is begun twice", ErrOrder, e.Invoke.Op)}
		}
		l.open[e.Invoke.Op] = len(l.Ops)
		l.Ops = append(l.Ops, Op{Call: *e.Invoke, Begin: e.At, End: Never, Answer: Answer{Op: e.Invoke.Op}})
	case e.OK != nil:
		return l.answer(line, e.At, OutcomeOK, e.OK)
	case e.Fail != nil:
		return l.answer(line, e.At, OutcomeFail, e.Fail)
	case e.Unknown != nil:
		return l.answer(line, e.At, OutcomeUnknown, e.Unknown)
	case e.Hold != nil:
		l.Holds = append(l.Holds, timed(e, e.Hold))
	case e.Write != nil:
		l.Writes = append(l.Writes, timed(e, e.Write))
	case e.Watch != nil:
		l.Watches = append(l.Watches, timed(e, e.Watch))
	case e.Server != nil:
		l.Servers = append(l.Servers, timed(e, e.Server))
	case e.Digest != nil:
		l.Digests = append(l.Digests, timed(e, e.Digest))
	case e.Fault != nil:
		l.Faults = append(l.Faults, timed(e, e.Fault))
	case e.Process != nil:
		l.Processes = append(l.Processes, timed(e, e.Process))
	case e.Phase != nil:
		l.Phases = append(l.Phases, timed(e, e.Phase))
	case e.Restored != nil:
		l.Restored = append(l.Restored, timed(e, e.Restored))
	case e.Usage != nil:
		l.Usages = append(l.Usages, timed(e, e.Usage))
	case e.Leaks != nil:
		l.Leaks = append(l.Leaks, timed(e, e.Leaks))
	case e.End != nil:
		t := timed(e, e.End)
		l.End = &t
	}
	return nil
}

// answered marks an operation in loading.open that has its answer.
const answered = -1

func (l *loading) answer(line int, at int64, outcome Outcome, a *Answer) error {
	place, ok := l.open[a.Op]
	switch {
	case !ok:
		return &LineError{line, fmt.Errorf("%w: %d is answered before it is begun", ErrOrder, a.Op)}
	case place == answered:
		return &LineError{line, fmt.Errorf("%w: %d is answered twice", ErrOrder, a.Op)}
	}
	op := &l.Ops[place]
	if at < op.Begin {
		return &LineError{line, fmt.Errorf("%w: %d ends at %d and begins at %d", ErrOrder, a.Op, at, op.Begin)}
	}
	l.open[a.Op] = answered
	op.End, op.Outcome, op.Answer = at, outcome, *a
	return nil
}

func byTime[T any](list []Timed[T]) {
	slices.SortStableFunc(list, func(a, b Timed[T]) int { return cmp.Compare(a.At, b.At) })
}

// sort puts everything in the order of time: recorders stamp an event before they write it.
func (h *History) sort() {
	slices.SortStableFunc(h.Ops, func(a, b Op) int { return cmp.Compare(a.Begin, b.Begin) })
	byTime(h.Holds)
	byTime(h.Writes)
	byTime(h.Watches)
	byTime(h.Servers)
	byTime(h.Digests)
	byTime(h.Faults)
	byTime(h.Processes)
	byTime(h.Phases)
	byTime(h.Restored)
	byTime(h.Usages)
	byTime(h.Leaks)
}
