package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

const (
	// inFlight is how many batches of a stream are with the cluster at once.
	inFlight = 4
	// lineBytesMax is far longer than any identity.
	lineBytesMax = 64 << 10
)

// identities is where a command's identities come from: its arguments, or standard input with --stdin.
type identities struct {
	stdin bool
}

func (s *identities) flags(c *cobra.Command) {
	c.Flags().BoolVar(&s.stdin, "stdin", false, "read identities from standard input, one a line")
	c.Args = func(_ *cobra.Command, args []string) error {
		switch {
		case s.stdin && len(args) > 0:
			return errors.New("with --stdin, identities come from standard input alone")
		case !s.stdin && len(args) == 0:
			return errors.New("an identity is missing: kind/key, for example cart/42")
		}
		return nil
	}
}

// line is one identity of a stream, or why it is none.
type line struct {
	id  placement.Identity
	err error
	end bool // nothing can be read after this error
}

// arguments are identities of the command line. All must be right before anything is done.
func arguments(args []string) ([]placement.Identity, error) {
	var ids []placement.Identity
	var errs []error
	for _, s := range args {
		id, err := placement.ParseIdentity(s)
		ids, errs = append(ids, id), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, usage("%v", err)
	}
	return ids, nil
}

// readLines sends what r has, line by line, and closes the channel at its end. Empty lines are passed over.
func readLines(ctx context.Context, r io.Reader, lines chan<- line) {
	defer close(lines)
	in := bufio.NewReaderSize(r, lineBytesMax)
	for n := 1; ; n++ {
		part, err := in.ReadSlice('\n')
		l := parseLine(n, strings.TrimRight(string(part), "\r\n"))
		for errors.Is(err, bufio.ErrBufferFull) {
			l = line{err: fmt.Errorf("line %d: it has more than %d bytes", n, lineBytesMax)}
			_, err = in.ReadSlice('\n')
		}
		if l != (line{}) && !send(ctx, lines, l) || err == io.EOF {
			return
		}
		if err != nil {
			send(ctx, lines, line{err: fmt.Errorf("standard input: %w", err), end: true})
			return
		}
	}
}

func parseLine(n int, text string) line {
	if text == "" {
		return line{}
	}
	id, err := placement.ParseIdentity(text)
	if err != nil {
		return line{err: fmt.Errorf("line %d: %w", n, err)}
	}
	return line{id: id}
}

func send(ctx context.Context, lines chan<- line, l line) bool {
	select {
	case lines <- l:
		return true
	case <-ctx.Done():
		return false
	}
}

// batch is identities that are with the cluster in one call, and what became of them. The bad lines among them are
// reported at their place.
type batch[R any] struct {
	ids     []placement.Identity
	bad     []error
	fatal   error
	results R
	err     error
	done    chan struct{}
}

// stream reads identities and has call take them, a batch at a time and some at once; a batch is what has come by the
// time that it can be sent, so that one that is typed goes at once and thousands go together. emit gets the batches in
// the order of the input. The first error ends it.
func stream[R any](ctx context.Context, r io.Reader, call func(context.Context, []placement.Identity) (R, error), emit func(*batch[R]) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan line, lookupclient.BatchMax)
	go readLines(ctx, r, lines)
	batches := make(chan *batch[R], inFlight-1)
	go func() {
		defer close(batches)
		for {
			b := gather[R](ctx, lines)
			if b == nil {
				return
			}
			select {
			case batches <- b:
			case <-ctx.Done():
				return
			}
			go func() {
				defer close(b.done)
				if len(b.ids) > 0 {
					b.results, b.err = call(ctx, b.ids)
				}
			}()
		}
	}()
	for b := range batches {
		select {
		case <-b.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if b.err != nil {
			return b.err
		}
		if err := emit(b); err != nil {
			return err
		}
		if b.fatal != nil {
			return b.fatal
		}
	}
	return ctx.Err()
}

// gather waits for a line and takes what else is there; nil at the end.
func gather[R any](ctx context.Context, lines <-chan line) *batch[R] {
	b := &batch[R]{done: make(chan struct{})}
	add := func(l line, ok bool) (more bool) {
		switch {
		case !ok:
			return false
		case l.end:
			b.fatal = l.err
			return false
		case l.err != nil:
			b.bad = append(b.bad, l.err)
		default:
			b.ids = append(b.ids, l.id)
		}
		return len(b.ids)+len(b.bad) < lookupclient.BatchMax
	}
	select {
	case l, ok := <-lines:
		if !ok {
			return nil
		}
		if !add(l, ok) {
			return b
		}
	case <-ctx.Done():
		return nil
	}
	for {
		select {
		case l, ok := <-lines:
			if !add(l, ok) {
				return b
			}
		default:
			return b
		}
	}
}
