package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/internal/freeport"
)

// scriptCommands are the commands of the scripts.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	"berth":   berthScript,
	"cluster": clusterScript,
	"get":     getScript,
	"listen":  listenScript,
	"port":    portScript,
	"signal":  signalScript,
	"is":      isScript,
	"until":   untilScript,
	"damage":  damageScript,
	"gone":    goneScript,
	"history": historyScript,
}

// scriptPatience bounds the commands that wait for something.
const scriptPatience = 30 * time.Second

// wantArgs wants as many of them.
func wantArgs(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// berthScript is `berth STATUS ARGS…`: runs berth, and wants that exit status.
func berthScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "berth STATUS ARGS…")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec("berth", args[1:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// clusterScript is `cluster`: sets $GRPC1, $HTTP1, $RAFT1, $PID1, $COMMAND1 … $HOSTPID1 … of the cluster of `berth dev`.
func clusterScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 0, "cluster")
	s, err := localcluster.Load(filepath.Join(ts.Getenv("XDG_DATA_HOME"), "berth", "dev"))
	ts.Check(err)
	for i, x := range s.Servers {
		n := strconv.Itoa(i + 1)
		ts.Setenv("GRPC"+n, x.GRPC)
		ts.Setenv("HTTP"+n, x.HTTP)
		ts.Setenv("RAFT"+n, x.Raft)
		ts.Setenv("PID"+n, strconv.Itoa(x.PID))
		ts.Setenv("COMMAND"+n, localcluster.Command(x.Args))
	}
	for i, x := range s.Hosts {
		ts.Setenv("HOSTPID"+strconv.Itoa(i+1), strconv.Itoa(x.PID))
	}
}

// getScript is `get STATUS URL`: asks an HTTP server until it answers with the status, and prints the answer. With "!" it
// asks once, and wants another status.
func getScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, false, args, 2, "get STATUS URL")
	for deadline := time.Now().Add(scriptPatience); ; time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(args[1])
		ts.Check(err)
		b, err := io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		switch got := strconv.Itoa(resp.StatusCode) == args[0]; {
		case neg && got || !neg && !got && time.Now().After(deadline):
			ts.Fatalf("status %d\n%s", resp.StatusCode, b)
		case neg || got:
			_, err = ts.Stdout().Write(b)
			ts.Check(err)
			return
		}
	}
}

// portsPerScript is how many ports in a row scripts get: as many as a cluster of `berth dev` takes.
const portsPerScript = 30

// listenScript is `listen VARIABLE`: takes a port until the end of the script.
func listenScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "listen VARIABLE")
	portScript(ts, neg, args)
	l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv(args[0]))
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
}

// portScript is `port VARIABLE…`: finds ports that nobody uses, each with others behind it, until the end of the script.
func portScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "port VARIABLE…")
	for _, a := range args {
		p, err := freeport.Take(portsPerScript)
		ts.Check(err)
		ts.Defer(p.Close)
		ts.Setenv(a, strconv.Itoa(p.First))
	}
}

// signalScript is `signal NAME PID|TEXT`: to the process of that number, or to the one whose command line has the text,
// its words separated by single spaces; a port makes it that of this script. STOP waits until the process has stopped.
func signalScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "signal NAME PID|TEXT")
	number, ok := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}[args[0]]
	if !ok {
		ts.Fatalf("unknown signal %s", args[0])
	}
	pid, err := strconv.Atoi(args[1])
	if err != nil {
		pid = findProcess(ts, args[1])
	}
	ts.Check(syscall.Kill(pid, number))
	for deadline := time.Now().Add(scriptPatience); number == syscall.SIGSTOP && !stopped(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("process %d has not stopped after %v", pid, scriptPatience)
		}
	}
}

// stopped says whether no thread of a process runs any more: on a busy machine a signal takes its time.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return true
}

func findProcess(ts *testscript.TestScript, text string) int {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, path := range lines {
		line, err := os.ReadFile(path)
		if err != nil || !strings.Contains(strings.ReplaceAll(string(line), "\x00", " "), text) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		ts.Check(err)
		return pid
	}
	ts.Fatalf("no process has %q in its command line", text)
	return 0
}

// isScript is `is VARIABLE PATH VALUE`: the JSON of the last standard output has a value at a path (a.0.b). With VARIABLE
// other than "-" it is put there; with "?" as VALUE anything will do.
func isScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "is VARIABLE|- PATH VALUE|?")
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for _, p := range strings.Split(args[1], ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[p]
		case []any:
			i, err := strconv.Atoi(p)
			ts.Check(err)
			if i >= len(x) {
				ts.Fatalf("%s: there are %d", args[1], len(x))
			}
			v = x[i]
		}
	}
	got := fmt.Sprint(v)
	if v == nil || args[2] != "?" && got != args[2] {
		ts.Fatalf("%s is %v, want %s", args[1], v, args[2])
	}
	if args[0] != "-" {
		ts.Setenv(args[0], got)
	}
}

// untilScript is `until STATUS REGEXP ARGS…`: runs berth until it has that exit status, and its standard output matches.
func untilScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 3, "until STATUS REGEXP ARGS…")
	want, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	for deadline := time.Now().Add(scriptPatience); ; time.Sleep(50 * time.Millisecond) {
		status := 0
		err := ts.Exec("berth", args[2:]...)
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			status = exit.ExitCode()
		}
		if strconv.Itoa(status) == args[0] && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("not so after %v", scriptPatience)
		}
	}
}

// damageScript is `damage truncate|flip FILE`: takes the last third of a file away, or turns a bit in its middle around.
func damageScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 2, "damage truncate|flip FILE")
	path := ts.MkAbs(args[1])
	b, err := os.ReadFile(path)
	ts.Check(err)
	if args[0] == "truncate" {
		b = b[:len(b)*2/3]
	} else {
		b[len(b)/2] ^= 0x10
	}
	ts.Check(os.WriteFile(path, b, 0o600))
}

// goneScript is `gone PID…`: waits until processes have ended.
func goneScript(ts *testscript.TestScript, neg bool, args []string) {
	wantArgs(ts, neg, args, 1, "gone PID…")
	for _, a := range args {
		pid, err := strconv.Atoi(a)
		ts.Check(err)
		for deadline := time.Now().Add(scriptPatience); runs(pid); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("process %d still runs after %v", pid, scriptPatience)
			}
		}
	}
}

// runs says whether a process does; one that nobody has waited for does not.
func runs(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
