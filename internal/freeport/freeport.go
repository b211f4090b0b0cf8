// Package freeport finds ports of this machine that nobody uses, for servers that tests, fault runs and demos start. A port that a
// listener on port 0 was given may be gone when the server wants it: the system gives it to the next connection.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
)

const (
	loopback = "127.0.0.1"
	// claims is the address of this machine's loopback interface on which whoever has a port here listens until it gives it
	// back. The port of the loopback address that servers use is free until one has it, and whenever one starts again.
	claims = "127.66.82.84"

	// portsLow is below the range from which systems give ports to connections, so that a server that starts again finds its
	// own free.
	portsLow  = 10_000
	portsHigh = 30_000
	portTries = 50
)

// Ports are ports in a row.
type Ports struct {
	First, Count int

	claims []net.Listener
	once   sync.Once
}

// Take takes so many ports in a row of 127.0.0.1 on which nobody listens. They are the caller's until Close, or until its
// process ends: Take gives them to nobody else, in no other process either. (Where the system has but one loopback address it
// cannot promise that, and goes by who listens alone.) When there are none it says which one it found taken last.
func Take(count int) (*Ports, error) {
	var err error
	for range portTries {
		p := &Ports{First: portsLow + rand.IntN(portsHigh-portsLow-count), Count: count}
		if err = p.take(); err == nil {
			return p, nil
		}
		p.Close()
	}
	return nil, fmt.Errorf("no %d free ports in a row from %d to %d: %w", count, portsLow, portsHigh, err)
}

// Address returns an address, host:port, of this machine's loopback interface that nobody uses. It is the test's until that ends,
// and ends the test when there is none.
func Address(t interface {
	Helper()
	Fatal(...any)
	Cleanup(func())
}) string {
	t.Helper()
	p, err := Take(1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return net.JoinHostPort(loopback, strconv.Itoa(p.First))
}

// Close gives the ports back.
func (p *Ports) Close() {
	p.once.Do(func() {
		for _, l := range p.claims {
			_ = l.Close() // it took no connection
		}
	})
}

// take claims the ports, or some of them when it fails.
func (p *Ports) take() error {
	for port := p.First; port < p.First+p.Count; port++ {
		l, err := listen(claims, port)
		if err != nil {
			return err
		}
		if l != nil {
			p.claims = append(p.claims, l)
		}
		if l, err = listen(loopback, port); err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

// listen returns nil and no error when this machine has no address for claims.
func listen(host string, port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is taken", port)
	case errors.Is(err, syscall.EADDRNOTAVAIL) && host == claims:
		return nil, nil
	}
	return nil, err
}
