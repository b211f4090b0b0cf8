package localcluster

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed13d31b7f/berth/internal/freeport"
)

// PortDefault is the first port of a local cluster: server i has PortDefault + 10·i and the two after it.
const PortDefault = 7420

const (
	portsPerServer = 10
	shift          = 100
	shiftsMax      = 20
	loopback       = "127.0.0.1"
)

// PortsTakenError says which ports a cluster wanted and could not have.
type PortsTakenError struct{ Ports []int }

// Error names them.
func (e *PortsTakenError) Error() string {
	var list []string
	for _, p := range e.Ports {
		list = append(list, strconv.Itoa(p))
	}
	if len(list) == 1 {
		return "port " + list[0] + " is taken"
	}
	return "ports " + strings.Join(list, ", ") + " are taken"
}

// ports are the ports of a server, when the cluster's begin at base.
func ports(base, server int) []int {
	first := base + portsPerServer*server
	return []int{first, first + 1, first + 2}
}

// free returns nil when nobody listens on any of the ports.
func free(list []int) error {
	var taken []int
	for _, p := range list {
		l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(p)))
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
			taken = append(taken, p)
			continue
		}
		if err != nil {
			return fmt.Errorf("port %d: %w", p, err)
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	if len(taken) > 0 {
		return &PortsTakenError{taken}
	}
	return nil
}

// choosePorts gives the servers their ports. Servers that had some keep them where they can.
func (c *Config) choosePorts(s *State) error {
	if c.Port != PortAny && c.FixedPort {
		return s.takePorts(c.Port)
	}
	var had []int
	for _, x := range s.Servers {
		for _, a := range []string{x.GRPC, x.Raft, x.HTTP} {
			if _, p, err := net.SplitHostPort(a); err == nil {
				n, _ := strconv.Atoi(p)
				had = append(had, n)
			}
		}
	}
	var first error
	if len(had) == 3*len(s.Servers) {
		if first = free(had); first == nil {
			return nil
		}
	}
	if c.Port == PortAny {
		p, err := freeport.Take(portsPerServer * len(s.Servers)) // until this process ends; the servers have them by then
		if err != nil {
			return err
		}
		return s.takePorts(p.First)
	}
	for base := range shiftsMax {
		base = c.Port + shift*base
		err := s.takePorts(base)
		var taken *PortsTakenError
		switch {
		case err == nil && first == nil:
			return nil
		case err == nil:
			c.note("note: %v; the cluster listens from port %d on (--port fixes the base, and fails instead)", first, base)
			return nil
		case !errors.As(err, &taken):
			return err
		case first == nil:
			first = err
		}
	}
	return first
}

// takePorts gives the servers the ports from base on, or none when one of them is taken.
func (s *State) takePorts(base int) error {
	var all []int
	for i := range s.Servers {
		all = append(all, ports(base, i)...)
	}
	if slices.Max(all) > 65535 {
		return fmt.Errorf("there is no port %d", slices.Max(all))
	}
	if err := free(all); err != nil {
		return err
	}
	at := func(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
	for i := range s.Servers {
		p := ports(base, i)
		s.Servers[i].GRPC, s.Servers[i].Raft, s.Servers[i].HTTP = at(p[0]), at(p[1]), at(p[2])
	}
	return nil
}
