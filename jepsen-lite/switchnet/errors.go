package switchnet

import "fmt"

// UnavailableError says what a network needs and this machine, or this user, has not.
type UnavailableError struct {
	// Need is what is missing, and Next what to do about it.
	Need, Next string
	Err        error
}

// Error has all of it.
func (e *UnavailableError) Error() string {
	return fmt.Sprintf("a network of namespaces needs %s: %v; %s", e.Need, e.Err, e.Next)
}

// Unwrap returns the system's error.
func (e *UnavailableError) Unwrap() error { return e.Err }
