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
	switch os.Getenv("SWITCHNET_TEST_OWNER") {
	case "own":
		own()
	case "without":
		without()
	default:
		os.Exit(m.Run())
	}
}

// without takes the TAP device from this process, which has the files of the machine to itself, opens a network, and says what it
// can do.
func without() {
	err := errors.Join(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), syscall.Mount("/dev/null", "/dev/net/tun", "", syscall.MS_BIND, ""))
	if err != nil {
		panic(err)
	}
	_, err = Open(TAP, []string{"a", "b"}, 1)
	fmt.Println(err)
	n, err := Open("", []string{"a", "b"}, 1)
	if err != nil {
		panic(err)
	}
	fmt.Println("shapes", n.Shapes())
	if err := n.Close(); err != nil {
		panic(err)
	}
}

// own makes a network, starts a process in it, stops that one, says its number, and waits to be killed.
func own() {
	n, err := Open("", []string{"a", "b"}, 1)
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
func network(t *testing.T, kind Kind, names ...string) *Network {
	t.Helper()
	n, err := Open(kind, names, 1)
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

var kinds = []Kind{TAP, Veth}

func TestNetwork_Hosts_ReachEachOther(t *testing.T) {
	for _, kind := range kinds {
		n := network(t, kind, "a", "b", "c")
		address := echo(t, n.Host("b"))
		for _, from := range []string{"a", "b", "c"} {
			if took, err := ping(t, n.Host(from), address, 5*time.Second); err != nil {
				t.Errorf("%s, from %s: %v", kind, from, err)
			} else {
				t.Logf("%s, from %s: %v", kind, from, took)
			}
		}
		if n.Host("d") != nil {
			t.Error("there is a host that nobody asked for")
		}
	}
}

// cut cuts the way from a to b, and no other.
func cut(t *testing.T, n *Network, cut bool) {
	t.Helper()
	if err := n.Change(func(from, to string, l *Link) { l.Cut = cut && from == "a" && to == "b" }); err != nil {
		t.Fatal(err)
	}
}

func TestNetwork_Cut_IsSilentAndHeals(t *testing.T) {
	for _, kind := range kinds {
		n := network(t, kind, "a", "b")
		address := echo(t, n.Host("b"))
		cut(t, n, true)
		var late net.Error
		if _, err := ping(t, n.Host("a"), address, 300*time.Millisecond); !errors.As(err, &late) || !late.Timeout() {
			t.Errorf("%s: over a cut: %v, want a timeout", kind, err)
		}
		cut(t, n, false)
		if _, err := ping(t, n.Host("a"), address, 5*time.Second); err != nil {
			t.Errorf("%s: healed: %v", kind, err)
		}
	}
}

// datagrams are what one host may send to another: a socket on each.
func datagrams(t *testing.T, n *Network, name string) *net.UDPConn {
	t.Helper()
	h := n.Host(name)
	var c *net.UDPConn
	err := h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(h.Address())})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// arrives says whether a datagram gets from one socket to another.
func arrives(t *testing.T, from, to *net.UDPConn, patience time.Duration) bool {
	t.Helper()
	if _, err := from.WriteTo([]byte("x"), to.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := to.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	_, _, err := to.ReadFrom(make([]byte, 8))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return err == nil
}

func TestNetwork_CutOneWay_TheOtherCarries(t *testing.T) {
	for _, kind := range kinds {
		n := network(t, kind, "a", "b", "c")
		a, b, c := datagrams(t, n, "a"), datagrams(t, n, "b"), datagrams(t, n, "c")
		for _, so := range []bool{false, true, false, true} {
			cut(t, n, so)
			if so && arrives(t, a, b, 100*time.Millisecond) {
				t.Errorf("%s: a datagram got over a cut", kind)
			}
			if !so && !arrives(t, a, b, 5*time.Second) {
				t.Errorf("%s: nothing gets over a link that is well", kind)
			}
			if !arrives(t, b, a, 5*time.Second) || !arrives(t, a, c, 5*time.Second) || !arrives(t, c, b, 5*time.Second) {
				t.Errorf("%s: with that cut %t, another way carries nothing", kind, so)
			}
		}
	}
}

// All ways between the most hosts that there may be are cut, and carry again.
func TestNetwork_EverythingCut_Heals(t *testing.T) {
	names := make([]string, HostsMax)
	for i := range names {
		names[i] = fmt.Sprint("h", i)
	}
	n := network(t, Veth, names...)
	first, last := datagrams(t, n, names[0]), datagrams(t, n, names[HostsMax-1])
	for _, so := range []bool{true, false} {
		begin := time.Now()
		if err := n.Change(func(_, _ string, l *Link) { l.Cut = so }); err != nil {
			t.Fatal(err)
		}
		t.Logf("%d ways took %v", HostsMax*(HostsMax-1), time.Since(begin))
		if arrives(t, first, last, 200*time.Millisecond) == so || arrives(t, last, first, 200*time.Millisecond) == so {
			t.Errorf("with everything cut %t, that is not what a datagram sees", so)
		}
	}
}

func TestNetwork_Veth_RefusesAllButCuts(t *testing.T) {
	n := network(t, Veth, "a", "b")
	if n.Shapes() {
		t.Error("it says that it can slow links")
	}
	for _, l := range []Link{{Delay: time.Millisecond}, {Loss: 1}, {Cut: true, Duplicate: 1}, {BytesPerSecond: RateMin}} {
		err := n.Change(func(_, _ string, x *Link) { *x = l })
		var lacks *LinkError
		if !errors.As(err, &lacks) || !strings.Contains(err.Error(), "/dev/net/tun") {
			t.Errorf("%+v: %v, want a LinkError", l, err)
		}
	}
	if _, err := ping(t, n.Host("a"), echo(t, n.Host("b")), 5*time.Second); err != nil {
		t.Errorf("a change that was refused: %v", err)
	}
	if !network(t, TAP, "a", "b").Shapes() {
		t.Error("TAP devices cannot slow links")
	}
}

func TestOpen_NoTAPDevice_VethPairsTakeItsPlace(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "SWITCHNET_TEST_OWNER=without")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if refusal, rest, _ := strings.Cut(string(out), "\n"); !strings.Contains(refusal, "needs a TAP device") || rest != "shapes false\n" {
		t.Errorf("it says %q", out)
	}
}

func TestNetwork_Delay_IsMeasured(t *testing.T) {
	n := network(t, TAP, "a", "b")
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
	owner.Env = append(os.Environ(), "SWITCHNET_TEST_OWNER=own")
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
		if n, err := Open("", names, 1); err == nil {
			t.Errorf("%d hosts: no error", len(names))
			_ = n.Close()
		}
	}
	if _, err := Open("string", []string{"a"}, 1); err == nil || !strings.Contains(err.Error(), "veth") {
		t.Errorf("a kind that there is not: %v", err)
	}
}
