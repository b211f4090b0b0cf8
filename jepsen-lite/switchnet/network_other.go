//go:build !linux

package switchnet

import (
	"context"
	"errors"
	"net"
	"runtime"
)

// Network and Host exist on Linux alone.
type (
	Network struct{}
	Host    struct{}
)

// Open fails.
func Open(Kind, []string, uint64) (*Network, error) {
	return nil, &UnavailableError{Need: "Linux", Next: "choose tier 2", Err: errors.New("this is " + runtime.GOOS)}
}

// Host returns nil.
func (*Network) Host(string) *Host { return nil }

// Change does nothing.
func (*Network) Change(func(from, to string, l *Link)) error { return errors.ErrUnsupported }

// Shapes is false.
func (*Network) Shapes() bool { return false }

// Counts are zero.
func (*Network) Counts() Counts { return Counts{} }

// Close does nothing.
func (*Network) Close() error { return nil }

// Name is empty.
func (*Host) Name() string { return "" }

// Address is empty.
func (*Host) Address() string { return "" }

// Do fails.
func (*Host) Do(func() error) error { return errors.ErrUnsupported }

// Dial fails.
func (*Host) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}
