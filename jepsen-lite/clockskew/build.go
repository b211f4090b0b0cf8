package clockskew

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

// ErrUnsupported: there are no patches for this system.
var ErrUnsupported = errors.New("clocks can be skewed on linux/amd64 alone")

// Config says what is built.
type Config struct {
	// Root is the directory of the module.
	Root string
	// Package is the program's package, a path below Root.
	Package string
	// Output is the path of the program.
	Output string
	// Files are other changes of the build; those of the clock are added to them. May be nil.
	Files *overlay.Files
	// Flags are more flags of go build.
	Flags []string
}

// What the build has beside Go's own files and the program's.
var (
	//go:embed runtime.go.txt
	runtimeFile string
	//go:embed debug.go.txt
	debugFile string
	//go:embed control.go.txt
	controlFile string
)

// patch is a change of one of Go's files.
type patch struct{ file, pattern, text string }

// patches are the changes of package runtime of Go 1.26.
var patches = []patch{
	{"time_nofake.go", "func nanotime() int64 {\n\treturn nanotime1()\n}", "func nanotime() int64 {\n\treturn skewedNano(nanotime1())\n}"},
	// time.Now reads both clocks in assembly; what it was becomes realNow.
	{"time_linux_amd64.s", "TEXT time·now<ABIInternal>(SB)", "TEXT runtime·realNow<ABIInternal>(SB)"},
	{"timeasm.go", "//go:linkname time_now time.now\nfunc time_now() (sec int64, nsec int32, mono int64)\n", `func realNow() (sec int64, nsec int32, mono int64)

//go:linkname time_now time.now
//go:nosplit
func time_now() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = realNow()
	sec, nsec = skewedWall(sec, nsec)
	return sec, nsec, skewedNano(mono)
}
`},
	// Where the program waits for its next timer, the kernel counts the time.
	{"netpoll_epoll.go", "func netpoll(delay int64) (gList, int32) {\n", "func netpoll(delay int64) (gList, int32) {\n\tdelay = trueWait(delay)\n"},
}

// bootClocks are the files of berth that read CLOCK_BOOTTIME.
var bootClocks = []string{"raftnode/clock_linux.go", "lookupclient/clock_linux.go"}

// Build builds the program with a clock that can be skewed. It fails with ErrUnsupported where that cannot be done, and
// with a *overlay.PatternError when the files are not those that it knows. It takes a minute or two at the first time; ctx ends it.
func Build(ctx context.Context, c Config) error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return ErrUnsupported
	}
	dir, err := os.MkdirTemp("", "clockskew-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if c.Files == nil {
		c.Files = &overlay.Files{}
	}
	if err := c.add(); err != nil {
		return err
	}
	path, err := c.Files.Write(dir)
	if err != nil {
		return err
	}
	output, err := filepath.Abs(c.Output)
	if err != nil {
		return err
	}
	args := append([]string{"build", "-overlay", path, "-o", output}, c.Flags...)
	command := exec.CommandContext(ctx, "go", append(args, "./"+c.Package)...)
	command.Dir = c.Root
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", c.Package, err, out)
	}
	return nil
}

// add adds the files and patches of the clock.
func (c *Config) add() error {
	dir, err := overlay.Runtime()
	if err != nil {
		return err
	}
	for _, p := range patches {
		if err := c.Files.Patch(filepath.Join(dir, p.file), p.pattern, p.text); err != nil {
			return err
		}
	}
	for _, file := range bootClocks {
		path := filepath.Join(c.Root, file)
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue // another module than berth
		}
		err := errors.Join(
			c.Files.Patch(path, "import (\n", "import (\n\t\"runtime/debug\"\n"),
			c.Files.Patch(path, "time.Duration(ts.Nano())", "time.Duration(ts.Nano()+debug.ClockSkew())"))
		if err != nil {
			return err
		}
	}
	return errors.Join(
		c.Files.Add(filepath.Join(dir, "clockskew.go"), runtimeFile),
		c.Files.Add(filepath.Join(dir, "debug", "clockskew.go"), debugFile),
		c.Files.Add(filepath.Join(c.Root, c.Package, "clockskew.go"), controlFile))
}
