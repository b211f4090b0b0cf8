package history

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write the golden file anew")

// everything has an event of each type, with each field.
func everything() []Event {
	return []Event{
		{Run: &Run{
			Format: 5, Scenario: "partition", Workload: []string{"lookup", "lock"}, Faults: []string{"cut", "pause"}, Seed: 42, Tier: 3,
			Started: time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC), Version: "v0.1.0", Commit: "abc", Go: "go1.26", Kernel: "6.18", Mutant: "no-fence",
			Command: "berth fault run partition --seed 42", Servers: []string{"s1", "s2", "s3"}, Members: []string{"m1"},
			Bounds: Bounds{Progress: 5e9, Gap: 3e9, Goroutines: 7, Descriptors: 8}, ExpectedToFail: true, Breaks: []string{"owner"},
		}},
		{At: 1, Phase: &Phase{Name: PhaseSteady}},
		{At: 2, Process: &Process{Name: "s1", Kind: "server", What: ProcessStart, PID: 7, Status: "exit status 1"}},
		{At: 3, Invoke: &Call{
			Op: 1, Client: "c1", F: Place, Identity: "cart/1", Server: "s2", Level: Leased, Request: "01HZZZZZZZZZZZZZZZZZZZZZZZ", Epoch: 9, To: "m2", Final: true,
		}},
		{At: 9, OK: &Answer{
			Op: 1, Phase: Settled, Member: "m1", Incarnation: 3, Epoch: 4096, Created: true,
			Read: &Proof{Server: "s1", Role: "leader", Level: Leased, Term: 2, Index: 17},
		}},
		{At: 10, Invoke: &Call{Op: 2, Client: "c1", F: Acquire, Lock: "l", Session: 4, Token: 5, Mode: Semaphore, Permits: 2}},
		{At: 11, Invoke: &Call{Op: 3, Client: "c2", F: Export, Server: "s3"}},
		{At: 12, Invoke: &Call{Op: 4, Client: "c3", F: Remove, Identity: "cart/2"}},
		{At: 13, Fail: &Answer{Op: 2, Reason: "LOCK_HELD", Message: "somebody holds it", Token: 5, Session: 4, Held: true, Holders: []uint64{3, 4}}},
		{At: 14, OK: &Answer{Op: 3, Hash: "00ff", Digest: "aa"}},
		{At: 15, Unknown: &Answer{Op: 4, Reason: "OUTCOME_UNKNOWN"}},
		{At: 15, Invoke: &Call{Op: 5, Client: "operator", F: Block, Subject: "m1"}},
		{At: 15, OK: &Answer{Op: 5, Read: &Proof{Server: "s1", Index: 18}}},
		{At: 16, Hold: &Hold{Identity: "cart/1", Member: "m1", Incarnation: 3, Epoch: 4096, From: 8, To: 16, Ended: true, Why: "released"}},
		{At: 17, Hold: &Hold{Lock: "l", Member: "c1", Epoch: 5, Mode: Exclusive, From: 8, To: 16}},
		{At: 18, Write: &Write{Resource: "cart/1", Writer: "m1", Token: 4096, Accepted: true, Value: "x"}},
		{At: 19, Watch: &Watch{
			Stream: 1, What: WatchEvent, Server: "s1", Generation: 1, Index: 17, Position: 2, Kind: "cart", Prefix: "1", Type: "settled",
			Identity: "cart/1", Lock: "l", Member: "m1", Incarnation: 3, Epoch: 4096, Session: 4,
		}},
		{At: 20, Server: &Server{Name: "s1", Role: "leader", Term: 2, Leader: "s1", Applied: 17, Barrier: 11, LeaseUntil: 99}},
		{At: 21, Digest: &Digest{Server: "s1", Index: 17, Digest: "aa", Recomputed: true, Final: true}},
		{At: 22, Fault: &Fault{Fault: 1, Kind: "cut", Targets: []string{"s1", "s2"}, Detail: "both ways", Ends: true, Took: 300}},
		{At: 22, Restored: &Restored{Index: 17, Digest: "aa", Settled: 9, From: 1, To: 2, Differs: []string{"cart/1"}, Epochs: []uint64{1 << 50}, Member: "m9"}},
		{At: 22, Usage: &Usage{Server: "s1", Goroutines: 90, Descriptors: 30, Final: true}},
		{At: 23, Leaks: &Leaks{Goroutines: 1, Processes: 2, Namespaces: 3, Mounts: 4, Files: 5, What: []string{"s1"}}},
		{At: 24, End: &End{Error: "none"}},
	}
}

