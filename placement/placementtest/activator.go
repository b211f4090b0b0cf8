package placementtest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed13d31b7f/berth/placement"
)

// hosting makes a member that counts what it begins of a kind.
func (x *trial) hosting(member placement.MemberID, kind string) *atomic.Int64 {
	n := new(atomic.Int64)
	x.place.Host(member, map[string]func(placement.Identity) error{kind: func(placement.Identity) error {
		n.Add(1)
		return nil
	}})
	return n
}

// ensure has an identity activated, which must work.
func (x *trial) ensure(id placement.Identity) placement.Activated {
	x.Helper()
	a, err := x.Ensure(x.within(), id)
	if err != nil {
		x.Fatalf("Ensure(%v): %v", id, err)
	}
	if a.Identity != id || a.Epoch == 0 || a.Member == "" {
		x.Fatalf("Ensure(%v) = %+v: want identity, member and epoch", id, a)
	}
	return a
}

// ActivatorCases are what an Activator must do.
func ActivatorCases() []Case {
	return []Case{
		trialOf("EnsureActivatesOnAMemberThatHostsTheKind", func(x *trial) {
			carts, users := x.hosting("member-1", "cart"), x.hosting("member-2", "user")
			if a := x.ensure(identity("1")); a.Member != "member-1" || carts.Load() != 1 || users.Load() != 0 {
				x.Errorf("it is %+v; %d carts and %d users were begun", a, carts.Load(), users.Load())
			}
		}),
		trialOf("EnsureFindsWhatIsThere", func(x *trial) {
			n := x.hosting("member-1", "cart")
			first := x.ensure(identity("1"))
			again, err := x.place.Open().Ensure(x.within(), identity("1"))
			if err != nil || again != first || n.Load() != 1 {
				x.Errorf("Ensure again = %+v, %v, begun %d times; want %+v, once", again, err, n.Load(), first)
			}
			x.hosting("member-2", "cart") // a member that joins moves nothing
			if again := x.ensure(identity("1")); again != first {
				x.Errorf("after a member joined it is %+v, was %+v", again, first)
			}
		}),
		trialOf("EnsuredAtOnceIsActivatedOnce", func(x *trial) {
			a, b := x.hosting("member-1", "cart"), x.hosting("member-2", "cart")
			instances := []Instance{x.Instance, x.place.Open()}
			var mu sync.Mutex
			found := map[placement.Activated]bool{}
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					got, err := instances[i%2].Ensure(x.within(), identity("1"))
					x.is("Ensure", err, nil)
					mu.Lock()
					found[got] = true
					mu.Unlock()
				})
			}
			all.Wait()
			if n := a.Load() + b.Load(); len(found) != 1 || n != 1 {
				x.Errorf("20 calls found %v; %d activations were begun", found, n)
			}
		}),
		trialOf("UnknownKindIsRefused", func(x *trial) {
			x.hosting("member-1", "user")
			_, err := x.Ensure(x.within(), identity("1"))
			x.is("Ensure of a kind that nobody hosts", err, placement.ErrNoHost)
		}),
		trialOf("NextCandidateIsAskedAndReasonsAreTold", func(x *trial) {
			full := func(placement.Identity) error { return errors.New("the disk is full") }
			x.place.Host("member-1", map[string]func(placement.Identity) error{"cart": full})
			_, err := x.Ensure(x.within(), identity("1"))
			if x.is("Ensure where the only one fails", err, placement.ErrNoHost); err != nil && !strings.Contains(err.Error(), "the disk is full") {
				x.Errorf("the reason is not told: %v", err)
			}
			x.hosting("member-2", "cart")
			if a := x.ensure(identity("1")); a.Member != "member-2" {
				x.Errorf("it is on %s; want the one that does not fail", a.Member)
			}
		}),
		trialOf("EndIsConditional", func(x *trial) {
			n := x.hosting("member-1", "cart")
			first := x.ensure(identity("1"))
			other := first
			other.Epoch++
			x.is("End of another epoch", x.End(x.within(), other), nil)
			other.Epoch = 0
			x.is("End of no epoch", x.End(x.within(), other), nil)
			if again := x.ensure(identity("1")); again != first || n.Load() != 1 {
				x.Errorf("it is %+v, was %+v; begun %d times", again, first, n.Load())
			}
			x.is("End", x.End(x.within(), first), nil)
			x.is("End again", x.End(x.within(), first), nil)
			second := x.ensure(identity("1"))
			if second.Epoch <= first.Epoch || n.Load() != 2 {
				x.Errorf("epoch %d after %d, begun %d times", second.Epoch, first.Epoch, n.Load())
			}
			x.is("End of the first while there is a second", x.End(x.within(), first), nil)
			if again := x.ensure(identity("1")); again != second {
				x.Errorf("it is %+v, was %+v", again, second)
			}
		}),
		trialOf("ActivatorRefusesBadArguments", func(x *trial) {
			x.hosting("member-1", "cart")
			over, cancel := context.WithCancel(context.Background())
			cancel()
			_, err := x.Ensure(over, identity("1"))
			x.is("Ensure with a context that is over", err, context.Canceled)
			x.is("End with a context that is over", x.End(over, placement.Activated{Identity: identity("1"), Epoch: 1}), context.Canceled)
			_, err = x.Ensure(x.within(), placement.Identity{Kind: "cart"})
			refused[*placement.IdentityError](x, "Ensure", err)
			refused[*placement.IdentityError](x, "End", x.End(x.within(), placement.Activated{Epoch: 1}))
		}),
	}
}
