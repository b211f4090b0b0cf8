package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/judge"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

func (a *app) checkCommand() *cobra.Command {
	k := &checking{app: a}
	c := command("check HISTORY|DIR…", "Check the history of a fault test again", cobra.MinimumNArgs(1), k.run)
	c.Long = `Check histories of fault tests with the checkers of this version. A history is a file of JSON lines, or the folder that a run has left; in a folder the
committed logs of its servers are held against the answers too.

It needs no cluster. The exit status is 8 when a promise was broken, when a checker could not say, or when a history is damaged.
The checkers: ` + strings.Join(check.Names(), ", ") + "."
	c.Example = `  berth check store/latest
  berth check store/*/* -o jsonl | jq -r 'select(.results.passed | not) | .history'
  berth check history.jsonl --only owner,fence --page history.html`
	c.Flags().StringSliceVar(&k.only, "only", nil, "the checkers to run (default: all)")
	c.Flags().DurationVar(&k.search, "search", 30*time.Second, "how long to search for one order of the answers about one identity, or lock")
	c.Flags().StringVar(&k.page, "page", "", "write the page of the history, one only, into this file")
	c.Flags().BoolVar(&k.write, "write", false, "write the results and the page into the folder of the run")
	return c
}

// checking is one run of the command.
type checking struct {
	*app
	only   []string
	search time.Duration
	page   string
	write  bool
}

// checkedHistory is what is printed of one history.
type checkedHistory struct {
	History  string         `json:"history"`
	Scenario string         `json:"scenario,omitempty"`
	Seed     uint64         `json:"seed,omitempty"`
	Results  *check.Results `json:"results,omitempty"`
	// Error is why the history could not be read.
	Error string `json:"error,omitempty"`
	Page  string `json:"page,omitempty"`
}

// checkedHistories are several.
type checkedHistories struct {
	Histories []*checkedHistory `json:"histories"`
	Passed    bool              `json:"passed"`
}

func (k *checking) validate(paths []string) error {
	for _, name := range k.only {
		if !slices.Contains(check.Names(), name) {
			return usage("--only %s: there is no such checker; there are %s", name, strings.Join(check.Names(), ", "))
		}
	}
	switch {
	case k.search <= 0 || k.search > time.Hour:
		return usage("--search %v: more than 0 and at most 1h0m0s is allowed", k.search)
	case k.page != "" && len(paths) > 1:
		return usage("--page %s: it is the page of one history, and %d are named", k.page, len(paths))
	case k.write && len(k.only) > 0:
		return usage("--write writes the results of all checkers: leave --only out")
	}
	return nil
}

func (k *checking) run(ctx context.Context, paths []string) error {
	if err := k.validate(paths); err != nil {
		return err
	}
	all := checkedHistories{Passed: true}
	for _, path := range paths {
		x, err := k.check(ctx, path)
		if err != nil {
			return err
		}
		all.Histories = append(all.Histories, x)
		all.Passed = all.Passed && x.Error == "" && x.Results.Passed
	}
	err := output.List(&k.printer, &all, all.Histories, func(r *output.Rows) {
		for i, x := range all.Histories {
			if i > 0 {
				r.Line("")
			}
			checkTable(r, x)
		}
	})
	if err == nil && !all.Passed {
		err = &statusError{status: exitCheck}
	}
	return err
}

// check checks one history. The work goes on beside it when ctx ends, and the process with it.
func (k *checking) check(ctx context.Context, path string) (*checkedHistory, error) {
	type outcome struct {
		judged *judge.Judged
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		j, err := judge.Path(path, check.Options{Only: k.only, Search: k.search})
		done <- outcome{j, err}
	}()
	x := &checkedHistory{History: path}
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	switch {
	case judge.Damaged(o.err):
		x.Error = o.err.Error()
		return x, nil
	case errors.Is(o.err, fs.ErrNotExist):
		return nil, &statusError{status: exitNotThere, err: o.err}
	case errors.Is(o.err, rundir.ErrNoRun):
		return nil, usage("%v: it has no history.jsonl", o.err)
	case o.err != nil:
		return nil, o.err
	}
	x.Scenario, x.Seed, x.Results = o.judged.History.Run.Scenario, o.judged.History.Run.Seed, o.judged.Results
	return x, k.leave(x, o.judged)
}

// leave writes what was asked for.
func (k *checking) leave(x *checkedHistory, j *judge.Judged) error {
	if k.write {
		d, err := rundir.Open(x.History)
		if err != nil {
			return usage("--write: %v: name the folder of a run", err)
		}
		if err := j.Write(d); err != nil {
			return err
		}
		x.Page = d.Report()
	}
	if k.page == "" {
		return nil
	}
	x.Page = k.page
	return j.WritePage(k.page)
}

// verdict is the results in few words.
func verdict(r *check.Results) string {
	switch {
	case r.Passed && r.ExpectedToFail:
		return "BROKEN, as it was meant to be"
	case r.Passed:
		return "PASSED"
	case r.ExpectedToFail && r.Valid == check.True:
		return "NOT BROKEN, and it was meant to be"
	case r.Valid == check.Unknown:
		return "UNKNOWN"
	}
	return "FAILED"
}

func checkTable(r *output.Rows, x *checkedHistory) {
	r.Line("%s", x.History)
	if x.Error != "" {
		r.Line("verdict  DAMAGED   %s", x.Error)
		return
	}
	r.Line("verdict  %s   %s seed %d, %s operations: %s ok, %s refused, %s unknown", verdict(x.Results), x.Scenario, x.Seed,
		humanize.Comma(int64(x.Results.Ops)), humanize.Comma(int64(x.Results.OK)), humanize.Comma(int64(x.Results.Fail)), humanize.Comma(int64(x.Results.Unknown)))
	r.Row("CHECKER", "VALID", "LOOKED AT", "TOOK", "OF", "WHY")
	for _, c := range x.Results.Checkers {
		r.Row(c.Checker, c.Valid, humanize.Comma(int64(c.Looked)), c.Took.Round(10*time.Microsecond), c.Subject, why(c))
	}
	if x.Page != "" {
		r.Line("page     %s", x.Page)
	}
}

// why is what a checker says, with the operations in which it shows.
func why(c check.Result) string {
	s := c.Why
	if len(c.Ops) > 0 {
		s += fmt.Sprintf(" (operations %s)", strings.Trim(fmt.Sprint(c.Ops), "[]"))
	}
	if c.Found > 1 {
		s += fmt.Sprintf(" and %s more", humanize.Comma(int64(c.Found-1)))
	}
	return s
}
