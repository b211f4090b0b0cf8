package history

import (
	"errors"
	"fmt"
)

// Format is the number of the newest form of a history that this package writes, and reads with all before it.
const Format = 5

// Event is one line: the moment and what happened there, which is one of the other fields.
type Event struct {
	// At is the moment in nanoseconds since the run's beginning.
	At int64 `json:"at"`

	Run      *Run      `json:"run,omitempty"`
	Invoke   *Call     `json:"invoke,omitempty"`
	OK       *Answer   `json:"ok,omitempty"`
	Fail     *Answer   `json:"fail,omitempty"`
	Unknown  *Answer   `json:"unknown,omitempty"`
	Hold     *Hold     `json:"hold,omitempty"`
	Write    *Write    `json:"write,omitempty"`
	Watch    *Watch    `json:"watch,omitempty"`
	Server   *Server   `json:"server,omitempty"`
	Digest   *Digest   `json:"digest,omitempty"`
	Fault    *Fault    `json:"fault,omitempty"`
	Process  *Process  `json:"process,omitempty"`
	Phase    *Phase    `json:"phase,omitempty"`
	Restored *Restored `json:"restored,omitempty"` // since format 2
	Usage    *Usage    `json:"usage,omitempty"`    // since format 4
	Leaks    *Leaks    `json:"leaks,omitempty"`
	End      *End      `json:"end,omitempty"`
}

// body is what can stand in an event.
type body interface{ validate() error }

// body returns the one thing that the event says, and how many things it says.
func (e *Event) body() (b body, n int) {
	take := func(there bool, x body) {
		if there {
			b = x
			n++
		}
	}
	take(e.Run != nil, e.Run)
	take(e.Invoke != nil, e.Invoke)
	take(e.OK != nil, e.OK)
	take(e.Fail != nil, e.Fail)
	take(e.Unknown != nil, e.Unknown)
	take(e.Hold != nil, e.Hold)
	take(e.Write != nil, e.Write)
	take(e.Watch != nil, e.Watch)
	take(e.Server != nil, e.Server)
	take(e.Digest != nil, e.Digest)
	take(e.Fault != nil, e.Fault)
	take(e.Process != nil, e.Process)
	take(e.Phase != nil, e.Phase)
	take(e.Restored != nil, e.Restored)
	take(e.Usage != nil, e.Usage)
	take(e.Leaks != nil, e.Leaks)
	take(e.End != nil, e.End)
	return b, n
}

// Validate reports the first rule that the event breaks.
func (e *Event) Validate() error {
	b, n := e.body()
	switch {
	case n != 1:
		return fmt.Errorf("it says %d things, and one line says one", n)
	case e.At < 0:
		return errors.New("its moment is before the run's beginning")
	}
	return b.validate()
}

// textBytesMax is the length of the longest text in an event, and listMax that of the longest list.
const textBytesMax, listMax = 4096, 1024

// texts reports the first text that is too long. They come in pairs: what it is, and the text.
func texts(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if n := len(pairs[i+1]); n > textBytesMax {
			return fmt.Errorf("%s has %d bytes, at most %d are allowed", pairs[i], n, textBytesMax)
		}
	}
	return nil
}

// list reports a list that is too long, or a text in it.
func list(what string, l []string) error {
	if len(l) > listMax {
		return fmt.Errorf("%s: there are %d, at most %d are allowed", what, len(l), listMax)
	}
	for _, s := range l {
		if err := texts(what, s); err != nil {
			return err
		}
	}
	return nil
}

// named reports a name that is missing or too long.
func named(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s is missing", what)
	}
	return texts(what, s)
}
