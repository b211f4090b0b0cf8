package switchnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain runs the tests, or is a process that a test starts and kills.
func TestMain(m *testing.M) {
	if os.Getenv("SWITCHNET_TEST_OWNER") != "" {
		own()
		return
	}
	os.Exit(m.Run())
}

// own makes a network, starts a process in it, stops that one, says its number, and waits to be killed.
func own() {
	n, err := Open([]string{"a", "b"}, 1)
	if err != nil {
		panic(err)
	}
	sleep := exec.Command("sleep", "600")
	sleep.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := n.Host("b").Do(sleep.Start); err != nil {
		panic(err)
	}
	if err := sleep.Process.Signal(syscall.SIGSTOP); err != nil {
		panic(err)
	}
	fmt.Println(sleep.Process.Pid)
	select {}
}

// network opens a network for a test. Without the rights for that the test fails, and says so.
func network(t *testing.T, names ...string) *Network {
	t.Helper()
	n, err := Open(names, 1)
	if err != nil {
		t.Fatalf("this test makes network namespaces: %v", err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// echo listens on a host and answers with what it gets.
func echo(t *testing.T, h *Host) string {
	t.Helper()
	var l net.Listener
	err := h.Do(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(h.Address(), "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// ping dials from a host, and returns how long a byte takes there and back.
func ping(t *testing.T, h *Host, address string, patience time.Duration) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := h.Dial(ctx, "tcp", address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	begin := time.Now()
	if _, err := c.Write([]byte("x")); err != nil {
		return 0, err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return time.Since(begin), err
}

func TestNetwork_Hosts_ReachEachOther(t *testing.T) {
	n := network(t, "a", "b", "c")
	address := echo(t, n.Host("b"))
	for _, from := range []string{"a", "b", "c"} {
		if took, err := ping(t, n.Host(from), address, 5*time.Second); err != nil {
			t.Errorf("from %s: %v", from, err)
		} else {
			t.Logf("from %s: %v", from, took)
		}
	}
	if n.Host("d") != nil {
		t.Error("there is a host that nobody asked for")
	}
}

func TestNetwork_Cut_IsSilentAndHeals(t *testing.T) {
	n := network(t, "a", "b")
	address := echo(t, n.Host("b"))
	set := func(cut bool) {
		if err := n.Change(func(from, to string, l *Link) { l.Cut = cut && from == "a" && to == "b" }); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	var late net.Error
	if _, err := ping(t, n.Host("a"), address, 300*time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("over a cut: %v, want a timeout", err)
	}
	set(false)
	if _, err := ping(t, n.Host("a"), address, 5*time.Second); err != nil {
		t.Error(err)
	}
}

func TestNetwork_Delay_IsMeasured(t *testing.T) {
	n := network(t, "a", "b")
	address := echo(t, n.Host("b"))
	if err := n.Change(func(_, _ string, l *Link) { l.Delay = 20 * time.Millisecond }); err != nil {
		t.Fatal(err)
	}
	if took, err := ping(t, n.Host("a"), address, 5*time.Second); err != nil || took < 40*time.Millisecond {
		t.Errorf("there and back took %v (%v), want at least 40ms", took, err)
	}
	err := n.Change(func(_, _ string, l *Link) { l.Delay = -1 })
	if err == nil || !strings.Contains(err.Error(), "Delay") {
		t.Errorf("a link that is not valid: %v", err)
	}
}

func TestNetwork_OwnerKilled_NothingIsLeft(t *testing.T) {
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), "SWITCHNET_TEST_OWNER=1")
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(line, &pid); err != nil {
		t.Fatal(err)
	}
	namespace, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		t.Fatal(err)
	}
	if own, err := os.Readlink("/proc/self/ns/net"); err != nil || own == namespace {
		t.Fatalf("the process is in the namespace of the machine (%v)", err)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	for deadline := time.Now().Add(5 * time.Second); ; {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(b), ") Z ") {
			break // nobody is left in it
		}
		if time.Now().After(deadline) {
			t.Fatalf("process %d is left in %s: %s", pid, namespace, b)
		}
	}
}

func TestOpen_NamesThatAreWrong_AreRefused(t *testing.T) {
	for _, names := range [][]string{nil, {"a", "a"}, make([]string, HostsMax+1)} {
		if n, err := Open(names, 1); err == nil {
			t.Errorf("%d hosts: no error", len(names))
			_ = n.Close()
		}
	}
}
