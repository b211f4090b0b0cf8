package clockskew

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/overlay"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// measure is a process of testdata/measure.
type measure struct {
	t      *testing.T
	socket string
	in     io.Writer
	out    *bufio.Reader
}

func start(t *testing.T, c Clock) *measure {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "measure")
	must(t, Build(t.Context(), Config{Root: "../..", Package: "jepsen-lite/clockskew/testdata/measure", Output: binary}))
	m := &measure{t: t, socket: filepath.Join(dir, "clock")}
	p := exec.Command(binary)
	p.Env = append(p.Environ(), Env(m.socket, c)...)
	in, err := p.StdinPipe()
	must(t, err)
	out, err := p.StdoutPipe()
	must(t, err)
	must(t, p.Start())
	m.in, m.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		_ = in.Close()
		_ = p.Wait()
	})
	return m
}

// do has the process do something, and returns how long it took by its clock and truly, and its wall clock's error.
func (m *measure) do(what string) (own, truly, wall time.Duration) {
	m.t.Helper()
	return m.end(m.begin(what))
}

// begin returns when the process has begun to do something: it was told so at the returned moment. It has taken the time of its own clock.
func (m *measure) begin(what string) time.Time {
	m.t.Helper()
	begin := time.Now()
	_, err := fmt.Fprintln(m.in, what)
	must(m.t, err)
	_, err = m.out.ReadString('\n')
	must(m.t, err)
	return begin
}

// end waits for what was begun.
func (m *measure) end(begin time.Time) (own, truly, wall time.Duration) {
	m.t.Helper()
	line, err := m.out.ReadString('\n')
	must(m.t, err)
	truly = time.Since(begin)
	var unix int64
	_, err = fmt.Sscan(line, &own, &unix)
	must(m.t, err)
	return own, truly, time.Until(time.Unix(0, unix))
}

func (m *measure) set(c Clock) {
	m.t.Helper()
	must(m.t, Set(m.socket, c))
}

// Whatever waits, waits by the skewed clock.
func TestClock_Rate_OfEverything(t *testing.T) {
	m := start(t, Clock{RatePPM: 1_000_000})
	for i, rate := range []int64{1_000_000, 0, -500_000, 250_000} {
		if i > 0 { // the first is what it began with
			m.set(Clock{RatePPM: rate})
		}
		want := 200 * time.Millisecond * 1_000_000 / time.Duration(1_000_000+rate)
		for _, what := range []string{"sleep", "ticks", "context", "deadline"} {
			// A loaded machine makes it longer, never shorter: one try of ten must be right.
			var own, truly time.Duration
			for range 10 {
				if own, truly, _ = m.do(what); truly < want+want/4 {
					break
				}
			}
			if truly < want-want/50 || truly > want+want/4 || own < 198*time.Millisecond {
				t.Errorf("rate %+d ppm: %s took %v, by its own clock %v; want %v", rate, what, truly, own, want)
			}
		}
	}
}

func TestClock_Steps(t *testing.T) {
	m := start(t, Clock{})
	// On a loaded machine the sleep may be over before the clock jumps: in one try of ten it must not be.
	var slept time.Duration
	for range 10 {
		begun := m.begin("sleep")
		m.set(Clock{Step: time.Hour})
		if slept, _, _ = m.end(begun); slept >= time.Hour {
			break
		}
	}
	if slept < time.Hour || slept > time.Hour+time.Minute {
		t.Errorf("a sleep in which the clock jumped took %v", slept)
	}
	m.set(Clock{Wall: -24 * time.Hour})
	own, truly, wall := m.do("sleep")
	if own < 198*time.Millisecond || own > time.Minute || truly > time.Minute {
		t.Errorf("a sleep afterwards took %v, truly %v", own, truly)
	}
	if wall < -24*time.Hour-time.Second || wall > -24*time.Hour+time.Second {
		t.Errorf("the wall clock is off by %v", wall)
	}
	m.set(Clock{Wall: 25 * time.Hour})
	if _, _, wall := m.do(""); wall < time.Hour-time.Second || wall > time.Hour+time.Second {
		t.Errorf("the wall clock is off by %v", wall)
	}
}

func TestSet_OutOfBounds_IsRefused(t *testing.T) {
	for _, c := range []Clock{{RatePPM: RateMin - 1}, {RatePPM: RateMax + 1}, {Step: -1}, {Step: JumpMax + 1}, {Wall: JumpMax + 1}, {Wall: -JumpMax - 1}} {
		if err := Set("/nowhere", c); err == nil || !strings.Contains(err.Error(), "is allowed") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := Set(filepath.Join(t.TempDir(), "none"), Clock{}); err == nil || !strings.Contains(err.Error(), "set clock") {
		t.Errorf("nobody listens: %v", err)
	}
}

// A version of Go with other files is noticed.
func TestBuild_OtherFiles_IsRefused(t *testing.T) {
	dir, err := overlay.Runtime()
	must(t, err)
	for _, p := range patches {
		var f overlay.Files
		must(t, f.Patch(filepath.Join(dir, p.file), p.pattern, "// gone\n"))
		var e *overlay.PatternError
		err := Build(t.Context(), Config{Root: "../..", Package: "jepsen-lite/clockskew/testdata/measure", Output: filepath.Join(t.TempDir(), "x"), Files: &f})
		if !errors.As(err, &e) || e.Pattern != p.pattern {
			t.Errorf("without %q: %v", p.pattern, err)
		}
	}
}
