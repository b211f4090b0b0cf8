package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A bar is for people who wait: on a terminal, from the first second on, and it goes when the work is done.
func TestProgress_AppearsAfterASecond_OnATerminal(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		steps    int // of a tenth of a second
		bar      bool
	}{{"quick", true, 9, false}, {"slow", true, 30, true}, {"into a file", false, 30, false}} {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			a := &app{err: &out, terminal: func(w io.Writer) bool { return w == &out && tt.terminal }}
			p := a.byteProgress("reading x", 3000)
			for range tt.steps {
				time.Sleep(100 * time.Millisecond)
				p.add(100)
			}
			drawn := out.Len()
			p.done()
			if got := strings.Contains(out.String(), "reading x"); got != tt.bar {
				t.Errorf("%s: %q", tt.name, out.String())
			}
			if tt.bar && (!strings.Contains(out.String(), "kB") || !strings.Contains(out.String(), "%") || out.Len() == drawn) {
				t.Errorf("%s: it shows %q, and %q to go", tt.name, out.String()[:drawn], out.String()[drawn:])
			}

			out.Reset()
			a.during("thinking", func() { time.Sleep(time.Duration(tt.steps) * 100 * time.Millisecond) })
			if got := strings.Contains(out.String(), "thinking"); got != tt.bar {
				t.Errorf("%s: %q", tt.name, out.String())
			}
		})
	}
}

// A log gets a line a second of a stream, and a terminal on which the answer itself scrolls by gets nothing.
func TestProgress_OfAStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, log bytes.Buffer
		a := &app{out: &out, err: &log, terminal: func(io.Writer) bool { return false }}
		p := newProgress(a, "placing", 5000)
		for range 35 {
			time.Sleep(100 * time.Millisecond)
			p.add(100)
		}
		p.done()
		if got, want := log.String(), "placing: 1,000 of 5,000\nplacing: 2,000 of 5,000\nplacing: 3,000 of 5,000\n"; got != want {
			t.Errorf("the log has %q, want %q", got, want)
		}
		log.Reset()
		a.terminal = func(io.Writer) bool { return true }
		p = newProgress(a, "placing", 5000)
		time.Sleep(5 * time.Second)
		if p.add(100); log.Len() != 0 {
			t.Errorf("between the answers stands %q", log.String())
		}
	})
}
