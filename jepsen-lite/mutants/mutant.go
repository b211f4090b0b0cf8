package mutants

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
	"github.com/seed13d31b7f/berth/jepsen-lite/sim"
)

// Mutant is one fault.
type Mutant struct {
	// Name is what it is called, and About what is taken out.
	Name, About string
	// Scenario is the one of package runner that must find it, by one of the Checkers: "run" stands for a run that does not come to
	// its end, as when servers refuse their disks. Empty: the simulation must, or the Test.
	Scenario string
	Checkers []string
	// Refusal is what a server must say as it ends for "run" to have found the fault: then it is the server that finds what it cannot go
	// on with, and a run that ends for another reason is none. Empty: any end counts.
	Refusal string
	// Package is where the Test is that must fail, by its path in the module. Both are empty for what whole clusters must find.
	Package, Test string
	// Seeds is how many seeds of the simulation it may survive. Zero: SeedsDefault.
	Seeds uint64
	// Gap says why whole clusters do not find it, which without a Test it may survive. Empty: it must be found.
	Gap string

	patches []patch
	raft    []patch // of hashicorp/raft
}

// SeedsDefault is how many seeds of the simulation a mutant may survive that does not say. One that is found at all is found by
// far fewer.
const SeedsDefault = 24

// patch is a change of a file, by its path in its module.
type patch struct{ file, text, with string }

// Build builds a berth with the fault, of the module in root, into a file. It fails with a *overlay.PatternError when the tree
// has changed where the fault is.
func (m *Mutant) Build(root, output string) error {
	return m.with(root, func(files overlay.Files, args []string) error {
		return m.compile(root, output, files, slices.Concat([]string{"build"}, args), "./cmd/berth")
	})
}

// compile has the go command build something with other files in the place of some.
func (m *Mutant) compile(root, output string, files overlay.Files, command []string, pkg string) error {
	dir, err := os.MkdirTemp("", "berth-mutant-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path, err := files.Write(dir)
	if err != nil {
		return err
	}
	if output, err = filepath.Abs(output); err != nil {
		return err
	}
	c := exec.Command("go", slices.Concat(command, []string{"-overlay", path, "-o", output, pkg})...)
	c.Dir = root
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", command[0], err, out)
	}
	return nil
}

// BuildTest builds the tests of its Package with the fault. It fails as Build does.
func (m *Mutant) BuildTest(root, output string) error {
	return m.with(root, func(files overlay.Files, args []string) error {
		return m.compile(root, output, files, slices.Concat([]string{"test", "-c"}, args), "./"+m.Package)
	})
}

// BuildSim builds the simulation of a berth with the fault: see package sim. It fails as Build does.
func (m *Mutant) BuildSim(root, output string) error {
	return m.with(root, func(files overlay.Files, args []string) error { return sim.BuildWith(root, output, files, args...) })
}

// with has f build what the fault makes of the module in root. args are for the go command.
func (m *Mutant) with(root string, f func(files overlay.Files, args []string) error) error {
	var files overlay.Files
	for _, p := range m.patches {
		if err := files.Patch(filepath.Join(root, p.file), p.text, p.with); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	var args []string
	if len(m.raft) > 0 {
		dir, err := os.MkdirTemp("", "berth-mutant-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
		mod, err := m.replaceRaft(root, dir)
		if err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		args = []string{"-modfile", mod}
	}
	if err := f(files, args); err != nil {
		return fmt.Errorf("%s: %w", m.Name, err)
	}
	return nil
}
