package lookupclient_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// A call is made as often as Config.Attempts says, and without it as often as its deadline allows. The error says how often that
// was, and why the last one failed.
func TestClient_Attempts_AreAtMostSoMany(t *testing.T) {
	for _, x := range []struct {
		attempts int
		reasons  []apiv1.Reason
		want     error
		made     int // 0: many
		last     apiv1.Reason
	}{
		{1, []apiv1.Reason{apiv1.ReasonNoLeader}, lookupclient.ErrUnavailable, 1, apiv1.ReasonNoLeader},
		{3, []apiv1.Reason{apiv1.ReasonNoLeader}, lookupclient.ErrUnavailable, 3, apiv1.ReasonNoLeader},
		{4, []apiv1.Reason{apiv1.ReasonNoLeader, apiv1.ReasonNoLeader, apiv1.ReasonOverloaded}, lookupclient.ErrOverloaded, 4, apiv1.ReasonOverloaded},
		{3, []apiv1.Reason{apiv1.ReasonOutcomeUnknown, apiv1.ReasonNoLeader}, lookupclient.ErrUnknown, 3, apiv1.ReasonNoLeader},
		{5, []apiv1.Reason{apiv1.ReasonNoLeader, apiv1.ReasonNoEligibleMember}, lookupclient.ErrNoMember, 2, apiv1.ReasonNoEligibleMember},
		{0, []apiv1.Reason{apiv1.ReasonNoLeader}, lookupclient.ErrUnavailable, 0, apiv1.ReasonNoLeader},
	} {
		serve(t, &scripted{reasons: x.reasons}, func(c *lookupclient.Config) { c.Attempts, c.Timeout = x.attempts, 3*time.Second }, func(t *testing.T, c *lookupclient.Client, s *scripted) {
			begin := time.Now()
			_, _, err := c.Place(context.Background(), cart(1))
			var e *lookupclient.Error
			if !errors.Is(err, x.want) || !errors.As(err, &e) || e.Attempts != int(s.calls.Load()) || e.LastReason != x.last {
				t.Fatalf("%+v: %v, %+v after %d calls", x, err, e, s.calls.Load())
			}
			if x.made > 0 && e.Attempts != x.made || x.made == 0 && (e.Attempts < 5 || time.Since(begin) != 3*time.Second) {
				t.Errorf("%+v: %d attempts in %v", x, e.Attempts, time.Since(begin))
			}
			if said := strings.Contains(err.Error(), "attempts, the last: "+string(x.last)); said != (e.Attempts > 1) {
				t.Errorf("%+v: %v", x, err)
			}
		})
	}
	for _, attempts := range []int{-1, lookupclient.AttemptsMax + 1} {
		if _, err := lookupclient.Open(lookupclient.Config{Attempts: attempts}); err == nil || !strings.Contains(err.Error(), "Attempts") {
			t.Errorf("Attempts %d: %v", attempts, err)
		}
	}
}

// A look-up is bounded by Config.Attempts too, and so is one that the cache does not answer.
func TestClient_Attempts_OfLookups(t *testing.T) {
	for _, cache := range []int{0, 10} {
		for _, why := range []apiv1.Reason{apiv1.ReasonUnsettled, apiv1.ReasonNoQuorum} {
			told(t, func(c *lookupclient.Config) { c.Attempts, c.Cache = 2, cache }, []answer{refused(why, 0)}, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
				_, err := c.Lookup(context.Background(), cart(1))
				var e *lookupclient.Error
				if asked, _ := times(servers); !errors.As(err, &e) || e.Reason != why || e.Attempts != 2 || asked != 2 {
					t.Errorf("cache %d: %v after %d calls", cache, err, asked)
				}
			})
		}
	}
}

