package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/jepsen-lite/check"
	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

// faultRun is one run of the command.
type faultRun struct {
	*app
	config runner.Config
	all    bool
	other  bool          // a binary was named
	atOnce int           // how many runs at a time
	last   time.Duration // how long runs follow each other; zero for one of each
}

// The verdicts of a run.
const (
	faultPassed      = "passed"
	faultFailed      = "failed"
	faultUnavailable = "cannot be run here"
	faultNoRoom      = "without room"
	faultBroken      = "broken off"
)

// faultResult is what became of one run.
type faultResult struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed,string"`
	Tier     int    `json:"tier"`
	Verdict  string `json:"verdict"`
	// Why says what was wrong; empty when it passed.
	Why        string  `json:"why,omitempty"`
	Operations int64   `json:"operations"`
	Faults     int     `json:"faults"`
	Seconds    float64 `json:"seconds"`
	Folder     string  `json:"folder,omitempty"`
	// Again is the command that repeats it.
	Again string `json:"again"`
}

// faultResults is what a program gets of runs.
type faultResults struct {
	Runs []faultResult `json:"runs"`
}

// seedsMax bounds the seeds that are drawn: they are typed again.
const seedsMax = 1_000_000

func (f *faultRun) run(ctx context.Context, names []string) error {
	f.other = f.config.Binary != ""
	scenarios, err := f.choose(names)
	if err != nil {
		return err
	}
	if f.atOnce < 1 || f.atOnce > runsAtOnceMax {
		return usage("--at-once %d: 1 to %d are allowed", f.atOnce, runsAtOnceMax)
	}
	if f.config.Binary == "" {
		if f.config.Binary, err = os.Executable(); err != nil {
			return err
		}
	}
	f.config.Command, f.config.Note = []string{"fault"}, f.say
	v := thisVersion()
	f.config.Version, f.config.Commit = v.Version, v.Revision
	f.config.Source = source()
	if f.config.Seed == 0 {
		f.config.Seed = 1 + rand.Uint64N(seedsMax)
	}
	var results []faultResult
	for begin := time.Now(); ; f.config.Seed++ {
		round := f.oneByOne
		if f.atOnce > 1 {
			round = f.several
		}
		ended, err := round(ctx, scenarios)
		results = append(results, ended...)
		if ctx.Err() != nil {
			_ = f.conclude(results) // the exit status is the interruption's
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		ran := slices.ContainsFunc(ended, func(r faultResult) bool { return r.Verdict != faultUnavailable && r.Verdict != faultNoRoom })
		if !ran || time.Since(begin) >= f.last {
			return f.conclude(results)
		}
	}
}

// oneByOne runs scenarios one after the other. The error is that of a command line that is wrong.
func (f *faultRun) oneByOne(ctx context.Context, scenarios []runner.Scenario) (results []faultResult, err error) {
	for _, s := range scenarios {
		r, err := f.one(ctx, s)
		if err != nil {
			return nil, err
		}
		results = append(results, r)
		f.say("%s: %s  %s", r.Scenario, r.Verdict, r.Why)
		if ctx.Err() != nil {
			break
		}
	}
	return results, nil
}

// source is the directory of berth's source, when the command is run in it and there is a go command; otherwise empty.
func source() string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if err != nil || path != "github.com/seed13d31b7f/berth" {
		return ""
	}
	return dir
}

// ownBuild is why a scenario is not run with another binary.
const ownBuild = "it builds a berth of its own, whose clocks can be skewed, and would not run %s"

// choose finds the scenarios of the command line.
func (f *faultRun) choose(names []string) ([]runner.Scenario, error) {
	if f.all && len(names) == 0 {
		return slices.DeleteFunc(runner.Scenarios(), func(s runner.Scenario) bool {
			if f.other && s.Clocks() {
				f.say("%s is left out: "+ownBuild, s.Name, f.config.Binary)
			}
			return f.other && s.Clocks()
		}), nil
	}
	if f.all || len(names) == 0 {
		return nil, usage("name scenarios (berth fault list), or say --all")
	}
	var list []runner.Scenario
	for _, name := range names {
		s, ok := runner.Find(name)
		if !ok {
			return nil, usage("there is no scenario %q; berth fault list lists them", name)
		}
		if f.other && s.Clocks() {
			return nil, usage("%s cannot be run with --binary: "+ownBuild, name, f.config.Binary)
		}
		list = append(list, s)
	}
	return list, nil
}

