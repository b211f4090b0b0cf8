package sim

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

// What the build has beside Go's own files and this package's.
var (
	//go:embed runtime.go.txt
	runtimeFile string
	//go:embed debug.go.txt
	debugFile string
	//go:embed seeded.go.txt
	seededFile string
)

// patches are the changes of Go 1.26 that take away all chance: below src/runtime, but for one. What is on the heap must be at the same
// place in each run, since maps of pointers are in the order of where those point.
var patches = []struct{ file, pattern, text string }{
	// What is random is random by a seed, from the beginning of the process on.
	{"rand.go", "\tglobalRand.state.Init(*seed)\n", "\t*seed = [32]byte{1}\n\tglobalRand.state.Init(*seed)\n"},
	{"rand.go", "func rand() uint64 {\n", "func rand() uint64 {\n\tif seededOn {\n\t\treturn seededRand()\n\t}\n"},
	{"../math/rand/rand.go", "func NewSource(seed int64) Source {\n", "func NewSource(seed int64) Source {\n\tseed = 1 // for those whose seed is the time\n"},
	// Which of the channels that are ready a select takes, and which of the timers that are due fires first.
	{"select.go", "j := cheaprandn(uint32(norder + 1))", "j := seededCheapn(uint32(norder + 1))"},
	{"time.go", "t.rand = cheaprand()", "t.rand = seededCheap()"},
	// Which type assertions get a place in a cache, which is an object on the heap. Chance here is that of the thread, and each lock
	// of the runtime that another thread waits for draws from it.
	{"iface.go", "cheaprand()&1023 != 0 {\n\t\t// Only bother updating the cache ~1 in 1000 times.\n\t\treturn tab\n\t}\n" +
		"\t// Load the current cache.\n\toldC := (*abi.TypeAssertCache)(atomic.Loadp(unsafe.Pointer(&s.Cache)))\n\n\tif cheaprand()&",
		"!seededTurn() {\n\t\treturn tab\n\t}\n" +
			"\toldC := (*abi.TypeAssertCache)(atomic.Loadp(unsafe.Pointer(&s.Cache)))\n\n\tif seededTurns>>10&"},
	{"iface.go", "cheaprand()&1023 != 0 {\n\t\t// Only bother updating the cache ~1 in 1000 times.\n\t\t// This ensures", "!seededTurn() {\n\t\t// This ensures"},
	{"iface.go", "oldC := (*abi.InterfaceSwitchCache)(atomic.Loadp(unsafe.Pointer(&s.Cache)))\n\n\tif cheaprand()&",
		"oldC := (*abi.InterfaceSwitchCache)(atomic.Loadp(unsafe.Pointer(&s.Cache)))\n\n\tif seededTurns>>10&"},
	// The goroutine that begins is not bound to its thread meanwhile: else it goes back and forth between threads, and how many there
	// are, each with its objects on the heap, is a matter of how fast they are.
	{"proc.go", "\tlockOSThread()\n\n\tif mp != &m0 {\n", "\tif mp != &m0 {\n"},
	{"proc.go", "\tneedUnlock = false\n\tunlockOSThread()\n", "\tneedUnlock = false\n"},
	// No goroutine is taken from its thread because it ran long by the true clock, and no mutex goes over to handing itself on. Not
	// before a run either: there would be another thread.
	{"chan.go", "func makechan(t *chantype, size int) *hchan {\n", "func makechan(t *chantype, size int) *hchan {\n\tseededYield()\n"},
	{"proc.go", "func retake(now int64) uint32 {\n", "func retake(now int64) uint32 {\n\tif true {\n\t\treturn 0\n\t}\n"},
	// Goroutines that are put aside run when the others are through, and not at every sixty-first switch: what the runtime does
	// beside the program would count as switches.
	{"proc.go", "if pp.schedtick%61 == 0 && ", "if !seededOn && pp.schedtick%61 == 0 && "},
	{"sema.go", "func internal_sync_nanotime() int64 {\n", "func internal_sync_nanotime() int64 {\n\tif seededOn {\n\t\treturn 1\n\t}\n"},
}

// Build builds this package's tests so that a seed decides everything: root is the directory of the module, and output the path of
// the program, which is started with Arguments. It fails with a *overlay.PatternError for another version of Go.
func Build(root, output string) error { return BuildWith(root, output, overlay.Files{}) }

// BuildWith is Build of a module in which other files stand in the place of some. args are given to go test -c, which runs in root.
func BuildWith(root, output string, f overlay.Files, args ...string) error {
	dir, err := os.MkdirTemp("", "sim-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := determine(&f, filepath.Join(root, "jepsen-lite", "sim")); err != nil {
		return err
	}
	path, err := f.Write(dir)
	if err != nil {
		return err
	}
	output, err = filepath.Abs(output)
	if err != nil {
		return err
	}
	c := exec.Command("go", slices.Concat([]string{"test", "-c", "-overlay", path, "-o", output}, args, []string{"./jepsen-lite/sim"})...)
	c.Dir = root
	// Go puts the heap anywhere, and maps whose keys are pointers are in the order of where these point to.
	c.Env = append(os.Environ(), "GOEXPERIMENT=norandomizedheapbase64")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go test -c: %w\n%s", err, out)
	}
	return nil
}

// Arguments are those with which such a program runs one seed; drop has the numbers of the faults that are left out, with commas
// between them, and until is Plan.Until's. Others may give another trace: what is not on the heap any more, but kept for the next who
// wants it, differs.
func Arguments(seed uint64, drop string, until time.Duration) []string {
	return []string{"-test.run", "^TestSeeds$", "-test.v", "-seeds", "1", "-first", strconv.FormatUint(seed, 10), "-drop", drop, "-until", until.String()}
}

// determine adds the files and patches.
func determine(f *overlay.Files, dir string) error {
	runtime, err := overlay.Runtime()
	if err != nil {
		return err
	}
	for _, p := range patches {
		if err := f.Patch(filepath.Join(runtime, p.file), p.pattern, p.text); err != nil {
			return err
		}
	}
	return errors.Join(
		f.Add(filepath.Join(runtime, "seeded.go"), runtimeFile),
		f.Add(filepath.Join(runtime, "debug", "seeded.go"), debugFile),
		f.Add(filepath.Join(dir, "seeded.go"), seededFile))
}

// seeded has a seed decide, from now on, what chance decides otherwise; false gives that back to chance. It returns where the numbers
// of the seed have come to, which says how many were drawn. It is nil unless the build is one by Build.
var seeded func(on bool, seed uint64) (state uint64)
