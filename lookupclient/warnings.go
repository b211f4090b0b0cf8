package lookupclient

import (
	"log/slog"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// warnEvery is how often at most one failure is warned of.
const warnEvery = 10 * time.Second

// warnings are what a client could not do: of each kind and reason the first at once, and then one every warnEvery, with how many there
// were since. Kinds and reasons are closed lists, so there are few.
type warnings struct {
	logger *slog.Logger

	mu   sync.Mutex
	last map[warning]*warned
}

type warning struct {
	what string
	why  apiv1.Reason
}

type warned struct {
	at   time.Time
	more int
}

func newWarnings(logger *slog.Logger) *warnings {
	return &warnings{logger: logger, last: map[warning]*warned{}}
}

// failed warns of an attempt that failed, when the cluster, and not what was asked for, is the reason.
func (w *warnings) failed(method string, e *Error) {
	if !e.decided() || isUnknown(e) {
		w.warn("a call failed", e.Reason, "method", method, "message", e.Message)
	}
}

// warn warns, unless it did so a while ago. An empty reason is none.
func (w *warnings) warn(what string, why apiv1.Reason, args ...any) {
	if _, known := why.Info(); !known && why != "" {
		why = apiv1.ReasonInternal
	}
	more, now := w.due(warning{what, why})
	if !now {
		return
	}
	if why != "" {
		args = append(args, "reason", string(why))
	}
	w.logger.Warn(what, append(args, "more", more)...)
}

// due says whether a warning is given now, and how often it was not since it was the last time.
func (w *warnings) due(x warning) (more int, now bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.last[x]
	if last == nil {
		last = &warned{}
		w.last[x] = last
	} else if time.Since(last.at) < warnEvery {
		last.more++
		return 0, false
	}
	more, last.more, last.at = last.more, 0, time.Now()
	return more, true
}
