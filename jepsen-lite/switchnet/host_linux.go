package switchnet

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
)

// Host is one host of a Network: a network namespace, and a thread that lives in it.
type Host struct {
	name, address string
	calls         chan func()
	quit          context.CancelFunc
	done          chan struct{}
	namespace     *os.File
	device        *os.File // nil with veth pairs
}

// openHost makes the namespace of host number i; enter is called in it.
func openHost(name string, i int, enter func(*Host) error) (*Host, error) {
	ctx, quit := context.WithCancel(context.Background())
	h := &Host{name: name, address: addressText(i), calls: make(chan func()), quit: quit, done: make(chan struct{})}
	opened := make(chan error)
	procs.OnThread(func() { // one that is of another namespace than all others
		defer close(h.done)
		err := h.enter()
		if err == nil {
			err = enter(h)
		}
		opened <- err
		if err != nil {
			return
		}
		for {
			select {
			case call := <-h.calls:
				call()
			case <-ctx.Done():
				return
			}
		}
	})
	if err := <-opened; err != nil {
		quit()
		<-h.done
		h.closeFiles()
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	return h, nil
}

// enter takes the calling thread into a namespace of its own.
func (h *Host) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return &UnavailableError{Need: "a network namespace", Next: "run it as root, or choose tier 2", Err: err}
	}
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return &UnavailableError{Need: "/proc", Next: "choose tier 2", Err: err}
	}
	h.namespace = namespace
	return nil
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Address is the host's IPv4 address.
func (h *Host) Address() string { return h.address }

// Do runs f on the host's thread, and returns what it returns. What f starts as a process runs on the host, and with the
// signal of a parent's death it ends with the Network. Do not wait in f: there is one thread. It
// fails with net.ErrClosed after Close.
func (h *Host) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case h.calls <- func() { result <- f() }:
		return <-result
	case <-h.done:
		return net.ErrClosed
	}
}

// Dial connects from the host.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	dialled := make(chan result, 1)
	procs.OnThread(func() { // a thread that was in another namespace is not given back
		if err := unix.Setns(int(h.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			dialled <- result{err: fmt.Errorf("enter the namespace of %s: %w", h.name, err)}
			return
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		dialled <- result{c, err}
	})
	r := <-dialled
	return r.c, r.err
}

// close ends the thread, and with it the processes that were started on it.
func (h *Host) close() {
	h.quit()
	<-h.done
	h.closeFiles()
}

// closeFiles gives the namespace up. The device is closed with the switch, which may have done so already.
func (h *Host) closeFiles() {
	for _, f := range []*os.File{h.namespace, h.device} {
		if f != nil {
			_ = f.Close()
		}
	}
}
