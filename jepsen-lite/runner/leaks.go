package runner

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
)

// leaks are what there was before a run.
type leaks struct{ goroutines int }

func leaksBefore() leaks { return leaks{runtime.NumGoroutine()} }

// settle is how long what is ending may take.
const settle = 3 * time.Second

// since is what there is more after the run, when what is ending has ended. The recorder, which goes on, is none.
func (b leaks) since(r *run) *history.Leaks {
	const recorder = 1
	for deadline := time.Now().Add(settle); runtime.NumGoroutine() > b.goroutines+recorder && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	l := &history.Leaks{Goroutines: max(0, runtime.NumGoroutine()-b.goroutines-recorder)}
	if l.Goroutines > 0 {
		l.What = append(l.What, stacks())
	}
	if r.cluster != nil {
		for _, w := range r.everyone() {
			if w.Runs() {
				l.Processes++
				l.What = append(l.What, fmt.Sprintf("%s, process %d", w.Name, w.PID()))
			}
		}
		r.cluster.mu.Lock()
		for _, d := range r.cluster.mu.disks {
			if d.Mounted() {
				l.Mounts++
				l.What = append(l.What, d.Dir())
			}
		}
		r.cluster.mu.Unlock()
	}
	if r.hosts != nil {
		left := r.hosts.left()
		l.Namespaces = len(left)
		l.What = append(l.What, left...)
	}
	if _, err := os.Lstat(r.resourcePath()); err == nil {
		l.Files++
		l.What = append(l.What, r.resourcePath())
	}
	return l
}

// stacksMax is how much of the goroutines' stacks is said.
const stacksMax = 4000

func stacks() string {
	b := make([]byte, 64<<10)
	b = b[:runtime.Stack(b, true)]
	return strings.ToValidUTF8(string(b[:min(len(b), stacksMax)]), "?")
}