func encode(t *testing.T, events []Event) []byte {
	t.Helper()
	var b []byte
	var err error
	for i := range events {
		if b, err = Append(b, &events[i]); err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
	}
	return b
}

func decode(r io.Reader) (events []Event, torn bool, err error) {
	torn, err = Read(r, Limits{Events: 100_000}, func(_ int, e *Event) error {
		events = append(events, *e)
		return nil
	})
	return events, torn, err
}

// The bytes of format 5 are those of the golden file, for ever.
func TestAppend_Golden_SameBytes(t *testing.T) {
	const golden = "testdata/history-5.jsonl"
	got := encode(t, everything())
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the bytes are\n%s\nwant\n%s", got, want)
	}
	events, torn, err := decode(bytes.NewReader(want))
	if err != nil || torn || !reflect.DeepEqual(events, everything()) {
		t.Errorf("read again: %v, torn %t, %v", events, torn, err)
	}
}

// What older formats wrote is read for ever.
func TestRead_OldFormats_AreRead(t *testing.T) {
	for format := 1; format < Format; format++ {
		b, err := os.ReadFile(fmt.Sprintf("testdata/history-%d.jsonl", format))
		if err != nil {
			t.Fatal(err)
		}
		want := slices.DeleteFunc(everything(), func(e Event) bool {
			blocks := e.Invoke != nil && e.Invoke.F == Block || e.OK != nil && e.OK.Op == 5
			return e.Restored != nil && format < 2 || e.Usage != nil && format < 4 || blocks
		})
		if want[0].Run.Format = format; format < 4 {
			want[0].Run.Bounds.Goroutines, want[0].Run.Bounds.Descriptors = 0, 0
		}
		if format < 3 {
			want[0].Run.Breaks = nil
		}
		events, torn, err := decode(bytes.NewReader(b))
		if err != nil || torn || !reflect.DeepEqual(events, want) {
			t.Errorf("format %d: %v, torn %t, %v", format, events, torn, err)
		}
	}
}

// The golden file has each field of each event, so that a field that is renamed is noticed.
func TestEverything_EachField_IsSet(t *testing.T) {
	seen := map[string]bool{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(path, v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(path+"."+v.Type().Field(i).Name, v.Field(i))
			}
		default:
			seen[path] = seen[path] || !v.IsZero()
		}
	}
	for _, e := range everything() {
		e.At = max(e.At, 1)
		walk("", reflect.ValueOf(e))
	}
	for path, set := range seen {
		// The three answers share a type, and each field is set in one of them.
		if _, field, answer := strings.Cut(path, "."); answer && !set {
			for _, of := range []string{"OK", "Fail", "Unknown"} {
				if _, f, _ := strings.Cut(field, "."); seen["."+of+"."+f] {
					set = true
				}
			}
		}
		if !set && !strings.Contains(path, ".Started.") {
			t.Errorf("%s is nowhere set", path)
		}
	}
}

const head = `{"at":0,"run":{"format":1,"scenario":"x","seed":1}}` + "\n"

