package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// EventsMax is the number of events of the longest history that Read takes.
const EventsMax = 50_000_000

// Limits bound what Read takes.
type Limits struct {
	// Events is the number of lines. Default EventsMax.
	Events int
}

// Read gives the events of a history one by one to f, in the order of the file, and ends at f's first error, which it
// returns. torn says that the last line was not whole, as a process leaves it that is killed: it is left out. Any other error is
// a *LineError, or that of r.
func Read(r io.Reader, limits Limits, f func(line int, e *Event) error) (torn bool, err error) {
	if limits.Events == 0 {
		limits.Events = EventsMax
	}
	lines := bufio.NewReaderSize(r, LineBytesMax)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return false, &LineError{n, ErrLineTooLong}
		case errors.Is(err, io.EOF):
			if n == 1 { // perhaps a torn first line
				return false, &LineError{1, ErrEmpty}
			}
			return len(line) > 0, nil
		case err != nil:
			return false, err
		case n > limits.Events:
			return false, &LineError{n, ErrTooManyEvents}
		}
		e := &Event{}
		if err := parse(line, e, n == 1); err != nil {
			return false, &LineError{n, err}
		}
		if err := f(n, e); err != nil {
			return false, err
		}
	}
}

// parse reads one line.
func parse(line []byte, e *Event, first bool) error {
	if first {
		// What a newer version wrote is told as that, and not as what this one does not understand of it.
		var peek struct{ Run *struct{ Format int } }
		if err := json.Unmarshal(line, &peek); err != nil || peek.Run == nil {
			return ErrNotAHistory
		}
		if peek.Run.Format > Format {
			return fmt.Errorf("%w: %d", ErrNewerFormat, peek.Run.Format)
		}
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(e); err != nil {
		return fmt.Errorf("%w: %w", ErrBadLine, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", ErrBadLine)
	}
	if err := e.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrBadLine, err)
	}
	if first != (e.Run != nil) {
		return fmt.Errorf("%w: a run stands in the first line, and there alone", ErrBadLine)
	}
	return nil
}
