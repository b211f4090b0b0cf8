package main

import (
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progressEvery is how often a log gets a line in place of a bar.
const progressEvery = time.Second

// progress shows how far a stream is: a bar on a terminal, a line a second in a log, nothing where the answer itself
// scrolls by.
type progress struct {
	app   *app
	what  string
	total int64
	n     int64
	bar   *progressbar.ProgressBar
	said  time.Time
	quiet bool
}

func newProgress(a *app, what string, total int64) *progress {
	p := &progress{app: a, what: what, total: total, said: time.Now()}
	switch {
	case isTerminal(a.out) && !a.quiet:
		p.quiet = true
	case isTerminal(a.err):
		if total <= 0 {
			total = -1
		}
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("id"),
			progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(total > 0))
	}
	return p
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *progress) add(n int) {
	p.n += int64(n)
	switch {
	case p.bar != nil:
		_ = p.bar.Add(n)
	case !p.quiet && time.Since(p.said) >= progressEvery:
		p.line()
	}
}

func (p *progress) line() {
	p.said = time.Now()
	if p.total > 0 {
		p.app.say("%s: %s of %s", p.what, humanize.Comma(p.n), humanize.Comma(p.total))
		return
	}
	p.app.say("%s: %s", p.what, humanize.Comma(p.n))
}

// pause makes room for a line of text.
func (p *progress) pause() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}

func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.app.say("")
	}
}

// byteProgress shows how much of a file is read, on a terminal, when it takes more than a moment.
func (a *app) byteProgress(what string, f *os.File) *progress {
	p := &progress{app: a, what: what, quiet: true}
	info, err := f.Stat()
	if err != nil || !isTerminal(a.err) || info.Size() < 4<<20 {
		return p
	}
	p.bar = progressbar.NewOptions64(info.Size(), progressbar.OptionSetWriter(a.err), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionFullWidth())
	return p
}

// Write counts bytes that were read.
func (p *progress) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}
