package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// Valid is what a checker says.
type Valid string

// What checkers say.
const (
	// True: the promise was kept, as far as the history shows.
	True Valid = "true"
	// False: it was broken. The result shows where.
	False Valid = "false"
	// Unknown: nobody can say. It counts as a failure.
	Unknown Valid = "unknown"
	// Idle: the history has nothing that the checker looks at, and the run did not ask for it.
	Idle Valid = "idle"
)

// Result is what one checker says.
type Result struct {
	Checker string `json:"checker"`
	Valid   Valid  `json:"valid"`
	// Why is a sentence: what was found, or why nobody can say.
	Why string `json:"why,omitempty"`
	// Found is how many violations there are, as far as the checker counts; Why and the window are those of one of them.
	Found int `json:"found,omitempty"`
	// Subject is the identity, lock, server or stream of the violation.
	Subject string `json:"subject,omitempty"`
	// Ops are the operations of the violation, as few as the checker could make do with, and From to To its moments.
	Ops  []uint64 `json:"ops,omitempty"`
	From int64    `json:"from,omitempty"`
	To   int64    `json:"to,omitempty"`
	// Looked is how many things the checker looked at: operations, holds, writes.
	Looked int           `json:"looked"`
	Took   time.Duration `json:"took_ns"`
}

// Results are what all checkers say.
type Results struct {
	// Valid is False when any checker says so, Unknown when none does and any says that, and True otherwise.
	Valid Valid `json:"valid"`
	// ExpectedToFail is the run's: Passed is then whether it failed, as it was to, and kept every other promise.
	ExpectedToFail bool `json:"expected_to_fail,omitempty"`
	Passed         bool `json:"passed"`
	// Ops counts the operations, by outcome.
	Ops     int `json:"ops"`
	OK      int `json:"ok"`
	Fail    int `json:"fail"`
	Unknown int `json:"unknown"`
	// Last is the moment of the last event.
	Last     int64    `json:"last"`
	Checkers []Result `json:"checkers"`
}

// finding is what a checker makes its result of.
type finding struct {
	looked int
	found  int
	first  *Result // the violation that is shown
	why    string  // when it is unknown
}

// bad notes a violation. The one that ends first is shown.
func (f *finding) bad(subject string, from, to int64, ops []uint64, format string, args ...any) {
	f.found++
	if f.first != nil && f.first.To <= to {
		return
	}
	slices.Sort(ops)
	f.first = &Result{Subject: subject, From: from, To: to, Ops: slices.Compact(ops), Why: fmt.Sprintf(format, args...)}
}

// unknown notes that nobody can say, unless a violation is found.
func (f *finding) unknown(format string, args ...any) {
	if f.why == "" {
		f.why = fmt.Sprintf(format, args...)
	}
}

// result makes the result. asked says that the run's workload is about what the checker looks at.
func (f *finding) result(name string, asked bool) Result {
	r := Result{}
	switch {
	case f.found > 0:
		r = *f.first
		r.Valid, r.Found = False, f.found
	case f.why != "":
		r.Valid, r.Why = Unknown, f.why
	case f.looked > 0:
		r.Valid = True
	case asked:
		r.Valid, r.Why = Unknown, "the history has nothing to look at, although the run is about it"
	default:
		r.Valid = Idle
	}
	r.Checker, r.Looked = name, f.looked
	return r
}

// ops are the numbers of operations.
func ops(list ...*history.Op) []uint64 {
	var numbers []uint64
	for _, op := range list {
		numbers = append(numbers, op.Op)
	}
	return numbers
}

// at is a moment for people.
func at(ns int64) string {
	if ns == history.Never {
		return "never"
	}
	return time.Duration(ns).Round(time.Microsecond).String()
}
