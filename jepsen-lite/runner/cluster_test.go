package runner

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
)

// What was told to end, and begins again at once, has not crashed, and how it ended is told.
func TestCluster_Launch_RightAfterStop_IsNoCrash(t *testing.T) {
	site := procs.OpenMachine()
	defer site.Close()
	var b bytes.Buffer
	rec := history.NewRecorder(&b, func() int64 { return 0 })
	k := &cluster{config: &Config{Note: t.Logf}, rec: rec}
	w := &worker{kind: "server", Process: &procs.Process{Config: procs.Config{
		Name: "s1", Args: []string{"sleep", "60"}, Log: filepath.Join(t.TempDir(), "stdout.log"), Site: site,
	}}}
	const rounds = 50
	for range rounds {
		if err := k.launch(w); err != nil {
			t.Fatal(err)
		}
		if err := stop([]*worker{w}); err != nil {
			t.Fatal(err)
		}
	}
	k.watchers.Wait()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), `"what":"exit","status":"signal: terminated"`); n != rounds || strings.Contains(b.String(), `"what":"crash"`) {
		t.Errorf("%d of %d lives ended as they were told to:\n%s", n, rounds, b.String())
	}
}

// A member that begins anew when each server that it was first told of has been replaced is told of those that there are.
func TestCluster_Launch_MemberAfterChanges_IsToldWhereServersAre(t *testing.T) {
	site := procs.OpenMachine()
	defer site.Close()
	rec := history.NewRecorder(io.Discard, func() int64 { return 0 })
	k := &cluster{config: &Config{Note: t.Logf}, rec: rec}
	log := filepath.Join(t.TempDir(), "stdout.log")
	w := &worker{kind: "member", Process: &procs.Process{Config: procs.Config{Name: "m1", Args: []string{"echo", "--servers", "first:1", "--kinds", "room"}, Log: log, Site: site}}}
	w.excuse()
	k.members = []*worker{w}
	for _, servers := range [][]string{{"a:1", "b:1"}, {"c:1"}} {
		k.mu.servers = nil
		for _, s := range servers {
			k.mu.servers = append(k.mu.servers, &server{grpc: s})
		}
		if err := k.launch(w); err != nil {
			t.Fatal(err)
		}
		<-w.Done()
	}
	k.watchers.Wait()
	if err := rec.Close(); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(log); string(said) != "--servers a:1,b:1 --kinds room\n--servers c:1 --kinds room\n" {
		t.Errorf("it is started with %q (%v)", said, err)
	}
}

// A process that has just been started cannot be told at once how its clock is to go.
func TestCluster_Clock_JustStarted(t *testing.T) {
	site := procs.OpenMachine()
	defer site.Close()
	dir := t.TempDir()
	k := &cluster{config: &Config{Scenario: Scenario{Faults: clocks}}, guarded: filepath.Join(dir, "resource")}
	k.members = []*worker{{kind: "member", Process: &procs.Process{Config: procs.Config{Name: "m1", Args: []string{"sleep", "60"}, Log: filepath.Join(dir, "stdout.log"), Site: site}}}}
	if err := k.members[0].Process.Start(); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		var line string
		l, err := net.Listen("unix", filepath.Join(dir, "m1.clock"))
		if err == nil {
			var conn net.Conn
			if conn, err = l.Accept(); err == nil {
				line, err = bufio.NewReader(conn).ReadString('\n')
				_, e := io.WriteString(conn, "\"\"\n")
				err = errors.Join(err, e, conn.Close())
			}
			err = errors.Join(err, l.Close())
		}
		told <- fmt.Sprint(line, err)
	})
	if err := k.Clock("m1", nemesis.ClockFault{RatePPM: 50_000}); err != nil {
		t.Fatal(err)
	}
	if got := <-told; got != "{\"RatePPM\":50000,\"Step\":0,\"Wall\":0}\n<nil>" {
		t.Errorf("it was told %s", got)
	}
}

// A clock that can't be set is no fault that was done, unless the process was stopped or killed meanwhile.
func TestCluster_Clock_ProcessDoesNotAnswer_IsAnError(t *testing.T) {
	for name, stops := range map[string]bool{"it runs": false, "it is stopped meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // as long as a process may take to answer
			site := procs.OpenMachine()
			defer site.Close()
			dir, err := shortFolder(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			m := procs.Process{Config: procs.Config{Name: "m1", Args: []string{"sleep", "60"}, Log: filepath.Join(dir, "stdout.log"), Site: site}}
			k := &cluster{config: &Config{Scenario: Scenario{Faults: []nemesis.Fault{{Kind: nemesis.Drift}}}}, guarded: filepath.Join(dir, "guarded"), members: []*worker{{kind: "member", Process: &m}}}
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			l, err := net.Listen("unix", filepath.Join(dir, "m1.clock"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			if stops {
				time.AfterFunc(100*time.Millisecond, func() {
					if err := errors.Join(m.Pause(), m.Resume()); err != nil {
						t.Error(err)
					}
				})
			}
			if err := k.Clock("m1", nemesis.ClockFault{RatePPM: 50_000}); errors.Is(err, os.ErrDeadlineExceeded) == stops {
				t.Errorf("its clock was not set: %v", err)
			}
		})
	}
}

// A server that is being taken out may end by itself, also when another fault has just started it anew.
func TestCluster_Launch_ServerIsTakenOutMeanwhile_IsNoCrash(t *testing.T) {
	site := procs.OpenMachine()
	defer site.Close()
	lives := func(leaving ...bool) string {
		var b bytes.Buffer
		rec := history.NewRecorder(&b, func() int64 { return 0 })
		k := &cluster{config: &Config{Note: t.Logf}, rec: rec}
		w := &worker{kind: "server", Process: &procs.Process{Config: procs.Config{Name: "s1", Args: []string{"false"}, Log: filepath.Join(t.TempDir(), "stdout.log"), Site: site}}}
		for _, yes := range leaving {
			w.leaves(yes)
		}
		if err := k.launch(w); err != nil {
			t.Fatal(err)
		}
		k.watchers.Wait()
		if err := rec.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if said := lives(true); strings.Contains(said, `"what":"crash"`) || !strings.Contains(said, `"what":"exit"`) {
		t.Errorf("taken out: %s", said)
	}
	for _, stays := range [][]bool{nil, {true, false}} {
		if said := lives(stays...); !strings.Contains(said, `"what":"crash"`) {
			t.Errorf("it stays: %s", said)
		}
	}
}
