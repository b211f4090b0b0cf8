package history

import (
	"cmp"
	"fmt"
	"time"
)

// Run is the first line of a history: what was run.
type Run struct {
	// Format is the form of the history, at most Format.
	Format int `json:"format"`
	// Scenario is the name of what was run, and Workload and Faults what it consisted of.
	Scenario string   `json:"scenario"`
	Workload []string `json:"workload,omitempty"`
	Faults   []string `json:"faults,omitempty"`
	// Seed is where all its choices come from, and Tier how real it was: 1 virtual time, 2 processes, 3 hosts.
	Seed uint64 `json:"seed"`
	Tier int    `json:"tier,omitempty"`
	// Started is the wall clock at the run's beginning, for people.
	Started time.Time `json:"started,omitzero"`
	// Version, Commit, Go and Kernel say what ran on what; Mutant names the fault that was put into the build, empty for none.
	Version string `json:"version,omitempty"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
	Mutant  string `json:"mutant,omitempty"`
	// Command repeats the run.
	Command string `json:"command,omitempty"`
	// Servers and Members are the names of those that the run begins with.
	Servers []string `json:"servers,omitempty"`
	Members []string `json:"members,omitempty"`
	// Bounds are what the run is held to.
	Bounds Bounds `json:"bounds,omitzero"`
	// ExpectedToFail says that a promise is broken on purpose: a run that passes is wrong.
	ExpectedToFail bool `json:"expected_to_fail,omitempty"`
	// Breaks are the checkers that are to find it, one at least; what another one finds is a bug. Empty for any.
	Breaks []string `json:"breaks,omitempty"`
}

// Bounds are what a run is held to, in nanoseconds. A bound of zero is not checked.
type Bounds struct {
	// Progress is how long after everything has healed an operation of each kind must succeed again, and each server answer.
	Progress int64 `json:"progress_ns,omitempty"`
	// Gap is the longest time between two operations that succeed while a majority is well.
	Gap int64 `json:"gap_ns,omitempty"`
	// Goroutines and Descriptors are how many a server may have more in the end, when the clients have left, than any had before they
	// came. Since format 4.
	Goroutines  int `json:"goroutines,omitempty"`
	Descriptors int `json:"descriptors,omitempty"`
}

func (r *Run) validate() error {
	if r.Format < 1 {
		return fmt.Errorf("its format is %d", r.Format)
	}
	if min(r.Bounds.Progress, r.Bounds.Gap, int64(r.Bounds.Goroutines), int64(r.Bounds.Descriptors)) < 0 {
		return fmt.Errorf("a bound is negative")
	}
	return cmp.Or(named("scenario", r.Scenario), list("workload", r.Workload), list("faults", r.Faults), list("servers", r.Servers), list("members", r.Members), list("breaks", r.Breaks),
		texts("version", r.Version, "commit", r.Commit, "go", r.Go, "kernel", r.Kernel, "mutant", r.Mutant, "command", r.Command))
}

// The phases of a run.
const (
	// PhaseSteady: no fault yet.
	PhaseSteady = "steady"
	// PhaseFaults: faults come and go.
	PhaseFaults = "faults"
	// PhaseHealed: from now on there is no fault, and everything must work again within Bounds.Progress.
	PhaseHealed = "healed"
	// PhaseFinal: everything is read once more.
	PhaseFinal = "final"
	// PhaseTeardown: the processes of the run are being ended.
	PhaseTeardown = "teardown"
)

// Phase says that a part of the run begins.
type Phase struct {
	Name string `json:"name"`
}

func (p *Phase) validate() error {
	switch p.Name {
	case PhaseSteady, PhaseFaults, PhaseHealed, PhaseFinal, PhaseTeardown:
		return nil
	}
	return fmt.Errorf("there is no phase %.40q", p.Name)
}

// Restored is a new cluster that was made of a saved state, and what was seen of it.
type Restored struct {
	// Index and Digest are those of the saved state, and Settled is how many placements it has that are settled.
	Index   uint64 `json:"index"`
	Digest  string `json:"digest"`
	Settled int    `json:"settled"`
	// From and To are the recovery generations of the saved state and of the new cluster.
	From uint16 `json:"from"`
	To   uint16 `json:"to"`
	// Differs names what the new cluster had otherwise than the saved state.
	Differs []string `json:"differs,omitempty"`
	// Epochs are those of placements that the new cluster made, and Member is who owned them.
	Epochs []uint64 `json:"epochs,omitempty"`
	Member string   `json:"member,omitempty"`
}

func (r *Restored) validate() error {
	if r.Settled < 0 || len(r.Epochs) > listMax {
		return fmt.Errorf("%d placements, %d epochs", r.Settled, len(r.Epochs))
	}
	return cmp.Or(named("digest", r.Digest), list("differs", r.Differs), texts("member", r.Member))
}

// Usage is what a server has in use, as it says itself.
type Usage struct {
	Server      string `json:"server"`
	Goroutines  int    `json:"goroutines"`
	Descriptors int    `json:"descriptors"`
	// Final says that it is what it has when everything has healed and the clients have left, and not before they came.
	Final bool `json:"final,omitempty"`
}

func (u *Usage) validate() error {
	if min(u.Goroutines, u.Descriptors) < 0 {
		return fmt.Errorf("a number is negative")
	}
	return named("server", u.Server)
}

// Leaks is what was left when everything had been taken down.
type Leaks struct {
	Goroutines int `json:"goroutines"`
	Processes  int `json:"processes"`
	Namespaces int `json:"namespaces"`
	Mounts     int `json:"mounts"`
	Files      int `json:"files"`
	// What names some of them.
	What []string `json:"what,omitempty"`
}

func (l *Leaks) validate() error {
	if min(l.Goroutines, l.Processes, l.Namespaces, l.Mounts, l.Files) < 0 {
		return fmt.Errorf("a number is negative")
	}
	return list("what", l.What)
}

// End is the last line of a run that came to its end. What has none was broken off.
type End struct {
	// Error is what went wrong with the test itself; empty when nothing did.
	Error string `json:"error,omitempty"`
}

func (e *End) validate() error { return texts("error", e.Error) }
