package lookupclient_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// probeEnv makes a process of this binary a member that writes down when it acts.
const probeEnv = "BERTH_TEST_PROBE"

// probe is what such a member is started with.
type probe struct {
	Name    string
	Servers []string
	File    string // where it writes, of traceBytes zeros
	// Blind gives it a clock that does not count the time for which the process is stopped: the self-fence is off.
	Blind bool
}

// acting is what one activation did: from when to when it was allowed to act, by CLOCK_BOOTTIME in nanoseconds, which is
// one clock for all processes. It was allowed at some moment until First, and at some moment after Last. Open is the same
// as Last, for an activation that looks at its Context alone.
type acting struct{ Identity, Epoch, First, Last, Open uint64 }

const (
	actingWords = 5
	actingsMax  = 1 << 14
	traceBytes  = 8 * (1 + actingWords*actingsMax)
)

func bootTime() uint64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return uint64(ts.Nano())
}

// trace is the file of a process, in memory that outlives it: a number of actings, and the actings.
type trace struct {
	words []uint64
	mu    sync.Mutex
}

func openTrace(file string) (*trace, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, traceBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &trace{words: unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), traceBytes/8)}, nil
}

// begin returns the words of another acting.
func (t *trace) begin(identity, epoch uint64) []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.words[0]
	if n == actingsMax {
		panic("the trace is full")
	}
	at := 1 + actingWords*n
	w := t.words[at : at+actingWords : at+actingWords]
	w[0], w[1] = identity, epoch
	t.words[0] = n + 1
	return w
}

// readTrace reads what a process wrote, also one that was killed.
func readTrace(file string) (list []acting, err error) {
	b, err := os.ReadFile(file)
	if err != nil || len(b) != traceBytes {
		return nil, fmt.Errorf("%s: %d bytes, %v", file, len(b), err)
	}
	word := func(i uint64) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
	for n := range word(0) {
		at := 1 + actingWords*n
		list = append(list, acting{word(at), word(at + 1), word(at + 2), word(at + 3), word(at + 4)})
	}
	return list, nil
}

// blindClock does not see that the process was stopped.
type blindClock struct {
	mu          sync.Mutex
	last, shown uint64
}

func (c *blindClock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := bootTime()
	if passed := now - c.last; passed < uint64(200*time.Millisecond) {
		c.shown += passed
	}
	c.last = now
	return time.Duration(c.shown)
}

// probeProcess is a member until the end of standard input.
func probeProcess(given string) int {
	var p probe
	if err := json.Unmarshal([]byte(given), &p); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	t, err := openTrace(p.File)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	client, err := lookupclient.Open(lookupclient.Config{Servers: p.Servers})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	config := lookupclient.MemberConfig{
		Name: placement.MemberID(p.Name), Address: p.Name + ":1",
		Kinds: map[string]lookupclient.Kind{"cart": {Run: func(a *lookupclient.Activation) { act(t, a) }}},
	}
	if p.Blind {
		config.Now = (&blindClock{last: bootTime()}).now
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := client.Join(ctx, config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0 // without leaving: what it owns waits for its lease
}

// act asks as often as a busy activation would whether it may act, and writes down from when to when it could have.
func act(t *trace, a *lookupclient.Activation) {
	n, err := strconv.ParseUint(a.Identity.Key, 10, 64)
	if err != nil {
		panic(err)
	}
	w := t.begin(n, uint64(a.Epoch))
	for checked := true; ; {
		// The clock is read on both sides of the check, so that a stop between the two makes no overlap that is none.
		before := bootTime()
		if a.Context().Err() != nil {
			return
		}
		atomic.StoreUint64(&w[4], before)
		if checked = checked && a.Check() == nil; checked {
			if w[2] == 0 {
				atomic.StoreUint64(&w[2], bootTime())
			}
			atomic.StoreUint64(&w[3], before)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
