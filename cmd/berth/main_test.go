package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/internal/scratch"
)

// binary is the berth that the scripts run: the real one, in processes of its own. It is built like the tests; undetected is the one that users
// run.
var binary, undetected string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "berth-test-")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "berth")
		undetected = binary
		builds := map[string][]string{binary: buildFlags}
		if buildFlags != nil {
			undetected = filepath.Join(dir, "undetected")
			builds[undetected] = nil
		}
		for path, flags := range builds {
			build := exec.Command("go", append(append([]string{"build"}, flags...), "-o", path, ".")...)
			if out, err := build.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
				return 1
			}
		}
		return scratch.Tests(m) // a disk that stalls is not what they are about
	}())
}

// TestScripts runs testdata/script/*.txtar: what a person or a script types, and what they get. The commands that the
// scripts have beside those of testscript are in script_test.go.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                scriptCommands,
		Condition: func(name string) (bool, error) {
			if name != "race" {
				return false, fmt.Errorf("there is no condition %q", name)
			}
			return buildFlags != nil, nil
		},
		Setup: func(e *testscript.Env) error {
			data := filepath.Join(e.WorkDir, "xdg")
			e.Setenv("XDG_DATA_HOME", data)
			e.Setenv("UNDETECTED", undetected)
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Defer(func() {
				for _, name := range []string{"dev", "ephemeral"} {
					if _, err := localcluster.Stop(filepath.Join(data, "berth", name)); err != nil && !errors.Is(err, localcluster.ErrNone) {
						e.T().Log(err)
					}
				}
			})
			return nil
		},
	})
}