func TestRead_BadInput_NamesTheLine(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		line       int
		err        error
	}{
		{"nothing", "", 1, ErrEmpty},
		{"a torn first line", head[:20], 1, ErrEmpty},
		{"no JSON", "hello\n", 1, ErrNotAHistory},
		{"no run", `{"at":0,"phase":{"name":"final"}}` + "\n", 1, ErrNotAHistory},
		{"newer", `{"at":0,"run":{"format":6,"what":1}}` + "\n", 1, ErrNewerFormat},
		{"two runs", head + head, 2, ErrBadLine},
		{"a torn line in the middle", head + head[:20] + "\n" + head, 2, ErrBadLine},
		{"an unknown field", head + `{"at":0,"phase":{"name":"final","x":1}}` + "\n", 2, ErrBadLine},
		{"an unknown event", head + `{"at":0,"what":{}}` + "\n", 2, ErrBadLine},
		{"two things", head + `{"at":0,"phase":{"name":"final"},"end":{}}` + "\n", 2, ErrBadLine},
		{"two events", head + `{"at":0,"end":{}}{"at":0,"end":{}}` + "\n", 2, ErrBadLine},
		{"before the beginning", head + `{"at":-1,"end":{}}` + "\n", 2, ErrBadLine},
		{"too long", head + `{"at":0,"end":{"error":"` + strings.Repeat("x", LineBytesMax) + `"}}` + "\n", 2, ErrLineTooLong},
		{"a long text", head + `{"at":0,"end":{"error":"` + strings.Repeat("x", textBytesMax+1) + `"}}` + "\n", 2, ErrBadLine},
		{"an operation nobody knows", head + `{"at":0,"invoke":{"op":1,"client":"c","f":"cook"}}` + "\n", 2, ErrBadLine},
		{"a lock's operation on an identity", head + `{"at":0,"invoke":{"op":1,"client":"c","f":"acquire","identity":"a/b"}}` + "\n", 2, ErrBadLine},
		{"settled under no epoch", head + `{"at":0,"ok":{"op":1,"phase":"settled","member":"m"}}` + "\n", 2, ErrBadLine},
		{"a hold that ends before it begins", head + `{"at":0,"hold":{"identity":"a/b","member":"m","epoch":1,"from":5,"to":4}}` + "\n", 2, ErrBadLine},
		{"an answer to nothing", head + `{"at":0,"ok":{"op":1}}` + "\n", 2, ErrOrder},
		{"begun twice", head + strings.Repeat(`{"at":0,"invoke":{"op":1,"client":"c","f":"export"}}`+"\n", 2), 3, ErrOrder},
		{"answered twice", head + `{"at":0,"invoke":{"op":1,"client":"c","f":"export"}}` + "\n" + strings.Repeat(`{"at":1,"ok":{"op":1}}`+"\n", 2), 4, ErrOrder},
		{"answered before", head + `{"at":5,"invoke":{"op":1,"client":"c","f":"export"}}` + "\n" + `{"at":4,"ok":{"op":1}}` + "\n", 3, ErrOrder},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(strings.NewReader(tt.text), Limits{})
			var le *LineError
			if !errors.As(err, &le) || le.Line != tt.line || !errors.Is(err, tt.err) {
				t.Errorf("%v, want line %d: %v", err, tt.line, tt.err)
			}
		})
	}
	if _, err := Load(strings.NewReader(strings.Repeat(head, 3)), Limits{Events: 1}); err == nil {
		t.Error("three runs are a history")
	}
	if _, _, err := decode(strings.NewReader(head + strings.Repeat(`{"at":1,"end":{}}`+"\n", 99_999))); err != nil {
		t.Errorf("as many lines as the limit: %v", err)
	}
	if _, _, err := decode(strings.NewReader(head + strings.Repeat(`{"at":1,"end":{}}`+"\n", 100_000))); !errors.Is(err, ErrTooManyEvents) {
		t.Errorf("more lines than the limit: %v", err)
	}
}

// A history is cut anywhere in its last line: that line is lost and nothing else.
func TestLoad_TornAnywhere_LosesTheLastLine(t *testing.T) {
	b := encode(t, everything())
	last := bytes.LastIndexByte(b[:len(b)-1], '\n') + 1
	for n := last; n < len(b); n++ {
		h, err := Load(bytes.NewReader(b[:n]), Limits{})
		if err != nil || h.Torn != (n > last) || h.End != nil || len(h.Leaks) != 1 {
			t.Fatalf("cut after %d bytes of the last line: %+v, %v", n-last, h, err)
		}
	}
}

