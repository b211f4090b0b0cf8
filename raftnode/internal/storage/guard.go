package storage

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Guard watches over writes to a disk. The first write that fails, or does not return in time, is final: the guard calls
// its stop function, once, and the server must end.
type Guard struct {
	stall time.Duration
	stop  func(error)
	once  sync.Once
	torn  atomic.Bool // a use of a mapped file was broken off by a fault
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
		err = g.mapped(f)
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

// mapped runs what uses a file that is mapped into memory. A page of it that the disk does not give is a fault of memory, which ends a Go
// program on the spot, and nobody is told why: here it is an error. What f held may stay locked then, so the file must not be closed any more.
func (g *Guard) mapped(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, fault := p.(interface{ Addr() uintptr }); !fault {
			panic(p)
		}
		g.torn.Store(true)
		err = fmt.Errorf("a page of the file cannot be read: %w", syscall.EIO)
	}()
	return f()
}

// close closes such a file, unless a fault may have left it locked: then it ends with the process, as the guard has it.
func (g *Guard) close(f func() error) error {
	if g.torn.Load() {
		return nil
	}
	return g.mapped(f)
}
