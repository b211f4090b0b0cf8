package storage

import (
	"fmt"
	"sync"
	"time"
)

// Guard watches over writes to a disk. The first write that fails, or does not return in time, is final: the guard calls
// its stop function, once, and the server must end.
type Guard struct {
	stall time.Duration
	stop  func(error)
	once  sync.Once
	// Before, when set, is called before each write, under the same watch; an error takes the write's place. It is for
	// tests.
	Before func(what string) error
	// OnWrite, when set, is told how long each write took. It is called on the writer's goroutine.
	OnWrite func(what string, took time.Duration)
}

// NewGuard returns a guard that gives each write the time stall. stop may be called on any goroutine, must not return to
// a server that goes on, and may be called while the write that stalls is still on its way.
func NewGuard(stall time.Duration, stop func(error)) *Guard {
	return &Guard{stall: stall, stop: stop}
}

// Fail calls the stop function, unless it was called before.
func (g *Guard) Fail(err error) { g.once.Do(func() { g.stop(err) }) }

// write runs one write under watch and returns its error.
func (g *Guard) write(what string, f func() error) error {
	begin := time.Now()
	timer := time.AfterFunc(g.stall, func() {
		g.Fail(fmt.Errorf("%s takes over %v: %w", what, g.stall, ErrStalled))
	})
	var err error
	if g.Before != nil {
		err = g.Before(what)
	}
	if err == nil {
		err = f()
	}
	timer.Stop()
	if g.OnWrite != nil {
		g.OnWrite(what, time.Since(begin))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		g.Fail(err)
	}
	return err
}