func TestLoad_Operations_AreJoined(t *testing.T) {
	h, err := Load(bytes.NewReader(encode(t, everything())), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Ops) != 5 || h.Last != 24 || h.End == nil || h.Run.Seed != 42 {
		t.Fatalf("%+v", h)
	}
	for i, want := range []struct {
		begin, end int64
		outcome    Outcome
	}{{3, 9, OutcomeOK}, {10, 13, OutcomeFail}, {11, 14, OutcomeOK}, {12, 15, OutcomeUnknown}} {
		if op := h.Ops[i]; op.Begin != want.begin || op.End != want.end || op.Outcome != want.outcome || op.Answer.Op != op.Op {
			t.Errorf("operation %d: %+v, want %+v", i, op, want)
		}
	}
	open, err := FromEvents(everything()[:4])
	if err != nil || open.Ops[0].End != Never || open.Ops[0].Outcome != OutcomeUnknown {
		t.Errorf("without an answer: %+v, %v", open, err)
	}
	if _, err := FromEvents(everything()[1:]); !errors.Is(err, ErrNotAHistory) {
		t.Errorf("without a run: %v", err)
	}
}

func TestRecorder_ManyAtOnce_NothingIsLost(t *testing.T) {
	var b bytes.Buffer
	var now atomic.Int64
	r := NewRecorder(&b, func() int64 { return now.Add(1) })
	r.Record(Event{Run: &Run{Format: Format, Scenario: "x"}})
	const clients, each = 8, 1000
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for range each {
				op := r.Invoke(Call{Client: fmt.Sprint(c), F: Lookup, Identity: "cart/1"})
				r.OK(Answer{Op: op, Phase: Absent})
			}
		})
	}
	wg.Wait()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	// The first line is written first; the others are in any order, and Load sorts them. An answer is never before its call,
	// since a client records it after.
	h, err := Load(&b, Limits{})
	if err != nil || len(h.Ops) != clients*each {
		t.Fatalf("%d operations, %v", len(h.Ops), err)
	}
	for _, op := range h.Ops {
		if op.Outcome != OutcomeOK || op.End <= op.Begin {
			t.Fatalf("%+v", op)
		}
	}
}

// What is recorded is on its way to the file soon, also when nothing follows; virtual time is taken as it is.
func TestRecorder_NothingFollows_WrittenSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b lockedBuffer
		start := time.Now()
		r := NewRecorder(&b, func() int64 { return int64(time.Since(start)) })
		time.Sleep(time.Second)
		r.Record(Event{Run: &Run{Format: 1, Scenario: "x"}})
		time.Sleep(flushEvery)
		synctest.Wait()
		if got, want := b.String(), `{"at":1000000000,"run":{"format":1,"scenario":"x","seed":0}}`+"\n"; got != want {
			t.Errorf("after %v: %q, want %q", flushEvery, got, want)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What is asked of a server is in the history before it is asked: who is killed while it asks leaves no request that nobody has made.
func TestRecorder_Invoke_ReturnsWhenItIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{gate: make(chan struct{})}
		r := NewRecorder(w, func() int64 { return 0 })
		var asked atomic.Int64
		const clients = 3
		for c := range clients {
			go func() {
				r.Invoke(Call{Client: fmt.Sprint(c), F: Lookup, Identity: "cart/1"})
				asked.Add(1)
			}()
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := asked.Load(); n != 0 {
			t.Errorf("%d clients ask, and nothing is written", n)
		}
		close(w.gate)
		synctest.Wait()
		if n := asked.Load(); n != clients {
			t.Errorf("%d clients ask when all is written, want %d", n, clients)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Who asks does not wait for a history that can't be written.
func TestRecorder_Invoke_DiskIsFull_Returns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(&fullDisk{}, func() int64 { return 0 })
		for range 3 {
			r.Invoke(Call{Client: "c1", F: Lookup, Identity: "cart/1"})
		}
		if err := r.Close(); !errors.Is(err, errFull) {
			t.Errorf("close: %v", err)
		}
		r.Invoke(Call{Client: "c1", F: Lookup, Identity: "cart/1"})
	})
}

