package procs

import (
	"context"
	"net"
)

// Site is where processes run and clients dial from.
type Site interface {
	// Address is the IP address that processes there listen on.
	Address() string
	// Do runs f on the thread that the processes of the site are bound to: those that f starts.
	Do(f func() error) error
	// Dial connects from the site.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
}

// Machine is the Site that is this machine itself, on its loopback interface.
type Machine struct {
	calls chan func()
	quit  context.CancelFunc
	done  chan struct{}
	dial  net.Dialer
}

// OpenMachine returns a Machine. Close it: the processes that run there end.
func OpenMachine() *Machine {
	ctx, quit := context.WithCancel(context.Background())
	m := &Machine{calls: make(chan func()), quit: quit, done: make(chan struct{})}
	// The system sends the signal of a parent's death when the thread ends that made the process, so there is one that does not
	// end before.
	OnThread(func() {
		defer close(m.done)
		for {
			select {
			case call := <-m.calls:
				call()
			case <-ctx.Done():
				return
			}
		}
	})
	return m
}

// Address is that of the loopback interface.
func (m *Machine) Address() string { return "127.0.0.1" }

// Do runs f on the Machine's thread. Do not wait in f. It fails with net.ErrClosed after Close.
func (m *Machine) Do(f func() error) error {
	result := make(chan error, 1)
	select {
	case m.calls <- func() { result <- f() }:
		return <-result
	case <-m.done:
		return net.ErrClosed
	}
}

// Dial connects.
func (m *Machine) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return m.dial.DialContext(ctx, network, address)
}

// Close ends the processes that still run there.
func (m *Machine) Close() {
	m.quit()
	<-m.done
}
