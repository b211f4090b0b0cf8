package main

import (
	"io"
	"os"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	// progressAfter is how long something takes before a terminal shows how far it is: most commands are over by then.
	progressAfter = time.Second
	// progressEvery is how often a log gets a line in place of a bar.
	progressEvery = time.Second
	// progressTick is how often a bar moves of which nobody knows how far it is.
	progressTick = 100 * time.Millisecond
)

// progress shows how far something is that takes more than a moment: a bar on a terminal.
type progress struct {
	app   *app
	what  string
	total int64 // of what is counted; zero when nobody knows
	n     int64
	shows []progressbar.Option
	begun time.Time

	draws bool // on a terminal
	bar   *progressbar.ProgressBar

	logs bool // a line a second where there is no terminal
	said time.Time
}

func (a *app) progress(what string, total int64, shows ...progressbar.Option) *progress {
	now := time.Now()
	return &progress{app: a, what: what, total: total, shows: shows, begun: now, said: now, draws: a.isTerminal(a.err)}
}

// newProgress shows how far a stream of identities is. A log gets a line a second; where the answer itself scrolls by
// there is nothing.
func newProgress(a *app, what string, total int64) *progress {
	p := a.progress(what, total, progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("id"))
	p.logs = !p.draws
	if a.isTerminal(a.out) && !a.quiet {
		p.draws, p.logs = false, false
	}
	return p
}

// byteProgress shows how many of so many bytes were written to it; zero stands for a number that nobody knows.
func (a *app) byteProgress(what string, total int64) *progress {
	return a.progress(what, total, progressbar.OptionShowBytes(true))
}

// during runs something of which nobody knows how far it is, and shows that it is under way.
func (a *app) during(what string, do func()) {
	p := a.progress(what, 0)
	if !p.draws {
		do()
		return
	}
	over := make(chan struct{})
	var ticking sync.WaitGroup
	ticking.Go(func() { // ends when over is closed
		tick := time.NewTicker(progressTick)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.add(1)
			case <-over:
				return
			}
		}
	})
	do()
	close(over)
	ticking.Wait()
	p.done()
}

// isTerminal says whether a person reads what is written.
func (a *app) isTerminal(w io.Writer) bool {
	if a.terminal != nil {
		return a.terminal(w)
	}
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p *progress) add(n int) {
	p.n += int64(n)
	switch {
	case p.bar != nil:
		_ = p.bar.Add(n)
	case p.draws && time.Since(p.begun) >= progressAfter:
		p.draw()
	case p.logs && time.Since(p.said) >= progressEvery:
		p.line()
	}
}

// draw makes the bar, which knows what was counted before it.
func (p *progress) draw() {
	total := p.total
	if total <= 0 {
		total = -1
	}
	p.bar = progressbar.NewOptions64(total, append(p.shows, progressbar.OptionSetWriter(p.app.err), progressbar.OptionSetDescription(p.what),
		progressbar.OptionThrottle(50*time.Millisecond), progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(total > 0),
		progressbar.OptionSetSpinnerChangeInterval(0), // it moves when something is counted, and starts no goroutine
	)...)
	_ = p.bar.Set64(p.n)
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

// done takes the bar away.
func (p *progress) done() {
	if p.bar != nil {
		_ = p.bar.Clear()
		_ = p.bar.Exit()
		p.bar, p.draws = nil, false
	}
}

// Write counts bytes.
func (p *progress) Write(b []byte) (int, error) {
	p.add(len(b))
	return len(b), nil
}
