package switchnet

import (
	"cmp"
	"errors"
	"fmt"
	"io"
)

// Network is hosts, joined by a switch. It is safe for concurrent use.
type Network struct {
	hosts  []*Host
	number map[string]int
	medium medium
}

// medium is what joins the hosts.
type medium interface {
	// check says what the medium cannot make of a link.
	check(l Link) error
	// each gives all links between so many hosts to f, and set changes all of them at one moment.
	each(hosts int, f func(from, to int, l Link))
	set(links map[[2]int]Link) error
	counts() Counts
	close() error
}

// Open makes a network of hosts with these names, joined by perfect wires; seed decides what is lost and delayed later. Without
// a kind it has TAP devices, or veth pairs where there are none.
// Errors are an UnavailableError where the machine has not what it takes, and names that are too many or not different.
func Open(kind Kind, names []string, seed uint64) (*Network, error) {
	if len(names) == 0 || len(names) > HostsMax {
		return nil, fmt.Errorf("a network has 1 to %d hosts, not %d", HostsMax, len(names))
	}
	number := map[string]int{}
	for i, name := range names {
		if _, ok := number[name]; ok {
			return nil, fmt.Errorf("two hosts are called %q", name)
		}
		number[name] = i
	}
	switch kind {
	case TAP:
		return open(names, number, tapDevices(seed))
	case Veth:
		return open(names, number, vethPairs())
	case "":
	default:
		return nil, fmt.Errorf("there is no network of the kind %.40q: %s and %s are", kind, TAP, Veth)
	}
	n, err := open(names, number, tapDevices(seed))
	var missing *UnavailableError
	if !errors.As(err, &missing) || !missing.device {
		return n, err
	}
	n, second := open(names, number, vethPairs())
	if second != nil {
		return nil, errors.Join(err, second)
	}
	return n, nil
}

// wiring is how hosts are joined: what each gets as it is opened, and what is done when all are.
type wiring struct {
	enter func(h *Host, i, hosts int) error
	join  func(hosts []*Host) (medium, error)
}

func tapDevices(seed uint64) wiring {
	return wiring{
		enter: func(h *Host, i, hosts int) (err error) {
			if h.device, err = openDevice(); err != nil {
				return err
			}
			return configure(i, hosts)
		},
		join: func(hosts []*Host) (medium, error) {
			var ports []io.ReadWriteCloser
			for _, h := range hosts {
				ports = append(ports, h.device)
			}
			return newFabric(ports, seed), nil
		},
	}
}

func vethPairs() wiring {
	return wiring{
		enter: func(*Host, int, int) error { return nil },
		join:  func(hosts []*Host) (medium, error) { return openBridge(hosts) },
	}
}

func open(names []string, number map[string]int, w wiring) (*Network, error) {
	n := &Network{number: number}
	for i, name := range names {
		h, err := openHost(name, i, func(h *Host) error { return w.enter(h, i, len(names)) })
		if err != nil {
			n.closeHosts()
			return nil, err
		}
		n.hosts = append(n.hosts, h)
	}
	var err error
	if n.medium, err = w.join(n.hosts); err != nil {
		n.closeHosts()
		return nil, err
	}
	return n, nil
}

// Shapes says whether links can also be slow, and lose, double and delay frames, as TAP devices allow. Otherwise they can be
// cut, and Change refuses all else with a LinkError.
func (n *Network) Shapes() bool { return n.medium.check(Link{Delay: 1}) == nil }

// Host is the host of a name; nil when there is none.
func (n *Network) Host(name string) *Host {
	i, ok := n.number[name]
	if !ok {
		return nil
	}
	return n.hosts[i]
}

// Change changes links: do is called for every pair of different hosts, in both directions, with what their link is, and
// all changes take effect at one moment. A link that is not valid, or that the network cannot make (LinkError), is an error, and
// nothing is changed. do must not wait.
func (n *Network) Change(do func(from, to string, l *Link)) error {
	var errs []error
	change := map[[2]int]Link{}
	n.medium.each(len(n.hosts), func(i, j int, l Link) {
		do(n.hosts[i].name, n.hosts[j].name, &l)
		if err := cmp.Or(l.Validate(), n.medium.check(l)); err != nil {
			errs = append(errs, fmt.Errorf("link from %s to %s: %w", n.hosts[i].name, n.hosts[j].name, err))
		}
		change[[2]int{i, j}] = l
	})
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return n.medium.set(change)
}

// Counts are what became of the frames so far; zero with veth pairs.
func (n *Network) Counts() Counts { return n.medium.counts() }

// Close removes the network. Processes that were started on its hosts with the signal of a parent's death end.
func (n *Network) Close() error {
	err := n.medium.close()
	n.closeHosts()
	return err
}

func (n *Network) closeHosts() {
	for _, h := range n.hosts {
		h.close()
	}
}
