package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/mutants"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
)

// testTimeout bounds the test of a mutant.
const testTimeout = 5 * time.Minute

// test runs a mutant's test, which finds it by failing. binary has the tests of its package.
func test(ctx context.Context, m *mutants.Mutant, binary string) (f found, err error) {
	f.seed = 1
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, binary, "-test.run", "^"+m.Test+"$")
	c.Dir = filepath.FromSlash(m.Package)
	out, err := procs.CombinedOutput(c)
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return f, fmt.Errorf("%s of %s did not end within %v", m.Test, m.Package, testTimeout)
	case err != nil && !errors.As(err, &exit):
		return f, err
	case strings.Contains(string(out), "no tests to run"):
		return f, fmt.Errorf("%s has no %s", m.Package, m.Test)
	}
	if err != nil {
		f.checker, f.why = m.Test, failed(string(out))
	}
	return f, nil
}

// failed is the first thing that a test says went wrong.
func failed(out string) string {
	for line := range strings.Lines(out) {
		if strings.Contains(line, "_test.go:") || strings.HasPrefix(line, "panic: ") {
			return strings.TrimSpace(line)
		}
	}
	return "it failed"
}
