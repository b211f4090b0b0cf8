package switchnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
)

// bridge is the switch between hosts without TAP devices: a bridge of the kernel in a namespace of its own, a pair of veth
// devices from it to each host, and a packet filter for what is cut.
type bridge struct {
	namespace *os.File // keeps the bridge
	route     *netlink
	filter    *filter

	mu    sync.Mutex
	links map[[2]int]Link
}

// bridgePort is the number of host i's device in the namespace of the bridge.
func bridgePort(host int) uint32 { return uint32(firstPort + host) }

const (
	firstPort  = 10 // behind what a namespace has from the beginning
	bridgePlug = firstPort + HostsMax
	hostPlug   = 2 // of a host's device in its namespace, behind the loopback device
	vethPeer   = 1 // VETH_INFO_PEER of linux/veth.h
)

// openBridge joins hosts that have no device yet.
func openBridge(hosts []*Host) (*bridge, error) {
	b := &bridge{links: map[[2]int]Link{}}
	opened := make(chan error)
	procs.OnThread(func() { opened <- b.open(hosts) }) // the thread, which is of another namespace, ends; what is open stays
	err := <-opened
	for i := 0; i < len(hosts) && err == nil; i++ {
		err = hosts[i].Do(func() error { return plugIn(i, len(hosts)) })
	}
	for i := 0; i < len(hosts) && err == nil; i++ {
		err = b.route.awaitCarrier(bridgePort(i))
	}
	if err != nil {
		_ = b.close()
		return nil, err
	}
	return b, nil
}

// open makes everything, in a namespace of the calling thread's own.
func (b *bridge) open(hosts []*Host) error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return &UnavailableError{Need: "a network namespace", Next: "run it as root, or choose tier 2", Err: err}
	}
	var err error
	if b.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return &UnavailableError{Need: "/proc", Next: "choose tier 2", Err: err}
	}
	if b.route, err = openNetlink(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("a socket to the kernel's network: %w", err)
	}
	if err := b.route.newBridge(); err != nil {
		return &UnavailableError{Need: "a bridge", Next: "load the module bridge (modprobe bridge), or choose tier 2", Err: err}
	}
	for i, h := range hosts {
		if err := b.route.newPair(i, h.namespace); err != nil {
			return &UnavailableError{Need: "a pair of veth devices", Next: "load the module veth (modprobe veth), or choose tier 2", Err: err}
		}
	}
	if b.filter, err = openFilter(); err != nil {
		return &UnavailableError{Need: "the packet filter nf_tables for bridges", Next: "load the module nf_tables (modprobe nf_tables), or choose tier 2", Err: err}
	}
	return nil
}

// plugIn has the device of the calling thread's host work, and waits until it does.
func plugIn(host, hosts int) error {
	if err := configure(host, hosts); err != nil {
		return err
	}
	n, err := openNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	return errors.Join(n.awaitCarrier(hostPlug), n.close())
}

const (
	// carrierTimeout is how long a device may take until it carries frames: the kernel sees to that on a thread of its own, in a
	// moment, or a second on a busy machine.
	carrierTimeout = 10 * time.Second
	// stateUp is IF_OPER_UP of linux/if.h.
	stateUp = 6
)

// awaitCarrier waits until a device carries frames: before that it loses them.
func (n *netlink) awaitCarrier(number uint32) error {
	for deadline := time.Now().Add(carrierTimeout); ; time.Sleep(time.Millisecond) {
		state, err := n.attribute(n.begin(unix.RTM_GETLINK, 0, link(number)), unix.SizeofIfInfomsg, unix.IFLA_OPERSTATE)
		if err != nil {
			return fmt.Errorf("the state of device %d: %w", number, err)
		}
		if len(state) == 1 && state[0] == stateUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("device %d does not carry frames within %v", number, carrierTimeout)
		}
	}
}

// link is struct ifinfomsg of a device with this number.
func link(number uint32) []byte {
	b := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(b[4:], number)
	return b
}

// linkInfo is struct ifinfomsg of a device that is to be made, with this number, and to run.
func linkInfo(number uint32) []byte {
	b := link(number)
	binary.NativeEndian.PutUint32(b[8:], unix.IFF_UP)  // flags
	binary.NativeEndian.PutUint32(b[12:], unix.IFF_UP) // and which of them are meant
	return b
}

func (n *netlink) newLink(number uint32) *message {
	return n.begin(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, linkInfo(number))
}

// newBridge makes the bridge.
func (n *netlink) newBridge() error {
	m := n.newLink(bridgePlug)
	m.text(unix.IFLA_IFNAME, "switch")
	m.nest(unix.IFLA_LINKINFO, func() { m.text(unix.IFLA_INFO_KIND, "bridge") })
	return n.send(m.seq, m)
}

// newPair makes a pair of devices: a port of the bridge, and the device of a host, in its namespace.
func (n *netlink) newPair(host int, namespace *os.File) error {
	m := n.newLink(bridgePort(host))
	m.text(unix.IFLA_IFNAME, fmt.Sprintf("port%d", host))
	m.native(unix.IFLA_MASTER, bridgePlug)
	m.nest(unix.IFLA_LINKINFO, func() {
		m.text(unix.IFLA_INFO_KIND, "veth")
		m.nest(unix.IFLA_INFO_DATA, func() {
			m.nest(vethPeer, func() {
				m.bytes = append(m.bytes, link(hostPlug)...)
				m.text(unix.IFLA_IFNAME, device)
				m.native(unix.IFLA_NET_NS_FD, uint32(namespace.Fd()))
			})
		})
	})
	return n.send(m.seq, m)
}

// check says what a bridge cannot make of a link.
func (b *bridge) check(l Link) error {
	if l != (Link{Cut: l.Cut}) {
		return &LinkError{Link: l}
	}
	return nil
}

// each gives all links to f.
func (b *bridge) each(hosts int, f func(from, to int, l Link)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range hosts {
		for j := range hosts {
			if i != j {
				f(i, j, b.links[[2]int{i, j}])
			}
		}
	}
}

// set changes links at one moment.
func (b *bridge) set(links map[[2]int]Link) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var cut [][2]uint32
	for way, l := range links { // in any order
		if l.Cut {
			cut = append(cut, [2]uint32{bridgePort(way[0]), bridgePort(way[1])})
		}
	}
	if err := b.filter.set(cut); err != nil {
		return fmt.Errorf("cut links by the packet filter: %w", err)
	}
	b.links = links
	return nil
}

// counts are zero: the kernel does not count frames by what became of them.
func (b *bridge) counts() Counts { return Counts{} }

// close gives the bridge up, which vanishes with its devices.
func (b *bridge) close() error {
	var err error
	if b.filter != nil {
		err = b.filter.close()
	}
	if b.route != nil {
		err = errors.Join(err, b.route.close())
	}
	if b.namespace != nil {
		_ = b.namespace.Close()
	}
	return err
}
