package runner

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/judge"
	"github.com/seed13d31b7f/berth/jepsen-lite/rundir"
)

// Judge has a run checked, and writes the verdicts and a page to look at into its folder. When there is no room for them it fails
// with a SpaceError; the history is whole then, and can be judged again.
func Judge(dir rundir.Dir) (*check.Results, error) {
	judged, err := judge.Dir(dir, check.Options{})
	if space := fullDisk(err, dir.Path()); space != nil {
		return nil, space
	}
	if err != nil {
		return nil, err
	}
	return judged.Results, nil
}

// Tidy removes what only a run that failed is worth keeping: the data of its servers.
func Tidy(dir rundir.Dir) error {
	list, err := filepath.Glob(filepath.Join(dir.Servers(), "*", "data"))
	for _, path := range list {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

// Verdict says in a line what the checkers found wrong, or that they did not find what was to be found; empty when nothing is wrong.
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
	if line == "" && !r.Passed {
		return "what the run breaks on purpose was not found"
	}
	return line
}
