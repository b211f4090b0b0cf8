package fsm

import (
	"errors"
	"fmt"
)

// ErrUnknownCommand means that a log entry holds a command or a field that this version does not know.
var ErrUnknownCommand = errors.New("unknown to this version of berth")

// EntryError says why a log entry cannot be applied. The machine's state is undefined after it: the server must stop,
// and start again from its last snapshot with a version, or a log, that is whole.
type EntryError struct {
	// Index and Term are the entry's position in the log.
	Index, Term uint64
	// Err is what is wrong with it.
	Err error
}

// Error names the entry and what is wrong with it.
func (e *EntryError) Error() string {
	return fmt.Sprintf("log entry %d of term %d cannot be applied: %v", e.Index, e.Term, e.Err)
}

// Unwrap returns what is wrong.
func (e *EntryError) Unwrap() error { return e.Err }
