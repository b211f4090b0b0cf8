package scratch

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
)

// roomMin is how much room there has to be in memory: two programs of tests, or of the simulation, have as much at a time.
const roomMin = 2 << 30

// Tests runs the tests of a package, m.Run of its TestMain, with a TMPDIR in memory where that can be, and returns its exit status: whole
// clusters in virtual time wait for no disk then, whose speed is of no interest to them. Their garbage is collected when there is four
// times as much of it as of the rest, which saves the simulation some 15 % of its time. Benchmarks wait for the disk, and have their
// garbage collected as usual; a TMPDIR and a GOGC that are given stay.
func Tests(m interface{ Run() int }) int {
	flag.Parse()
	if b := flag.Lookup("test.bench"); b != nil && b.Value.String() != "" {
		return m.Run()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	in := InMemory()
	if in == "" || os.Getenv("TMPDIR") != "" {
		return m.Run()
	}
	dir, err := New(in, "berth-test")
	if err == nil {
		err = os.Setenv("TMPDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scratch:", err)
		return 1
	}
	code := m.Run()
	if err := errors.Join(os.Unsetenv("TMPDIR"), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, "scratch:", err)
	}
	return code
}
