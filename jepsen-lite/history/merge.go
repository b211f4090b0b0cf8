package history

import (
	"cmp"
	"errors"
	"io"
	"slices"
)

// Merge writes one history of several, which have one clock: the run, the operations and the end are those of the first. What
// the others say of runs and ends is left out, and their operations, streams and faults are given numbers of their own. One of
// the others may be empty, as a process leaves it that was killed early. Errors are those of Read, and of w.
func Merge(w io.Writer, limits Limits, first io.Reader, others ...io.Reader) error {
	var events []Event
	var most numbers
	var begun *Event
	for i, r := range append([]io.Reader{first}, others...) {
		base := most
		_, err := Read(r, limits, func(_ int, e *Event) error {
			switch {
			case i > 0 && (e.Run != nil || e.End != nil):
				return nil
			case e.Run != nil:
				begun = e
				return nil
			}
			e.renumber(base)
			most.take(e)
			events = append(events, *e)
			return nil
		})
		if i > 0 && errors.Is(err, ErrEmpty) {
			continue
		}
		if err != nil {
			return err
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	var b []byte
	for _, e := range append([]Event{*begun}, events...) {
		var err error
		if b, err = Append(b, &e); err != nil {
			return err
		}
		if len(b) >= LineBytesMax {
			if _, err := w.Write(b); err != nil {
				return err
			}
			b = b[:0]
		}
	}
	_, err := w.Write(b)
	return err
}

// numbers are the largest that were given so far.
type numbers struct{ op, stream, fault uint64 }

func (n *numbers) take(e *Event) {
	switch {
	case e.Invoke != nil:
		n.op = max(n.op, e.Invoke.Op)
	case e.Watch != nil:
		n.stream = max(n.stream, e.Watch.Stream)
	case e.Fault != nil:
		n.fault = max(n.fault, e.Fault.Fault)
	}
}

// renumber puts the event's number behind those that were given.
func (e *Event) renumber(base numbers) {
	switch {
	case e.Invoke != nil:
		e.Invoke.Op += base.op
	case e.OK != nil:
		e.OK.Op += base.op
	case e.Fail != nil:
		e.Fail.Op += base.op
	case e.Unknown != nil:
		e.Unknown.Op += base.op
	case e.Watch != nil:
		e.Watch.Stream += base.stream
	case e.Fault != nil:
		e.Fault.Fault += base.fault
	}
}
