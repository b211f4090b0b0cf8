package history

import (
	"errors"
	"fmt"
)

// What is wrong with a history. Read wraps them in a *LineError.
var (
	// ErrNotAHistory: the first line is not that of a run.
	ErrNotAHistory = errors.New("it does not begin with a run")
	// ErrEmpty: it has no whole line.
	ErrEmpty = errors.New("it is empty")
	// ErrNewerFormat: it was written by a newer version.
	ErrNewerFormat = errors.New("its format is newer than this version reads")
	// ErrLineTooLong: a line has more than LineBytesMax bytes.
	ErrLineTooLong = errors.New("the line is too long")
	// ErrTooManyEvents: it has more than Limits.Events lines.
	ErrTooManyEvents = errors.New("there are too many events")
	// ErrBadLine: the line is no event, or its event breaks a rule.
	ErrBadLine = errors.New("the line is no event")
	// ErrOrder: an operation is begun twice, ended twice, or ended before it is begun.
	ErrOrder = errors.New("the operation does not fit together")
)

// LineError says which line of a history is wrong, counted from 1.
type LineError struct {
	Line int
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap returns what is wrong with it.
func (e *LineError) Unwrap() error { return e.Err }
