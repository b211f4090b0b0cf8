package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Entry is one entry of the log.
type Entry struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
	// Command is what the state machine is given; nil for an entry that Raft made for itself.
	Command []byte `json:"command,omitempty"`
}

// Limits of a log in a file.
const (
	EntriesMax    = 50_000_000
	lineBytesMax  = 16 << 20 // the largest entry, in base64
	readerBufSize = 64 << 10
)

// Errors of a log.
var (
	// ErrBadLog: a line is no entry, or the entries do not follow each other.
	ErrBadLog = errors.New("the log is damaged")
	// ErrDisagree: two servers have different entries at one committed index.
	ErrDisagree = errors.New("two logs differ")
	// ErrDiffer: the model and the state machine have different states.
	ErrDiffer = errors.New("the model and the state machine differ")
)

// Write writes a log.
func Write(w io.Writer, entries []Entry) error {
	b := bufio.NewWriter(w)
	e := json.NewEncoder(b)
	for i := range entries {
		if err := e.Encode(&entries[i]); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads a log. The entries follow each other without a gap. The error wraps ErrBadLog, or is that of r.
func Read(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, readerBufSize), lineBytesMax)
	for lines.Scan() {
		var e Entry
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrBadLog, len(entries)+1, err)
		}
		if n := len(entries); e.Index == 0 || n > 0 && e.Index != entries[n-1].Index+1 || n >= EntriesMax {
			return nil, fmt.Errorf("%w: line %d has the index %d", ErrBadLog, n+1, e.Index)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: line %d is too long", ErrBadLog, len(entries)+1)
	} else if err != nil {
		return nil, err
	}
	return entries, nil
}

// Agree says whether two logs have the same entries up to a committed index, where both have any.
func Agree(a, b []Entry, committed uint64) error {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	first := max(a[0].Index, b[0].Index)
	last := min(a[len(a)-1].Index, b[len(b)-1].Index, committed)
	for i := first; i <= last; i++ {
		x, y := &a[i-a[0].Index], &b[i-b[0].Index]
		if x.Term != y.Term || !bytes.Equal(x.Command, y.Command) {
			return fmt.Errorf("%w at index %d: one is of term %d, the other of term %d", ErrDisagree, i, x.Term, y.Term)
		}
	}
	return nil
}
