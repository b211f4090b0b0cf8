package clockskew

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// Bounds of a Clock.
const (
	RateMin = -900_000  // a tenth of the rate
	RateMax = 9_000_000 // ten times
	JumpMax = 100 * 365 * 24 * time.Hour
)

// Clock is how a process's clock goes from now on. The zero value has no change in it but that the rate is right again.
type Clock struct {
	// RatePPM is by how many millionths the clock is fast, or with a minus slow: RateMin to RateMax.
	RatePPM int64
	// Step is how far the monotonic clock jumps ahead, zero to JumpMax. It cannot go back: no such clock does.
	Step time.Duration
	// Wall is how far the wall clock jumps, either way, up to JumpMax; beside that it keeps pace with the true one.
	Wall time.Duration
}

// Validate says what is out of bounds.
func (c Clock) Validate() error {
	switch {
	case c.RatePPM < RateMin || c.RatePPM > RateMax:
		return fmt.Errorf("clock: RatePPM %d: %d to %d is allowed", c.RatePPM, RateMin, RateMax)
	case c.Step < 0 || c.Step > JumpMax:
		return fmt.Errorf("clock: Step %v: 0 to %v is allowed", c.Step, JumpMax)
	case c.Wall < -JumpMax || c.Wall > JumpMax:
		return fmt.Errorf("clock: Wall %v: %v either way is allowed", c.Wall, JumpMax)
	}
	return nil
}

// The environment of a process that was built here.
const (
	socketVariable = "CLOCKSKEW_SOCKET"
	clockVariable  = "CLOCKSKEW"
)

// Env is the environment that a process needs beside its own: socket is a path, of up to 100 bytes, at which it can be
// told, and the clock is what it begins with.
func Env(socket string, c Clock) []string {
	b, _ := json.Marshal(c) // numbers alone: there is no error
	return []string{socketVariable + "=" + socket, clockVariable + "=" + string(b)}
}

// setTimeout bounds a Set: a process that is stopped does not answer.
const setTimeout = 5 * time.Second

// Set changes the clock of the process that listens at the socket. When it returns nil, the clock goes so.
func Set(socket string, c Clock) error {
	if err := c.Validate(); err != nil {
		return err
	}
	conn, err := net.DialTimeout("unix", socket, setTimeout)
	if err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(setTimeout)); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	var answer string
	if err := errors.Join(json.NewEncoder(conn).Encode(c), json.NewDecoder(conn).Decode(&answer)); err != nil {
		return fmt.Errorf("set clock: %w", err)
	}
	if answer != "" {
		return fmt.Errorf("set clock: %s", answer)
	}
	return nil
}
