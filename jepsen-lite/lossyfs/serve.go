package lossyfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// request is a line that the server of a file system reads; it does what is set.
type request struct {
	Faults    *Faults    `json:",omitempty"`
	PowerLoss *PowerLoss `json:",omitempty"`
}

// reply is the line that answers it, and the first that it writes.
type reply struct {
	Dir         string `json:",omitempty"` // in the first
	Stats       Stats
	Error       string `json:",omitempty"`
	Unavailable bool   `json:",omitempty"` // the error is ErrUnavailable
}

// closing is how long the kernel may take to close the files of processes that have ended.
const closing = 5 * time.Second

// Serve is the process of a file system: it mounts one, and does what it reads until in is at its end. The process must
// have been started by Start, and must end when Serve has returned. It says on out where the file system is, or why there
// is none; errors are of in and out alone.
func Serve(in io.Reader, out io.Writer) error {
	v := newVolume()
	dir, err := mount(v)
	first := reply{Dir: dir}
	if err != nil {
		first = reply{Error: err.Error(), Unavailable: errors.Is(err, ErrUnavailable)}
	}
	w := json.NewEncoder(out)
	if writeErr := w.Encode(first); writeErr != nil || err != nil {
		return writeErr
	}
	for r := json.NewDecoder(in); ; {
		var q request
		if err := r.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		a := reply{}
		if err := v.do(q); err != nil {
			a.Error = err.Error()
		}
		a.Stats = v.counted()
		if err := w.Encode(a); err != nil {
			return err
		}
	}
}

// do carries out a request.
func (v *volume) do(q request) error {
	if q.Faults != nil {
		v.setFaults(*q.Faults)
	}
	if q.PowerLoss == nil {
		return nil
	}
	for deadline := time.Now().Add(closing); ; time.Sleep(time.Millisecond) {
		open := v.losePower(*q.PowerLoss)
		if open == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d files are open: end the processes first that use them", open)
		}
	}
}
