package procs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

const (
	// portsLow is below the range from which systems give ports to connections, so that a server that starts again finds its
	// own free.
	portsLow  = 10_000
	portsHigh = 30_000
	portTries = 50
)

// FreePorts returns ports in a row of this machine's loopback interface that nobody listens on. When there are none it says
// which ones it found taken.
func FreePorts(count int) (first int, err error) {
	for range portTries {
		first = portsLow + rand.IntN(portsHigh-portsLow-count)
		if err = free(first, count); err == nil {
			return first, nil
		}
	}
	return 0, fmt.Errorf("no %d free ports in a row from %d to %d: %w", count, portsLow, portsHigh, err)
}

// free returns nil when nobody listens on any of the ports.
func free(first, count int) error {
	for p := first; p < first+count; p++ {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("port %d is taken", p)
		}
		if err != nil {
			return err
		}
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}