// A look-up whose time runs out during an attempt says what a server told it before. When no server told it anything, or none is there any
// more, it says that.
func TestClient_EndsInAnAttempt_SaysWhatItWasToldBefore(t *testing.T) {
	patient := func(c *lookupclient.Config) { c.Timeout, c.HedgeAfter = time.Second, -1 }
	for _, x := range []struct {
		takes time.Duration
		gone  bool // the server, after its first answer
		want  apiv1.Reason
		made  int
	}{
		{400 * time.Millisecond, false, apiv1.ReasonTooStale, 3},
		{2 * time.Second, false, apiv1.ReasonUnreachable, 1},
		{400 * time.Millisecond, true, apiv1.ReasonUnreachable, 0},
	} {
		behind := func(ctx context.Context, _ *apiv1.LookupRequest) (*apiv1.LookupResponse, error) {
			select {
			case <-time.After(x.takes):
				return nil, apiv1.Status(apiv1.ReasonTooStale, "x", nil, 0).Err()
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		told(t, patient, []answer{behind}, func(t *testing.T, c *lookupclient.Client, servers []*teller) {
			if x.gone {
				time.AfterFunc(x.takes+time.Millisecond, servers[0].stop)
			}
			begin := time.Now()
			_, err := c.Lookup(context.Background(), cart(1))
			var e *lookupclient.Error
			if !errors.As(err, &e) || e.Reason != x.want || e.LastReason != apiv1.ReasonUnreachable || time.Since(begin) != time.Second {
				t.Fatalf("%+v: %v after %v", x, err, time.Since(begin))
			}
			if x.made == 1 && !strings.Contains(e.Message, "s1:7420 has not answered") {
				t.Errorf("%+v: it does not say who did not: %v", x, err)
			}
			if x.made > 0 && e.Attempts != x.made {
				t.Errorf("%+v: %d attempts", x, e.Attempts)
			}
		})
	}
}

// An outcome that is unknown stays so when the client is closed in the pause before the next attempt.
func TestClient_Close_InAPause_UnknownStaysUnknown(t *testing.T) {
	for why, want := range map[apiv1.Reason]error{apiv1.ReasonOutcomeUnknown: lookupclient.ErrUnknown, apiv1.ReasonOverloaded: lookupclient.ErrClosed} {
		serve(t, &scripted{reasons: []apiv1.Reason{why}}, nil, func(t *testing.T, c *lookupclient.Client, s *scripted) {
			begin := time.Now()
			time.AfterFunc(5*time.Millisecond, func() { _ = c.Close() })
			_, _, err := c.Place(context.Background(), cart(1))
			if took := time.Since(begin); !errors.Is(err, want) || s.calls.Load() != 1 || took != 5*time.Millisecond {
				t.Errorf("%v: %v after %d calls and %v", why, err, s.calls.Load(), took)
			}
		})
	}
}

// Nothing is done by what was closed: a client, and a member.
func TestClient_Closed_RefusesEverything(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		m := w.member("m", nil)
		c := w.client("client")
		ctx := context.Background()
		s, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "x", Now: memberNow})
		if err != nil {
			t.Fatal(err)
		}
		w.locking = append(w.locking, s)
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() error{
			"Lookup":      func() error { _, err := c.Lookup(ctx, cart(1)); return err },
			"LookupAt":    func() error { _, err := c.LookupAt(ctx, cart(1), lookupclient.Read{}); return err },
			"LookupAll":   func() error { _, err := c.LookupAll(ctx, carts(2)); return err },
			"Place":       func() error { _, _, err := c.Place(ctx, cart(1)); return err },
			"PlaceAll":    func() error { _, err := c.PlaceAll(ctx, carts(2)); return err },
			"Remove":      func() error { return c.Remove(ctx, cart(1), 0, nil) },
			"Move":        func() error { _, err := c.Move(ctx, lookupclient.MoveRequest{Identity: cart(1), To: "m"}); return err },
			"OpenSession": func() error { _, err := c.OpenSession(ctx, lookupclient.SessionConfig{Holder: "x"}); return err },
			"Acquire":     func() error { _, err := s.Acquire(ctx, "x", lookupclient.LockOptions{}); return err },
			"Join": func() error {
				_, err := c.Join(ctx, lookupclient.MemberConfig{Name: "n", Address: "n:1", Kinds: map[string]lookupclient.Kind{"cart": {}}})
				return err
			},
			"Watch": func() error {
				for _, err := range c.Watch(ctx, lookupclient.WatchConfig{}) {
					return err
				}
				return nil
			},
			"a stream": func() error {
				stream, err := apiv1.NewPlacementsClient(c.Conn()).Watch(ctx, &apiv1.WatchRequest{})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			},
		} {
			if err := call(); !errors.Is(err, lookupclient.ErrClosed) {
				t.Errorf("%s: %v", name, err)
			}
		}
		m.Close()
		other := w.client("other")
		if _, err := m.Activate(ctx, cart(7)); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("Activate of a member that has ended: %v", err)
		}
		if err := m.Leave(ctx); !errors.Is(err, lookupclient.ErrClosed) {
			t.Errorf("Leave of a member that has ended: %v", err)
		}
		if p, err := other.Lookup(ctx, cart(7)); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("it was placed: %+v, %v", p, err)
		}
	})
}