// of is how a scenario is run.
func (f *faultRun) of(s runner.Scenario) runner.Config {
	c := f.config
	c.Scenario = s
	if f.all {
		c.Tier = max(c.Tier, s.Tier())
	}
	if c.Tier == 0 {
		c.Tier = s.Tier()
	}
	return c
}

// one runs a scenario. The error is that of a command line that is wrong; anything else is in the result.
func (f *faultRun) one(ctx context.Context, s runner.Scenario) (faultResult, error) {
	c := f.of(s)
	again := []string{"berth", "fault", "run", s.Name, "--seed", fmt.Sprint(c.Seed), "--duration", c.Duration.String(), "--tier", fmt.Sprint(c.Tier)}
	if c.Network != "" {
		again = append(again, "--network", string(c.Network))
	}
	c.Again = localcluster.Command(again)
	if err := c.Validate(); err != nil {
		return faultResult{}, usage("%w", err)
	}
	f.say("\n%s, tier %d, %v, seed %d: %s", s.Name, c.Tier, c.Duration, c.Seed, s.About)
	begin := time.Now()
	report, err := runner.Run(ctx, c)
	var judged *check.Results
	if err == nil {
		judged, err = runner.Judge(report.Dir)
	}
	r := faultResult{Scenario: s.Name, Seed: c.Seed, Tier: c.Tier, Verdict: faultPassed, Again: c.Again}
	if report != nil {
		r.Operations, r.Faults, r.Folder = report.Done, len(report.Steps), report.Dir.Path() // none without room
	}
	r.Seconds = time.Since(begin).Seconds()
	var missing *runner.UnavailableError
	var space *runner.SpaceError
	switch {
	case ctx.Err() != nil:
		r.Verdict, r.Why = faultBroken, "interrupted"
	case errors.As(err, &missing):
		r.Verdict, r.Why = faultUnavailable, missing.Err.Error()
	case errors.As(err, &space):
		r.Verdict, r.Why = faultNoRoom, space.Error()
	case err != nil:
		r.Verdict, r.Why = faultFailed, err.Error()
	case !judged.Passed:
		r.Verdict, r.Why = faultFailed, runner.Verdict(judged)
	default:
		return r, runner.Tidy(report.Dir)
	}
	return r, nil
}

// faultRate is how much was done in the runs of a tier, and how much of it in a minute; empty when there was none.
func faultRate(results []faultResult, tier int) string {
	runs, operations, faults, seconds := 0, int64(0), 0, 0.0
	for _, r := range results {
		if r.Tier == tier && r.Operations > 0 {
			runs, operations, faults, seconds = runs+1, operations+r.Operations, faults+r.Faults, seconds+r.Seconds
		}
	}
	if runs == 0 {
		return ""
	}
	return fmt.Sprintf("tier %d: %d runs, %d operations and %d faults in %.0f s: %.0f and %.0f a minute",
		tier, runs, operations, faults, seconds, float64(operations)*60/seconds, float64(faults)*60/seconds)
}

// verdicts counts them.
func verdicts(results []faultResult) map[string]int {
	count := map[string]int{}
	for _, r := range results {
		count[r.Verdict]++
	}
	return count
}

func passedOf(results []faultResult) string {
	return fmt.Sprintf("%d of %d runs passed", verdicts(results)[faultPassed], len(results))
}

// conclude prints what became of the runs. The exit status is 8 when one failed, and 1 when one could not be run, or had no room.
func (f *faultRun) conclude(results []faultResult) error {
	count := verdicts(results)
	err := output.List(&f.printer, faultResults{results}, results, func(t *output.Rows) {
		t.Row("SCENARIO", "TIER", "SEED", "VERDICT", "OPERATIONS", "FAULTS", "SECONDS", "FOLDER")
		for _, r := range results {
			t.Row(r.Scenario, fmt.Sprint(r.Tier), fmt.Sprint(r.Seed), r.Verdict, fmt.Sprint(r.Operations), fmt.Sprint(r.Faults), fmt.Sprintf("%.1f", r.Seconds), r.Folder)
		}
	})
	f.say("\n%s", passedOf(results))
	for tier := range 4 {
		if rate := faultRate(results, tier); rate != "" {
			f.say("%s", rate)
		}
	}
	for _, r := range results {
		if r.Verdict != faultPassed {
			f.say("%s %s: %s\n  again: %s", r.Scenario, r.Verdict, r.Why, r.Again)
		}
	}
	switch {
	case err != nil:
		return err
	case count[faultFailed] > 0:
		return &statusError{status: exitCheck}
	case count[faultUnavailable]+count[faultNoRoom] > 0:
		return &statusError{status: exitOther}
	}
	return nil
}
