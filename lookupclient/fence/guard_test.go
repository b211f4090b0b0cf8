package fence_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/seed13d31b7f/berth/lookupclient/fence"
	"github.com/seed13d31b7f/berth/placement"
)

func ExampleGuard() {
	var report fence.Guard // beside what it guards
	write := func(token placement.Epoch, text string) error {
		return report.Do(token, func() error {
			fmt.Println("written:", text)
			return nil
		})
	}
	first, second := placement.Epoch(7), placement.Epoch(9) // lookupclient.Lock.Token, or Activation.Epoch
	_ = write(first, "draft")
	_ = write(second, "final") // another process has the lock since
	err := write(first, "draft, again")
	fmt.Println(err)
	// Output:
	// written: draft
	// written: final
	// token 7 is stale: 9 was seen
}

func TestGuard_Check(t *testing.T) {
	var g fence.Guard
	for _, tt := range []struct {
		token, newest placement.Epoch // newest is what the error tells; zero when there is none
	}{{5, 0}, {5, 0}, {4, 5}, {6, 0}, {5, 6}, {1, 6}, {1<<64 - 1, 0}, {1<<63 + 1, 1<<64 - 1}} {
		err := g.Check(tt.token)
		var stale *fence.StaleError
		if errors.As(err, &stale) != (tt.newest != 0) || stale != nil && (stale.Newest != tt.newest || stale.Token != tt.token) || stale == nil && err != nil {
			t.Errorf("Check(%d) = %v, want newest %d", tt.token, err, tt.newest)
		}
	}
	if err := g.Check(0); !errors.Is(err, fence.ErrNoToken) {
		t.Errorf("Check(0) = %v", err)
	}
	if n := g.Newest(); n != 1<<64-1 {
		t.Errorf("Newest = %d", n)
	}
	if n := new(fence.Guard).Newest(); n != 0 {
		t.Errorf("Newest of none = %d", n)
	}
}

// What is done with a token never comes after what was done with a larger one.
func TestGuard_Do_ConcurrentWriters_NeverGoBack(t *testing.T) {
	var g fence.Guard
	var wrote []placement.Epoch // guarded by g
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range 500 {
				token := placement.Epoch(n/10*10 + r.IntN(20) + 1)
				err := g.Do(token, func() error {
					wrote = append(wrote, token)
					return nil
				})
				var stale *fence.StaleError
				if err != nil && (!errors.As(err, &stale) || stale.Newest <= token) {
					t.Errorf("Do(%d): %v", token, err)
				}
			}
		})
	}
	all.Wait()
	for i := range wrote[1:] {
		if wrote[i+1] < wrote[i] {
			t.Fatalf("%d was written after %d", wrote[i+1], wrote[i])
		}
	}
	if len(wrote) < 100 || len(wrote) == 4000 {
		t.Errorf("%d of 4000 were written: nothing is shown", len(wrote))
	}
}

func TestGuard_Do_EffectFails_TokenCounts(t *testing.T) {
	var g fence.Guard
	broken := errors.New("disk full")
	if err := g.Do(5, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("Do = %v", err)
	}
	if err := g.Check(4); err == nil {
		t.Error("a smaller token is taken after an effect that failed")
	}
}

func TestGuards(t *testing.T) {
	g := fence.NewGuards(2)
	var stale *fence.StaleError
	for _, err := range []error{g.Check("a", 5), g.Check("b", 3), g.Check("a", 5)} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := g.Check("a", 4); !errors.As(err, &stale) || stale.Resource != "a" || stale.Newest != 5 {
		t.Errorf("a with 4: %v", err)
	}
	if err := g.Check("c", 9); !errors.Is(err, fence.ErrFull) {
		t.Errorf("a third: %v", err)
	}
	if err := g.Check("b", 0); !errors.Is(err, fence.ErrNoToken) {
		t.Errorf("zero: %v", err)
	}
	if err := g.Check("b", 4); err != nil {
		t.Error(err)
	}
	if err := fence.NewGuards(-1).Check("a", 1); err != nil {
		t.Errorf("at least one: %v", err)
	}
}
