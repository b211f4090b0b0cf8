package lookupclient

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/placement"
)

// asked is a look-up that takes a second, and fails as often as it is told to.
type asked struct {
	flights flights
	mu      sync.Mutex
	times   int
	fail    int
}

func newAsked(fail int) *asked {
	return &asked{flights: flights{list: map[placement.Identity]*flight{}}, fail: fail}
}

func (a *asked) lookup(ctx context.Context, id placement.Identity) (Placement, error) {
	return a.flights.do(ctx, id, func() (Placement, error) {
		a.mu.Lock()
		a.times++
		n := a.times
		a.mu.Unlock()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return Placement{}, ctx.Err()
		}
		if n <= a.fail {
			return Placement{}, ErrNotPlaced
		}
		return Placement{Identity: id, Level: Leader, Epoch: placement.Epoch(n)}, nil
	})
}

func TestFlights_ManyAtOnce_AskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(0)
		var tasks sync.WaitGroup
		var mu sync.Mutex
		hints := 0
		for i := range 200 {
			tasks.Go(func() {
				p, err := a.lookup(t.Context(), cached(i%2, 0, 0).Identity)
				if err != nil || p.Identity != cached(i%2, 0, 0).Identity {
					t.Errorf("%+v, %v", p, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if p.Cached != (p.Level == Stale && p.Age < 0) {
					t.Errorf("a hint and not: %+v", p)
				}
				if p.Cached {
					hints++
				}
			})
		}
		tasks.Wait()
		if a.times != 2 || hints != 198 || len(a.flights.list) != 0 {
			t.Errorf("asked %d times for two identities, %d hints, %d left", a.times, hints, len(a.flights.list))
		}
	})
}

func TestFlights_Error_IsSharedByThoseBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(1)
		id := cached(1, 0, 0).Identity
		var tasks sync.WaitGroup
		tasks.Go(func() {
			if _, err := a.lookup(t.Context(), id); !errors.Is(err, ErrNotPlaced) {
				t.Errorf("who asked first: %v", err)
			}
		})
		for range 10 {
			tasks.Go(func() {
				time.Sleep(500 * time.Millisecond) // it is placed by now
				if p, err := a.lookup(t.Context(), id); err != nil || p.Epoch != 2 {
					t.Errorf("who came after it was asked for: %+v, %v", p, err)
				}
			})
		}
		tasks.Wait()
		if a.times != 2 {
			t.Errorf("asked %d times", a.times)
		}
		a.times, a.fail = 0, 9
		for range 10 {
			tasks.Go(func() {
				if _, err := a.lookup(t.Context(), id); !errors.Is(err, ErrNotPlaced) {
					t.Errorf("nobody owns it: %v", err)
				}
			})
		}
		tasks.Wait()
		if a.times != 2 {
			t.Errorf("asked %d times for what is not placed", a.times)
		}
	})
}

func TestFlights_WhoAskedGivesUp_AnotherAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(0)
		id := cached(1, 0, 0).Identity
		short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var tasks sync.WaitGroup
		for i := range 3 {
			tasks.Go(func() {
				if _, err := a.lookup(short, id); err == nil {
					t.Error("it was answered after half of a second")
				}
			})
			tasks.Go(func() {
				time.Sleep(time.Duration(i+1) * 100 * time.Millisecond)
				if p, err := a.lookup(t.Context(), id); err != nil || p.Epoch != 2 {
					t.Errorf("who waits longer: %+v, %v", p, err)
				}
			})
		}
		begin := time.Now()
		tasks.Wait()
		if took := time.Since(begin); a.times != 2 || took != 1500*time.Millisecond {
			t.Errorf("asked %d times, %v", a.times, took)
		}
	})
}

// Who has said that an answer is wrong is not given the answer of a look-up that was on its way then.
func TestFlights_Forgotten_AsksAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAsked(0)
		id := cached(1, 0, 0).Identity
		var tasks sync.WaitGroup
		tasks.Go(func() { _, _ = a.lookup(t.Context(), id) })
		synctest.Wait()
		a.flights.forget(id)
		if p, err := a.lookup(t.Context(), id); err != nil || p.Epoch != 2 || p.Cached {
			t.Errorf("%+v, %v", p, err)
		}
		tasks.Wait()
		if len(a.flights.list) != 0 {
			t.Errorf("%d left", len(a.flights.list))
		}
	})
}