type lockedBuffer struct {
	sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.Lock()
	defer b.Unlock()
	return b.Buffer.String()
}

// slowWriter lets a write go when it is told to.
type slowWriter struct {
	gate  chan struct{}
	bytes atomic.Int64
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.gate
	w.bytes.Add(int64(len(p)))
	return len(p), nil
}

// A disk that hangs makes whoever records wait, and the memory stays bounded.
func TestRecorder_DiskHangs_MemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &slowWriter{gate: make(chan struct{})}
		r := NewRecorder(w, func() int64 { return 0 })
		text := strings.Repeat("x", textBytesMax)
		var recorded atomic.Int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				r.Record(Event{End: &End{Error: text}})
				recorded.Add(1)
			}
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		// What waits, and what the write that hangs has taken.
		if got := recorded.Load() * textBytesMax; got > 2*bufferBytesMax {
			t.Errorf("%d bytes are in memory, at most %d are wanted", got, 2*bufferBytesMax)
		}
		close(w.gate)
		<-done
		if err := r.Close(); err != nil || w.bytes.Load() < 1000*textBytesMax {
			t.Errorf("%d bytes written, %v", w.bytes.Load(), err)
		}
	})
}

type fullDisk struct{ n int }

var errFull = errors.New("no space left")

func (w *fullDisk) Write(p []byte) (int, error) {
	if w.n++; w.n > 1 {
		return 0, errFull
	}
	return len(p), nil
}

func TestRecorder_DiskIsFull_SaysSoAndDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRecorder(&fullDisk{}, func() int64 { return 0 })
		for range 10_000 {
			r.Record(Event{End: &End{Error: strings.Repeat("x", 1000)}})
		}
		select {
		case <-r.Failed():
		case <-time.After(time.Second):
			t.Error("it did not say so by itself")
		}
		if err := r.Err(); !errors.Is(err, errFull) {
			t.Errorf("err: %v", err)
		}
		if err := r.Close(); !errors.Is(err, errFull) {
			t.Errorf("close: %v", err)
		}
	})
}

