package telemetry

import (
	"fmt"
	"sync"
	"time"
)

// sayEvery is how often the same trouble is said at most.
const sayEvery = 10 * time.Minute

// teller says that something goes wrong: at once, then no more than once in a while, and when it goes right again.
type teller struct {
	what string
	say  func(string)

	mu     sync.Mutex
	said   time.Time // zero: never
	faults int       // since it was said
	open   bool      // it was said, and not that it is over
}

func newTeller(what string, say func(string)) *teller { return &teller{what: what, say: say} }

// result takes how it went; nil is well.
func (t *teller) result(err error) {
	if text := t.take(err); text != "" {
		t.say(text)
	}
}

// take returns what there is to say, or nothing.
func (t *teller) take(err error) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		if !t.open {
			return ""
		}
		t.open = false
		return t.what + ": that is over"
	}
	t.faults++
	if !t.said.IsZero() && time.Since(t.said) < sayEvery {
		return ""
	}
	text := fmt.Sprintf("%s: %v", t.what, err)
	if t.faults > 1 {
		text += fmt.Sprintf(" (%d times since this was said last)", t.faults)
	}
	t.said, t.faults, t.open = time.Now(), 0, true
	return text
}

// Handle implements otel.ErrorHandler.
func (t *teller) Handle(err error) { t.result(err) }
