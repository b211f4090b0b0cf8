package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/seed13d31b7f/berth/internal/freeport"
	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
)

// hosts is where the processes of a run are: on this machine, or on hosts of their own.
type hosts struct {
	machine *procs.Machine     // in tier 2
	network *switchnet.Network // in tier 3
	ports   *freeport.Ports    // in tier 2
	spaces  map[string]string  // the namespaces, in the kernel's words, and whose they are

	mu      sync.Mutex
	changes []*change // what makes links worse, the oldest first
}

// change makes links worse until it is taken back.
type change struct {
	do func(from, to string, l *switchnet.Link)
}

// Ports of a server: in tier 3 the same on every host, in tier 2 these after the first one.
const (
	grpcPort, raftPort, httpPort = 7420, 7421, 7422
	portsEach                    = 3
)

// openHosts makes a host for each name that a run needs, whose first so many are servers.
func openHosts(c *Config, names []string, servers int) (*hosts, error) {
	h := &hosts{}
	var err error
	if c.Tier == 3 {
		if h.network, err = switchnet.Open(c.Network, names, c.Seed); err != nil {
			return nil, &UnavailableError{err}
		}
		if c.Scenario.shapes() && !h.network.Shapes() {
			err := fmt.Errorf("%s needs links that lose, delay, double and slow frames, and a network of veth pairs can but cut them: it needs /dev/net/tun (modprobe tun)", c.Scenario.Name)
			return nil, errors.Join(&UnavailableError{err}, h.network.Close())
		}
		return h, h.noteNamespaces(names)
	}
	if h.ports, err = freeport.Take(portsEach * servers); err != nil {
		return nil, &UnavailableError{err}
	}
	h.machine = procs.OpenMachine()
	return h, nil
}

// site is where the processes of a name run.
func (h *hosts) site(name string) procs.Site {
	if h.network != nil {
		return h.network.Host(name)
	}
	return h.machine
}

// dial connects from the host of a name.
func (h *hosts) dial(name string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return h.site(name).Dial
}

// addresses are those of server number i on its host.
func (h *hosts) addresses(name string, i int) (grpc, raft, http string) {
	ports := [portsEach]int{grpcPort, raftPort, httpPort}
	if h.network == nil {
		for k := range ports {
			ports[k] = h.ports.First + portsEach*i + k
		}
	}
	at := func(port int) string { return net.JoinHostPort(h.site(name).Address(), strconv.Itoa(port)) }
	return at(ports[0]), at(ports[1]), at(ports[2])
}

// Degrade makes links worse until undo is called.
func (h *hosts) Degrade(do func(from, to string, l *switchnet.Link)) (undo func() error, err error) {
	if h.network == nil {
		return func() error { return nil }, errors.New("the links of this machine cannot be changed")
	}
	c := &change{do}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, c)
	return func() error { return h.undo(c) }, h.linkLocked()
}

func (h *hosts) undo(c *change) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, x := range h.changes {
		if x == c {
			h.changes = append(h.changes[:i], h.changes[i+1:]...)
			return h.linkLocked()
		}
	}
	return nil
}

// linkLocked gives the links what all changes make of them.
func (h *hosts) linkLocked() error {
	return h.network.Change(func(from, to string, l *switchnet.Link) {
		*l = switchnet.Link{}
		for _, c := range h.changes {
			c.do(from, to, l)
		}
	})
}

// mend takes all changes back.
func (h *hosts) mend() error {
	if h.network == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = nil
	return h.linkLocked()
}

// close ends what still runs on the hosts, and removes them.
func (h *hosts) close() error {
	if h.network != nil {
		return h.network.Close()
	}
	h.machine.Close()
	h.ports.Close()
	return nil
}

// noteNamespaces notes how the kernel calls the namespaces of the hosts.
func (h *hosts) noteNamespaces(names []string) error {
	h.spaces = map[string]string{}
	for _, name := range names {
		err := h.network.Host(name).Do(func() error {
			space, err := os.Readlink("/proc/thread-self/ns/net")
			h.spaces[space] = name
			return err
		})
		if err != nil {
			return errors.Join(err, h.network.Close())
		}
	}
	return nil
}

// left are the processes and threads that are in a namespace of the run.
func (h *hosts) left() []string {
	var list []string
	for _, pattern := range []string{"/proc/[0-9]*/ns/net", "/proc/self/task/*/ns/net"} {
		paths, _ := filepath.Glob(pattern) // the pattern is right
		for _, path := range paths {
			if space, err := os.Readlink(path); err == nil && h.spaces[space] != "" {
				list = append(list, fmt.Sprintf("the namespace of %s: %s", h.spaces[space], path))
			}
		}
	}
	return list
}

// hostNames are the names of a run.
func hostNames(servers, members, lockers, askers int) []string {
	var list []string
	for _, of := range []struct {
		prefix string
		count  int
	}{{"s", servers}, {"m", members}, {"l", lockers}, {"a", askers}} {
		for i := range of.count {
			list = append(list, fmt.Sprintf("%s%d", of.prefix, i+1))
		}
	}
	return append(list, nemesis.ClientsHost)
}
