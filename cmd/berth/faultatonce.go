package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

// runsAtOnceMax bounds how many runs there are at a time, each of which is a dozen of processes.
const runsAtOnceMax = 16

// faultPatience is how long a run may take to end when it is told to, before it is killed.
const faultPatience = 30 * time.Second

// several runs scenarios in processes of their own, some at once, and prints what each said when it has ended. The results are in the
// order of the scenarios. The error is that of a command line that is wrong, or of a process that did not say what became of its run.
func (f *faultRun) several(ctx context.Context, scenarios []runner.Scenario) ([]faultResult, error) {
	for _, s := range scenarios {
		if err := f.of(s).Validate(); err != nil {
			return nil, usage("%w", err)
		}
	}
	results, errs := make([]faultResult, len(scenarios)), make([]error, len(scenarios))
	var all sync.WaitGroup
	var mu sync.Mutex // of what is printed
	turn := make(chan struct{}, f.atOnce)
	for i, s := range scenarios {
		turn <- struct{}{}
		all.Go(func() {
			defer func() { <-turn }()
			if ctx.Err() != nil {
				return
			}
			var said string
			results[i], said, errs[i] = f.apart(ctx, s)
			mu.Lock()
			defer mu.Unlock()
			_, _ = fmt.Fprint(f.err, said)
		})
	}
	all.Wait()
	var ran []faultResult
	for i := range results {
		if results[i].Scenario != "" {
			ran = append(ran, results[i])
		}
	}
	return ran, errors.Join(errs...)
}

// apart runs a scenario in a process of its own, and returns what it said to people as well.
func (f *faultRun) apart(ctx context.Context, s runner.Scenario) (r faultResult, said string, err error) {
	runtime.LockOSThread() // the process is killed when the thread is gone that started it
	defer runtime.UnlockOSThread()
	program, err := os.Executable()
	if err != nil {
		return r, "", err
	}
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(ctx, program, append(f.arguments(f.of(s)), "-o", "json")...)
	c.Stdout, c.Stderr, c.SysProcAttr = &stdout, &stderr, groupAttributes()
	c.Cancel, c.WaitDelay = func() error { return c.Process.Signal(os.Interrupt) }, faultPatience
	failed := c.Run()
	var out faultResults
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil || len(out.Runs) != 1 {
		if ctx.Err() != nil {
			return r, stderr.String(), nil // it was broken off before it could say anything
		}
		return r, stderr.String(), fmt.Errorf("%s did not say what became of it: %w", s.Name, errors.Join(failed, err))
	}
	said, _, _ = strings.Cut(stderr.String(), "\n\n"+passedOf(out.Runs)) // what it said of all, which is one
	return out.Runs[0], said + "\n", nil
}

// arguments are those of a command that runs a scenario as it is run here.
func (f *faultRun) arguments(c runner.Config) []string {
	args := []string{"fault", "run", c.Scenario.Name, "--seed", fmt.Sprint(c.Seed), "--duration", c.Duration.String(), "--tier", fmt.Sprint(c.Tier), "--store", c.Root}
	if f.other {
		args = append(args, "--binary", c.Binary)
	}
	if c.Network != "" {
		args = append(args, "--network", string(c.Network))
	}
	if c.Mutant != "" {
		args = append(args, "--mutant", c.Mutant)
	}
	if c.Clients != 0 {
		args = append(args, "--clients", fmt.Sprint(c.Clients))
	}
	return args
}
