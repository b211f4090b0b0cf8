package group

import (
	"errors"
	"fmt"
)

// The outcomes of a proposal are three and are never mixed. Done: an fsm.Result, and no error. Refused: an error that is
// ErrNotLeader, ErrQueueFull, ErrClosed, or the context's; nothing happened and nothing will. Unknown: an *UnknownError;
// it may have happened, or may yet.
var (
	// ErrNotLeader: this server has no tenure. Ask the leader.
	ErrNotLeader = errors.New("not the leader")
	// ErrQueueFull: too many commands wait already. Ask again later.
	ErrQueueFull = errors.New("too many commands are waiting")
	// ErrClosed: the group was closed.
	ErrClosed = errors.New("server is stopping")
)

// UnknownError says that a command was proposed and that its fate is not known.
type UnknownError struct {
	// Term is the term of the tenure that proposed it.
	Term uint64
	// Err is why its answer did not come.
	Err error
}

// Error says that the outcome is unknown, and why.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("outcome unknown: proposed in term %d: %v", e.Term, e.Err)
}

// Unwrap returns why the answer did not come.
func (e *UnknownError) Unwrap() error { return e.Err }
