package switchnet

import (
	"errors"
	"fmt"
	"io"
)

// Network is hosts, joined by a switch. It is safe for concurrent use.
type Network struct {
	hosts  []*Host
	number map[string]int
	fabric *fabric
}

// Open makes a network of hosts with these names, joined by perfect wires; seed decides what is lost and delayed later.
// Errors are an UnavailableError where the machine has not what it takes, and names that are too many or not different.
func Open(names []string, seed uint64) (*Network, error) {
	if len(names) == 0 || len(names) > HostsMax {
		return nil, fmt.Errorf("a network has 1 to %d hosts, not %d", HostsMax, len(names))
	}
	n := &Network{number: map[string]int{}}
	var ports []io.ReadWriteCloser
	for i, name := range names {
		if _, ok := n.number[name]; ok {
			n.closeHosts()
			return nil, fmt.Errorf("two hosts are called %q", name)
		}
		h, err := openHost(name, i, len(names))
		if err != nil {
			n.closeHosts()
			return nil, err
		}
		n.hosts, n.number[name] = append(n.hosts, h), i
		ports = append(ports, h.device)
	}
	n.fabric = newFabric(ports, seed)
	return n, nil
}

// Host is the host of a name; nil when there is none.
func (n *Network) Host(name string) *Host {
	i, ok := n.number[name]
	if !ok {
		return nil
	}
	return n.hosts[i]
}

// Change changes links: do is called for every pair of different hosts, in both directions, with what their link is, and
// all changes take effect at one moment. A link that is not valid is an error, and nothing is changed. do must not wait.
func (n *Network) Change(do func(from, to string, l *Link)) error {
	var errs []error
	change := map[[2]int]Link{}
	n.fabric.change(func(i, j int, l *Link) {
		next := *l
		do(n.hosts[i].name, n.hosts[j].name, &next)
		if err := next.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("link from %s to %s: %w", n.hosts[i].name, n.hosts[j].name, err))
		}
		change[[2]int{i, j}] = next
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	n.fabric.change(func(i, j int, l *Link) { *l = change[[2]int{i, j}] })
	return nil
}

// Counts are what became of the frames so far.
func (n *Network) Counts() Counts { return n.fabric.counts() }

// Close removes the network. Processes that were started on its hosts with the signal of a parent's death end.
func (n *Network) Close() error {
	err := n.fabric.close()
	n.closeHosts()
	return err
}

func (n *Network) closeHosts() {
	for _, h := range n.hosts {
		h.close()
	}
}
