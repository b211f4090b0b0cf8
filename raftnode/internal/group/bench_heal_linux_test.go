package group_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/raftnode/internal/port"
)

// BenchmarkHeal cuts a follower off from the others for as long as the name says, and reports how long it takes, from the
// moment at which packets pass again, until it has everything that was committed meanwhile. The three servers are in one
// process and in three network namespaces that a bridge connects, so packets are lost as they are when a cable is pulled.
// That needs root, and ip of iproute2.
func BenchmarkHeal(b *testing.B) {
	for _, x := range []struct {
		outage time.Duration
		rounds int
	}{{time.Second, 12}, {5 * time.Second, 8}, {15 * time.Second, 4}} {
		b.Run("outage="+x.outage.String(), func(b *testing.B) {
			lan := newLAN(b, 3)
			c := newCluster3(b, []port.Network{lan.hosts[0], lan.hosts[1], lan.hosts[2]})
			defer c.close()
			c.joinMembers(b)
			var took []time.Duration
			for round := range x.rounds {
				l := c.leader(b, nil)
				victim := (round + 1) % 3
				if c.servers[victim] == l {
					victim = (victim + 1) % 3
				}
				lan.plug(victim, false)
				// TCP sends again what was lost at times that double: where between two of them the outage ends is luck.
				outage := x.outage + rand.N(time.Second)
				time.Sleep(outage / 2)
				must(b, func() error {
					_, err := c.leader(b, nil).group.Propose(context.Background(), memberJoin(0))
					return err
				})
				time.Sleep(outage / 2)
				want := c.leader(b, nil).group.View().Index
				begin := time.Now()
				lan.plug(victim, true)
				must(b, func() error {
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					_, err := c.servers[victim].group.AwaitIndex(ctx, want)
					return err
				})
				took = append(took, time.Since(begin))
			}
			reportPercentile(b, took, 50, time.Millisecond, "ms")
			reportPercentile(b, took, 100, time.Millisecond, "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// lan is a bridge with hosts on it, each a network namespace.
type lan struct {
	b      *testing.B
	bridge int // the namespace that has the bridge
	hosts  []*lanHost
}

type lanHost struct {
	namespace int
	ip        string
}

func newLAN(b *testing.B, n int) *lan {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		b.Skip("there is no ip of iproute2")
	}
	l := &lan{b: b, bridge: newNamespace(b)}
	l.ip(l.bridge, "link", "add", "name", "bridge0", "type", "bridge")
	l.ip(l.bridge, "link", "set", "bridge0", "up")
	for i := range n {
		h := &lanHost{newNamespace(b), fmt.Sprintf("10.99.0.%d", i+1)}
		l.hosts = append(l.hosts, h)
		l.ip(l.bridge, "link", "add", "name", l.cable(i), "type", "veth", "peer", "name", "eth0")
		l.ip(l.bridge, "link", "set", "eth0", "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), h.namespace))
		l.ip(l.bridge, "link", "set", l.cable(i), "up")
		l.ip(h.namespace, "link", "set", "eth0", "address", hardware(i))
		l.ip(h.namespace, "address", "add", h.ip+"/24", "dev", "eth0")
		l.ip(h.namespace, "link", "set", "eth0", "up")
		l.plug(i, true)
	}
	// Hosts know each other's hardware address, as a router would: to ask for it again takes the kernel up to a second.
	for i, h := range l.hosts {
		for j, o := range l.hosts {
			if i != j {
				l.ip(h.namespace, "neighbour", "replace", o.ip, "lladdr", hardware(j), "dev", "eth0", "nud", "permanent")
			}
		}
	}
	return l
}

func hardware(host int) string { return fmt.Sprintf("02:00:00:00:00:%02x", host+1) }

func (l *lan) cable(host int) string { return fmt.Sprint("cable", host) }

// plug connects a host to the bridge, or takes it off: its own end of the cable notices nothing.
func (l *lan) plug(host int, in bool) {
	if in {
		l.ip(l.bridge, "link", "set", l.cable(host), "master", "bridge0")
	} else {
		l.ip(l.bridge, "link", "set", l.cable(host), "nomaster")
	}
}

func (l *lan) ip(namespace int, args ...string) {
	l.b.Helper()
	err := within(namespace, func() error {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %v: %w: %s", args, err, out)
		}
		return nil
	})
	if err != nil {
		l.b.Fatal(err)
	}
}

// newNamespace makes a network namespace, which lasts until the benchmark ends.
func newNamespace(b *testing.B) int {
	b.Helper()
	fd := -1
	err := apart(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		return err
	})
	if err != nil {
		b.Skip("there are no network namespaces: ", err)
	}
	b.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// within runs f in a network namespace; what it opens belongs there.
func within(namespace int, f func() error) error {
	return apart(func() error {
		if err := unix.Setns(namespace, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return f()
	})
}

// apart runs f on a thread that ends with it.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// Listen listens in the host's namespace.
func (h *lanHost) Listen(address string) (l net.Listener, err error) {
	err = within(h.namespace, func() error {
		l, err = net.Listen("tcp4", address)
		return err
	})
	return l, err
}

// Dial connects from the host's namespace.
func (h *lanHost) Dial(ctx context.Context, address string) (c net.Conn, err error) {
	err = within(h.namespace, func() error {
		c, err = port.TCP{}.Dial(ctx, address)
		return err
	})
	return c, err
}

// Address is where others reach what listens.
func (h *lanHost) Address(listening net.Addr) string {
	return fmt.Sprintf("%s:%d", h.ip, listening.(*net.TCPAddr).Port)
}
