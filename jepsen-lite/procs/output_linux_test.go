package procs

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// outputParent has the test's process be one that runs a command, and says nothing more.
const outputParent = "PROCS_TEST_OUTPUT_PARENT"

func TestMain(m *testing.M) {
	if pipe := os.Getenv(outputParent); pipe != "" {
		_, err := CombinedOutput(exec.Command("/bin/sh", "-c", "echo $$ > "+pipe+"; exec sleep 600"))
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A command ends with whoever runs it, also when that one is killed.
func TestCombinedOutput_ItsProcessIsKilled_TheCommandEnds(t *testing.T) {
	pipe := t.TempDir() + "/pipe"
	if out, err := exec.Command("mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), outputParent+"="+pipe)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(pipe)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(f).ReadString('\n')
	pid, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		t.Fatalf("%q: %v, %v", line, err, bad)
	}
	if state(t, pid) == "gone" {
		t.Fatal("the command does not run")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	await(t, pid, "gone")
}

func TestCombinedOutput_SaysWhatTheCommandSays(t *testing.T) {
	out, err := CombinedOutput(exec.Command("/bin/sh", "-c", "echo out; echo err >&2; exit 3"))
	if err == nil || err.Error() != "exit status 3" || string(out) != "out\nerr\n" {
		t.Errorf("%q, %v", out, err)
	}
}
