// Package rundir is the folder that a run of the fault tests leaves: where each file is, and how one is begun.
//
//	ROOT/latest                      a link to the run that was begun last
//	ROOT/SCENARIO/TIME-seedN/        one run
//	    run.json                     what was run: the history's first line, for people
//	    history.jsonl                what was seen (package history)
//	    faults.jsonl                 the schedule: the faults alone, as in the history
//	    results.json                 the verdict of each checker (package check)
//	    report.html                  all of it to look at, in one file (package report)
//	    export.berth                 the saved state of which the run made a new cluster
//	    order-NAME.html              the order that was not found, when an identity's answers have none
//	    servers/NAME/                of each server: stdout.log, log.jsonl (its committed log), and its data directory when
//	                                 the run failed
//	    members/NAME/                of each member: stdout.log, history.jsonl (what it wrote itself)
//
// Nothing else reads these names; whoever needs a path asks a Dir for it. A run's folder is never written over: two runs of one
// scenario and seed in one second are told apart by a number.
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Dir is the folder of one run.
type Dir struct {
	path string
	made string // the outermost folder that Create made for it
}

// ErrNoRun: the folder has no history in it.
var ErrNoRun = errors.New("it is not the folder of a run")

// sameMax is how many runs of one scenario and seed there may be in one second.
const sameMax = 1000

// Create makes the folder of a run that begins at the moment started, in root, and has root/latest point to it. After an error
// nothing is left.
func Create(root, scenario string, seed uint64, started time.Time) (_ Dir, err error) {
	if err := checkName(scenario); err != nil {
		return Dir{}, fmt.Errorf("scenario: %w", err)
	}
	folder := filepath.Join(root, scenario)
	d := Dir{made: missing(folder)}
	defer func() {
		switch {
		case err != nil && d.path != "":
			err = errors.Join(err, d.Remove())
		case err != nil:
			err = errors.Join(err, unmake(folder, d.made))
		}
	}()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return d, err
	}
	name := fmt.Sprintf("%s-seed%d", started.UTC().Format("20060102T150405Z"), seed)
	for n := 1; ; n++ {
		in := filepath.Join(scenario, name)
		if n > 1 {
			in = fmt.Sprintf("%s-%d", in, n)
		}
		err := os.Mkdir(filepath.Join(root, in), 0o755)
		if errors.Is(err, fs.ErrExist) && n < sameMax {
			continue
		}
		if err != nil {
			return d, err
		}
		d.path = filepath.Join(root, in)
		return d, link(root, in)
	}
}

// missing is the outermost folder on the way to a path that is not there; empty when all are.
func missing(path string) string {
	found := ""
	for ; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return found
		}
		found = path
	}
}

// Remove removes the folder of a run that is worth nothing, the link to it, and what Create made around it that is empty.
func (d Dir) Remove() error {
	scenario := filepath.Dir(d.path)
	latest := filepath.Join(filepath.Dir(scenario), "latest")
	if to, err := os.Readlink(latest); err == nil && to == filepath.Join(filepath.Base(scenario), filepath.Base(d.path)) {
		if err := remove(latest); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(d.path); err != nil {
		return err
	}
	return unmake(scenario, d.made)
}

// unmake removes empty folders, from one outwards to the one that was made first.
func unmake(path, made string) error {
	for ; made != ""; path = filepath.Dir(path) {
		list, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(list) > 0 {
			return err // somebody else has something there
		}
		if err := remove(path); err != nil || path == made {
			return err
		}
	}
	return nil
}

// link has root/latest point to a run.
func link(root, in string) error {
	tmp := filepath.Join(root, fmt.Sprintf(".latest-%d", os.Getpid()))
	if err := os.Symlink(in, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, filepath.Join(root, "latest")); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}

// Open returns the folder of a run. It fails with ErrNoRun when there is no history in it.
func Open(path string) (Dir, error) {
	d := Dir{path: path}
	fi, err := os.Stat(d.History())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.Mode().IsRegular() {
		return d, fmt.Errorf("%s: %w", path, ErrNoRun)
	}
	return d, err
}

// Path is the folder.
func (d Dir) Path() string { return d.path }

// Run is the file that says what was run.
func (d Dir) Run() string { return filepath.Join(d.path, "run.json") }

// History is the file of what was seen.
func (d Dir) History() string { return filepath.Join(d.path, "history.jsonl") }

// Faults is the file of the schedule.
func (d Dir) Faults() string { return filepath.Join(d.path, "faults.jsonl") }

// Results is the file of the verdicts.
func (d Dir) Results() string { return filepath.Join(d.path, "results.json") }

// Report is the page to look at.
func (d Dir) Report() string { return filepath.Join(d.path, "report.html") }

// Order is the page of an identity whose answers have no order; n counts them from 1.
func (d Dir) Order(n int) string { return filepath.Join(d.path, fmt.Sprintf("order-%d.html", n)) }

// Export is the newest state that was saved, of a run that made a new cluster of it.
func (d Dir) Export() string { return filepath.Join(d.path, "export.berth") }

// Servers is the folder of the servers' folders.
func (d Dir) Servers() string { return filepath.Join(d.path, "servers") }

// Log is the committed log of a server, as package replay wrote it.
func (d Dir) Log(server string) string { return filepath.Join(d.Servers(), server, "log.jsonl") }

// Server makes the folder of a server.
func (d Dir) Server(name string) (string, error) { return d.make("servers", name) }

// Member makes the folder of a member.
func (d Dir) Member(name string) (string, error) { return d.make("members", name) }

func (d Dir) make(of, name string) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	path := filepath.Join(d.path, of, name)
	return path, os.MkdirAll(path, 0o755)
}

// WriteJSON writes a file of the folder so that it is there whole or not at all.
func WriteJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(b, '\n'))
}

// WriteFile writes a file of the folder so that it is there whole or not at all.
func WriteFile(path string, b []byte) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		return errors.Join(err, remove(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, remove(tmp))
	}
	return nil
}

// remove removes a file that may not be there.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// nameBytesMax is the length of the longest name of a scenario, server or member.
const nameBytesMax = 128

// checkName refuses what is not the name of one folder.
func checkName(name string) error {
	if name == "" || len(name) > nameBytesMax || strings.ContainsAny(name, "/\\\x00") || name[0] == '.' {
		return fmt.Errorf("%.150q cannot be the name of a folder", name)
	}
	return nil
}
