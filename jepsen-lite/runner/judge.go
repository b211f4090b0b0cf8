package runner

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/report"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

// Judge checks what a run saw, and writes the verdicts and a page to look at into its folder. An error says that it cannot be judged, or that the logs
// of the servers do not agree; either is a run that failed.
func Judge(dir rundir.Dir) (*check.Results, error) {
	h, err := history.Open(dir.History())
	if err != nil {
		return nil, err
	}
	log, err := timeline(dir, h)
	if err != nil {
		return nil, err
	}
	results := check.Run(h, check.Options{Log: log})
	var page bytes.Buffer
	if err := report.Write(&page, h, results, report.Options{}); err != nil {
		return nil, err
	}
	return results, errors.Join(rundir.WriteJSON(dir.Results(), results), rundir.WriteFile(dir.Report(), page.Bytes()))
}

// Tidy removes what only a run that failed is worth keeping: the data of its servers.
func Tidy(dir rundir.Dir) error {
	list, err := filepath.Glob(filepath.Join(dir.Servers(), "*", "data"))
	for _, path := range list {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// Verdict says in a line what the checkers found wrong; empty when nothing is.
func Verdict(r *check.Results) string {
	line := ""
	for _, c := range r.Checkers {
		if c.Valid != check.False && c.Valid != check.Unknown {
			continue
		}
		if line != "" {
			line += "; "
		}
		line += fmt.Sprintf("%s %s", c.Checker, c.Valid)
		if c.Subject != "" {
			line += " (" + c.Subject + ")"
		}
		line += ": " + c.Why
	}
	return line
}
