package switchnet

import "fmt"

// UnavailableError says what a network needs and this machine, or this user, has not.
type UnavailableError struct {
	// Need is what is missing, and Next what to do about it.
	Need, Next string
	Err        error
	device     bool // it is the TAP device
}

// Error has all of it.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("a network of namespaces needs %s: %v; %s", e.Need, e.Err, e.Next)
}

// Unwrap returns the system's error.
func (e *UnavailableError) Unwrap() error { return e.Err }

// LinkError: the network cannot make a link so, since it has no TAP devices.
type LinkError struct{ Link Link }

// Error says what can.
func (e *LinkError) Error() string {
	return fmt.Sprintf("a network of veth pairs can cut links, and make them no worse (%+v): that needs TAP devices (/dev/net/tun)", e.Link)
}