func TestRecorder_BadEvent_IsAnError(t *testing.T) {
	for name, record := range map[string]func(r *Recorder){
		"no event":      func(r *Recorder) { r.Record(Event{}) },
		"a bad one":     func(r *Recorder) { r.Invoke(Call{Client: "c", F: "cook"}) },
		"after the end": func(r *Recorder) { _ = r.Close(); r.Record(Event{End: &End{}}) },
	} {
		r := NewRecorder(io.Discard, func() int64 { return 0 })
		record(r)
		if err := r.Close(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A process that is killed leaves whole lines, but for the last one, and loses only what was recorded in the last moment.
func TestRecorder_Killed_LinesAreWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.jsonl")
	command := exec.Command(os.Args[0], "-test.run=^TestRecorder_Killed_LinesAreWhole$")
	command.Env = append(os.Environ(), "HISTORY_CHILD="+path)
	if child := os.Getenv("HISTORY_CHILD"); child != "" {
		recordForEver(child)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil { // it says when it has recorded a lot
		t.Fatal(err)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait()
	h, err := Open(path)
	if err != nil || len(h.Ops) < 5_000 || h.End != nil {
		t.Fatalf("%d operations, %v", len(h.Ops), err)
	}
	for i, op := range h.Ops {
		if op.Op != uint64(i+1) || op.End == Never && i < len(h.Ops)-1 {
			t.Fatalf("operation %d: %+v", i, op)
		}
	}
}

// recordForEver is the process that is killed.
func recordForEver(path string) {
	f, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	r := NewRecorder(f, Clock(Now()))
	r.Record(Event{Run: &Run{Format: Format, Scenario: "x"}})
	for i := 0; ; i++ {
		r.OK(Answer{Op: r.Invoke(Call{Client: "c", F: Lookup, Identity: "cart/1"}), Phase: Absent})
		if i == 10_000 {
			fmt.Print("x")
		}
	}
}

func TestMerge_TwoWriters_OneClock(t *testing.T) {
	first := encode(t, everything())
	second := encode(t, []Event{
		{Run: &Run{Format: 1, Scenario: "x"}},
		{At: 5, Invoke: &Call{Op: 1, Client: "m1", F: Confirm, Identity: "cart/1", Epoch: 4096}},
		{At: 7, Unknown: &Answer{Op: 1}},
		{At: 7, Watch: &Watch{Stream: 1, What: WatchClose}},
		{At: 7, Fault: &Fault{Fault: 1, Kind: "cut"}},
		{At: 8, End: &End{}},
	})
	var b bytes.Buffer
	if err := Merge(&b, Limits{}, bytes.NewReader(first), bytes.NewReader(second), strings.NewReader(`{"at`)); err != nil {
		t.Fatal(err)
	}
	events, _, err := decode(bytes.NewReader(b.Bytes()))
	if err != nil || len(events) != len(everything())+4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	for i := 1; i < len(events); i++ {
		if events[i].At < events[i-1].At {
			t.Errorf("event %d is at %d, the one before at %d", i, events[i].At, events[i-1].At)
		}
	}
	h, err := Load(&b, Limits{})
	if err != nil || len(h.Ops) != 6 || h.Ops[1].Op != 6 || h.Ops[1].End != 7 || h.Watches[0].V.Stream != 2 || h.Faults[0].V.Fault != 2 || h.End.At != 24 {
		t.Errorf("%+v, %v", h, err)
	}
	if err := Merge(io.Discard, Limits{}, strings.NewReader("")); !errors.Is(err, ErrEmpty) {
		t.Errorf("of nothing: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	var b []byte
	for _, e := range everything() {
		b, _ = Append(b, &e)
	}
	f.Add(b)
	f.Add(b[:len(b)-5])
	f.Add([]byte(head))
	f.Fuzz(func(t *testing.T, b []byte) {
		events, torn, err := decode(bytes.NewReader(b))
		if err != nil {
			var le *LineError
			if !errors.As(err, &le) {
				t.Fatalf("an error without a line: %v", err)
			}
			return
		}
		again := []byte(nil)
		for i := range events {
			if again, err = Append(again, &events[i]); errors.Is(err, ErrLineTooLong) {
				return // escapes are longer than what was read
			} else if err != nil {
				t.Fatalf("event %d was read and cannot be written: %v", i, err)
			}
		}
		twice, _, err := decode(bytes.NewReader(again))
		if err != nil || !reflect.DeepEqual(events, twice) {
			t.Fatalf("written and read again: %v, %v", twice, err)
		}
		if h, err := Load(bytes.NewReader(b), Limits{}); err == nil && h.Torn != torn {
			t.Errorf("torn is %t and %t", h.Torn, torn)
		}
	})
}

func BenchmarkRecorder(b *testing.B) {
	r := NewRecorder(io.Discard, Clock(Now()))
	b.ReportAllocs()
	for b.Loop() {
		r.OK(Answer{Op: 1, Phase: Settled, Member: "m1", Epoch: 4096, Read: &Proof{Server: "s1", Index: 17}})
	}
	_ = r.Close()
}

func BenchmarkRecorder_Invoke(b *testing.B) {
	f, err := os.Create(filepath.Join(b.TempDir(), "history.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	r := NewRecorder(f, Clock(Now()))
	b.ReportAllocs()
	for b.Loop() {
		r.Invoke(Call{Client: "c1", F: Lookup, Identity: "cart/1"})
	}
	_ = r.Close()
}
