package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/placement"
)

// The owner dies: whoever reaches for the identity is led to the next one, with or without a cache, as soon as there is one.
func TestClient_Reach_OwnerDies_TheNextOneIsReached(t *testing.T) {
	for _, cache := range []int{0, 100} {
		bubble(t, 3, func(t *testing.T, w *world) {
			w.member("a", nil)
			gone := 0
			c := w.clientWith("client", func(c *lookupclient.Config) {
				c.Cache = cache
				c.Hooks.Gone = func(lookupclient.Placement) { gone++ }
			})
			alive := map[placement.MemberID]bool{"a": true, "b": true}
			ask := func(_ context.Context, p lookupclient.Placement) error {
				if !alive[p.Member] {
					return fmt.Errorf("%w: connection refused", lookupclient.ErrGone)
				}
				return nil
			}
			var owners []placement.MemberID
			reach := func() {
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				forgotten := false
				err := c.Reach(ctx, cart(1), func(ctx context.Context, p lookupclient.Placement) error {
					owners = append(owners, p.Member)
					if p.Cached && forgotten {
						t.Errorf("what was forgotten is remembered: %+v", p)
					}
					forgotten = true
					return ask(ctx, p)
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			reach() // nobody owned it
			reach()
			if len(owners) != 2 || owners[0] != "a" || gone != 0 {
				t.Fatalf("reached %v", owners)
			}
			w.member("b", nil)
			alive["a"] = false
			w.isolate("a", true)
			begin := time.Now()
			reach()
			if took := time.Since(begin); owners[len(owners)-1] != "b" || gone != len(owners)-3 || gone < 5 || gone > 100 || took > 9*time.Second {
				t.Errorf("reached %v after %v, gone %d times", owners, took, gone)
			}
		})
	}
}

// It gives up when it is told to, when its time is over, and when the client is closed, and passes on whatever else f says.
func TestClient_Reach_GivesUp(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		w.member("m", nil)
		gone := func(context.Context, lookupclient.Placement) error {
			return fmt.Errorf("refused: %w", lookupclient.ErrGone)
		}
		var e *lookupclient.ReachError
		c := w.clientWith("client", func(c *lookupclient.Config) { c.Attempts = 3 })
		err := c.Reach(context.Background(), cart(1), gone)
		if !errors.As(err, &e) || e.Attempts != 3 || e.Placement.Member != "m" || !errors.Is(err, lookupclient.ErrGone) || !strings.Contains(err.Error(), "3 attempts") {
			t.Errorf("three attempts: %v", err)
		}
		other := errors.New("no apples")
		if err := c.Reach(context.Background(), cart(1), func(context.Context, lookupclient.Placement) error { return other }); err != other {
			t.Errorf("another error: %v", err)
		}
		if err := c.Reach(context.Background(), placement.Identity{Kind: "room", Key: "1"}, gone); !errors.Is(err, lookupclient.ErrNoMember) {
			t.Errorf("a kind that nobody hosts: %v", err)
		}
		c = w.client("patient")
		begin := time.Now()
		err = c.Reach(context.Background(), cart(1), gone)
		if took := time.Since(begin); !errors.As(err, &e) || e.Attempts < 10 || !errors.Is(err, lookupclient.ErrGone) || !errors.Is(err, context.DeadlineExceeded) || took != 10*time.Second {
			t.Errorf("as long as Timeout: %v after %v", err, took)
		}
		begin = time.Now()
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if err := c.Reach(context.Background(), cart(1), gone); !errors.Is(err, lookupclient.ErrClosed) || time.Since(begin) != time.Second {
			t.Errorf("closed: %v after %v", err, time.Since(begin))
		}
	})
}
