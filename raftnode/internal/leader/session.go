package leader

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/seed13d31b7f/berth/placement"
)

// ordersMax is how many orders may wait for a member. One that does not take them for so long is sent them again when it
// comes back.
const ordersMax = 1 << 16

// Order asks the owner of a placement to activate it, or with Stop to stop and release it.
type Order struct {
	Identity placement.Identity
	Epoch    placement.Epoch
	Stop     bool
}

// Session is one member's line to the leader: the orders that wait for it.
type Session struct {
	// Incarnation is the member's.
	Incarnation placement.Incarnation

	mu     sync.Mutex
	orders []Order
	over   error
	signal chan struct{}
}

func newSession(inc placement.Incarnation) *Session {
	return &Session{Incarnation: inc, signal: make(chan struct{}, 1)}
}

// The reasons why a session ends by itself.
var (
	// ErrGone: the incarnation is over.
	ErrGone = errors.New("the incarnation is over")
	// ErrReplaced: the member has another session.
	ErrReplaced = errors.New("the member has another session")
	// ErrTooSlow: the member does not take its orders.
	ErrTooSlow = fmt.Errorf("more than %d orders wait for the member", ordersMax)
)

func (s *Session) add(orders ...Order) {
	s.mu.Lock()
	switch {
	case s.over != nil: // nobody takes them
	case len(s.orders)+len(orders) > ordersMax:
		s.over, s.orders = ErrTooSlow, nil
	default:
		s.orders = append(s.orders, orders...)
	}
	s.mu.Unlock()
	s.notify()
}

func (s *Session) end(err error) {
	s.mu.Lock()
	if s.over == nil {
		s.over = err
	}
	s.mu.Unlock()
	s.notify()
}

func (s *Session) notify() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// Next waits for orders and returns them all. The error is the context's, or says why the session is over.
func (s *Session) Next(ctx context.Context) ([]Order, error) {
	for {
		s.mu.Lock()
		orders, over := s.orders, s.over
		s.orders = nil
		s.mu.Unlock()
		if over != nil {
			return nil, over
		}
		if len(orders) > 0 {
			return orders, nil
		}
		select {
		case <-s.signal:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}
