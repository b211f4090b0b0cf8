package lookupclient_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// hostOn starts a member with a client of its own, whose log goes to the buffer.
func (w *world) hostOn(name string, log *lockedBuffer, kind lookupclient.Kind) *lookupclient.Member {
	w.t.Helper()
	c := w.clientWith(name, func(c *lookupclient.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	m, err := c.Join(context.Background(), lookupclient.MemberConfig{
		Name: placement.MemberID(name), Address: name + ":9000", Kinds: map[string]lookupclient.Kind{"cart": kind}, Now: memberNow,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.members = append(w.members, m)
	return m
}

func unblock(t *testing.T, c *lookupclient.Client, member string) *apiv1.UnblockResponse {
	t.Helper()
	resp, err := apiv1.NewBlocksClient(c.Conn()).Unblock(context.Background(), &apiv1.UnblockRequest{Member: member})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// A blocked member lets go of what it owns, long before its lease is over, and ends. It is refused, with who wants it and why, and
// says so now and then; unblocked, it joins as a new incarnation and is given placements again.
func TestBlock_Member_ReleasesAndEnds(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		log := &lockedBuffer{}
		a := w.hostOn("a", log, lookupclient.Kind{Run: w.run("a")})
		c := w.client("client")
		ctx := context.Background()
		if _, err := c.PlaceAll(ctx, carts(400)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		inc := a.State().Incarnation
		resp := block(t, c, &apiv1.BlockRequest{Member: "a", Reason: "bad disk", By: "test"})
		if !resp.Changed || resp.Block.GetReason() != "bad disk" || resp.Block.Until != nil {
			t.Errorf("block: %v", resp)
		}
		if took := until(t, "a has ended", func() bool { return members(t, c)["a"] == nil && a.State().Incarnation == 0 }); took > 2*time.Second {
			t.Errorf("it ended after %v", took)
		}
		results, err := c.PlaceAll(ctx, carts(400))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil || r.Placement.Member != "b" {
				t.Fatalf("placed anew: %+v", r)
			}
		}
		time.Sleep(2 * time.Second) // b has confirmed them all
		time.Sleep(30 * time.Second)
		if s := a.State(); s.Incarnation != 0 || s.Held != 0 || members(t, c)["a"] != nil {
			t.Errorf("blocked: %+v, %v", s, members(t, c)["a"])
		}
		if n := strings.Count(log.String(), "a member has no session"); n < 2 || n > 5 || !strings.Contains(log.String(), "MEMBER_BLOCKED: the member a is blocked by test: bad disk") {
			t.Errorf("%d warnings:\n%s", n, log.String())
		}
		if x := unblock(t, c, "a"); !x.Changed {
			t.Error("unblock changed nothing")
		}
		if x := unblock(t, c, "a"); x.Changed {
			t.Error("unblock changed something twice")
		}
		if took := until(t, "a has joined again", func() bool { s := a.State().Incarnation; return s != inc && s != 0 }); took > 3*time.Second {
			t.Errorf("it joined again after %v", took)
		}
		for i := 1000; ; i++ {
			if p, _, err := c.Place(ctx, cart(i)); err != nil || i == 1100 {
				t.Fatalf("nothing goes to the member that was unblocked: %v", err)
			} else if p.Member == "a" {
				break
			}
		}
	})
}

// A blocked member that does not let go ends with its lease: by its own clock, and only then somebody else may act; when its
// block is over before, and when the leader is another one meanwhile, too.
func TestBlock_MemberThatDoesNotLetGo_EndsWithItsLease(t *testing.T) {
	for name, meanwhile := range map[string]func(t *testing.T, w *world, c *lookupclient.Client){
		"nothing happens": func(*testing.T, *world, *lookupclient.Client) {},
		"unblocked":       func(t *testing.T, _ *world, c *lookupclient.Client) { unblock(t, c, "a") },
		"another leader":  func(_ *testing.T, w *world, _ *lookupclient.Client) { w.c.Leader(nil).Kill() },
		"unblocked under another leader": func(t *testing.T, w *world, c *lookupclient.Client) {
			old := w.c.Leader(nil)
			old.Kill()
			w.c.Leader(old)
			unblock(t, c, "a")
		},
	} {
		bubble(t, 3, func(t *testing.T, w *world) {
			a := w.member("a", func(m *lookupclient.MemberConfig) {
				m.Kinds["cart"] = lookupclient.Kind{Run: func(x *lookupclient.Activation) {
					w.run("a")(x)
					if errors.Is(context.Cause(x.Context()), lookupclient.ErrStopRequested) {
						for x.LeaseLeft() > 0 { // it does not listen
							time.Sleep(time.Millisecond)
						}
						time.Sleep(5 * time.Second)
					}
				}}
			})
			c := w.client("client")
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if _, _, err := c.Place(ctx, cart(1)); err != nil {
				t.Fatal(err)
			}
			w.member("b", nil)
			inc := a.State().Incarnation
			begin := time.Now()
			block(t, c, &apiv1.BlockRequest{Member: "a", Lasts: durationpb.New(30 * time.Second)})
			meanwhile(t, w, c)
			if _, err := apiv1.NewMembersClient(c.Conn()).DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a", Off: true}); !errors.Is(err, lookupclient.ErrMemberBlocked) {
				t.Errorf("%s: it is not to drain: %v", name, err)
			}
			most := 8 * time.Second
			if strings.Contains(name, "leader") {
				most += 5 * time.Second // the next tenure grants every lease its whole time
			}
			until(t, "it is placed anew", func() bool {
				_, err := c.Lookup(ctx, cart(1))
				return errors.Is(err, lookupclient.ErrNotPlaced)
			})
			if took := time.Since(begin); took < 4*time.Second || took > most {
				t.Errorf("%s: it was free after %v; the lease is 5s, and 6.25s for those who wait", name, took)
			}
			if s := a.State(); s.Incarnation == inc || s.Lost != 1 {
				t.Errorf("%s: afterwards the member is %+v", name, s)
			}
			until(t, "a has joined again", func() bool { s := a.State().Incarnation; return s != inc && s != 0 })
			if took := time.Since(begin); strings.Contains(name, "unblocked") == (took >= 30*time.Second) {
				t.Errorf("%s: it joined again after %v", name, took)
			}
			if s := a.State(); s.Lost != 1 {
				t.Errorf("%s: %+v", name, s)
			}
		})
	}
}

// A block ends by its time also where nothing else happens: the member that waits for that is let in.
func TestBlock_EndsByItsTime_InAClusterThatIsIdle(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		a := w.member("a", nil)
		c := w.client("client")
		inc, begin := a.State().Incarnation, time.Now()
		block(t, c, &apiv1.BlockRequest{Member: "a", Lasts: durationpb.New(20 * time.Second)})
		until(t, "a has joined again", func() bool { s := a.State().Incarnation; return s != inc && s != 0 })
		if took := time.Since(begin); took < 19900*time.Millisecond || took > 22*time.Second {
			t.Errorf("it joined again after %v", took)
		}
	})
}

// A block is about the name: the life that another one superseded is given no time either, and is not revived with the block's
// end. Both processes join again, one after the other.
func TestBlock_FormerLife_EndsToo(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		first := w.member("a", nil)
		c := w.client("client")
		if _, err := c.PlaceAll(context.Background(), carts(20)); err != nil {
			t.Fatal(err)
		}
		second := w.member("a", nil)
		was := []placement.Incarnation{first.State().Incarnation, second.State().Incarnation}
		block(t, c, &apiv1.BlockRequest{Member: "a"})
		unblock(t, c, "a")
		if took := until(t, "both have ended", func() bool {
			return first.State().Incarnation != was[0] && second.State().Incarnation != was[1]
		}); took > 2*time.Second {
			t.Errorf("they ended after %v", took)
		}
		if s := first.State(); s.Held != 0 {
			t.Errorf("the former life: %+v", s)
		}
	})
}
