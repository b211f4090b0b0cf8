package lookupclient_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func members(t *testing.T, c *lookupclient.Client) map[string]*apiv1.Member {
	t.Helper()
	resp, err := apiv1.NewMembersClient(c.Conn()).ListMembers(context.Background(), &apiv1.ListMembersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*apiv1.Member{}
	for _, m := range resp.Members {
		if m.State != apiv1.Member_SUPERSEDED && m.State != apiv1.Member_EXPIRED && m.State != apiv1.Member_LEFT {
			out[m.Name] = m
		}
	}
	return out
}

// until waits until it is so, and says how long that took.
func until(t *testing.T, what string, so func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	for !so() {
		if time.Since(begin) > time.Minute {
			t.Fatalf("after a minute it is not so: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(begin)
}

func block(t *testing.T, c *lookupclient.Client, req *apiv1.BlockRequest) *apiv1.BlockResponse {
	t.Helper()
	resp, err := apiv1.NewBlocksClient(c.Conn()).Block(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestBlock_Identity_IsRefusedAndAskedBack(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c := w.client("client")
		ctx := context.Background()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		resp := block(t, c, &apiv1.BlockRequest{Kind: "cart", Key: "1", Reason: "it crashes its host", By: "ops@desk", Lasts: durationpb.New(10 * time.Second)})
		if resp.Placement.GetMember() != "a" || !resp.Placement.Draining || resp.Block.Until == nil {
			t.Errorf("block: %v", resp)
		}
		until(t, "it is absent", func() bool { _, err := c.Lookup(ctx, cart(1)); return errors.Is(err, lookupclient.ErrNotPlaced) })
		_, _, err := c.Place(ctx, cart(1))
		var e *lookupclient.Error
		if !errors.Is(err, lookupclient.ErrBlocked) || !errors.As(err, &e) || e.Metadata["because"] != "it crashes its host" || e.Metadata["by"] != "ops@desk" {
			t.Errorf("place: %v, %+v", err, e)
		}
		batch, err := c.PlaceAll(ctx, carts(3))
		if err != nil || batch[0].Err != nil || !errors.Is(batch[1].Err, lookupclient.ErrBlocked) || batch[2].Err != nil {
			t.Errorf("in a batch: %+v, %v", batch, err)
		}
		if _, err := c.Move(ctx, lookupclient.MoveRequest{Identity: cart(1), To: "a"}); !errors.Is(err, lookupclient.ErrNotPlaced) {
			t.Errorf("move: %v", err)
		}
		// The block ends by the servers' clock.
		if took := until(t, "it can be placed", func() bool { _, _, err := c.Place(ctx, cart(1)); return err == nil }); took > 11*time.Second {
			t.Errorf("the block ended after %v", took)
		}
		// The same request again is the same request, whatever time it is by now.
		again := &apiv1.BlockRequest{Kind: "cart", Key: "9", Lasts: durationpb.New(time.Second), Retry: &apiv1.Retry{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8G"}}
		if resp := block(t, c, again); !resp.Changed {
			t.Errorf("block: %v", resp)
		}
		time.Sleep(5 * time.Second)
		again.Retry.Again = true
		if resp := block(t, c, again); !resp.Changed || resp.Block != nil {
			t.Errorf("the same again, when it is over: %v", resp)
		}
		list, err := apiv1.NewBlocksClient(c.Conn()).ListBlocks(ctx, &apiv1.ListBlocksRequest{})
		if err != nil || len(list.Blocks) != 0 {
			t.Errorf("list: %v, %v", list, err)
		}
		for _, bad := range []*apiv1.BlockRequest{
			{}, {Member: "a", Kind: "cart", Key: "1"}, {Member: "a b"}, {Kind: "cart"}, {Member: "a", Reason: strings.Repeat("r", 256)}, {Member: "a", By: "\x00"},
			{Member: "a", Lasts: durationpb.New(-time.Second)}, {Member: "a", Lasts: durationpb.New(1 << 62)},
		} {
			if _, err := apiv1.NewBlocksClient(c.Conn()).Block(ctx, bad); !errors.Is(err, lookupclient.ErrInvalid) {
				t.Errorf("block of %v: %v", bad, err)
			}
		}
	})
}

func TestListBlocks_PagesAreWhole(t *testing.T) {
	bubble(t, 1, func(t *testing.T, w *world) {
		c := w.client("client")
		blocks := apiv1.NewBlocksClient(c.Conn())
		var want []string
		for i := range 25 {
			block(t, c, &apiv1.BlockRequest{Kind: "cart", Key: fmt.Sprintf("%02d/ü", i)})
			want = append(want, fmt.Sprintf("%02d/ü", i))
		}
		block(t, c, &apiv1.BlockRequest{Member: "m"})
		want = append([]string{""}, want...)
		var got []string
		req := &apiv1.ListBlocksRequest{PageSize: 7}
		for {
			resp, err := blocks.ListBlocks(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range resp.Blocks {
				got = append(got, b.Key)
			}
			if req.PageToken = resp.NextPageToken; req.PageToken == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the pages are %q, want %q", got, want)
		}
		for _, bad := range []*apiv1.ListBlocksRequest{{PageSize: 1001}, {PageToken: "%"}} {
			if _, err := blocks.ListBlocks(context.Background(), bad); !errors.Is(err, lookupclient.ErrInvalid) {
				t.Errorf("%v: %v", bad, err)
			}
		}
	})
}

// A drain takes everything from a member that stays, over a change of the leader.
func TestDrain_TakesEverything_OverAFailover(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a := w.member("a", nil)
		c := w.client("client")
		ctx := context.Background()
		if _, err := c.PlaceAll(ctx, carts(1500)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		inc := a.State().Incarnation
		api := apiv1.NewMembersClient(c.Conn())
		resp, err := api.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a"})
		if err != nil || !resp.Changed || resp.Member.State != apiv1.Member_DRAINING || resp.Member.Settled == 0 {
			t.Fatalf("drain: %v, %v", resp, err)
		}
		time.Sleep(250 * time.Millisecond)
		if left := members(t, c)["a"].Settled; left == 0 || left == 1500 {
			t.Errorf("in its middle %d are left", left)
		}
		l := w.c.Leader(nil)
		l.Kill()
		w.c.Leader(l)
		until(t, "a owns nothing", func() bool { m := members(t, c)["a"]; return m.Settled+m.Pending == 0 })
		if s := a.State(); s.Incarnation != inc || s.Held != 0 || s.Lost != 0 {
			t.Errorf("the member: %+v", s)
		}
		if p, _, err := c.Place(ctx, cart(5000)); err != nil || p.Member != "b" {
			t.Errorf("place: %+v, %v", p, err)
		}
		for i, want := range []bool{false, true, false} {
			resp, err := api.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a", Off: i > 0})
			if err != nil || resp.Changed != want {
				t.Errorf("step %d: %v, %v, want changed %t", i, resp, err, want)
			}
		}
		if _, err := api.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "nobody"}); !errors.Is(err, lookupclient.ErrMemberUnknown) {
			t.Errorf("drain of nobody: %v", err)
		}
		if _, err := api.DrainMember(ctx, &apiv1.DrainMemberRequest{Name: "a b"}); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("drain of no name: %v", err)
		}
	})
}

// An operator's expiry: the member stops, its placements are free when its lease must be over and not before, and the
// process joins again.
func TestExpire_WaitsForTheLease(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		a := w.member("a", nil)
		c := w.client("client")
		ctx := context.Background()
		if _, err := c.PlaceAll(ctx, carts(20)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		inc := a.State().Incarnation
		api := apiv1.NewMembersClient(c.Conn())
		req := &apiv1.ExpireMemberRequest{Name: "a"}
		begin := time.Now()
		for {
			resp, err := api.ExpireMember(ctx, req)
			if err != nil || len(resp.Incarnations) != 1 || placement.Incarnation(resp.Incarnations[0]) != inc {
				t.Fatalf("expire: %v, %v", resp, err)
			}
			if resp.Done {
				break
			}
			if !strings.Contains(resp.WaitsFor, "the lease of a to be over") {
				t.Fatalf("it waits for %q", resp.WaitsFor)
			}
			req.Incarnations = resp.Incarnations
		}
		if took := time.Since(begin); took < 4*time.Second || took > 6500*time.Millisecond {
			t.Errorf("it was over after %v", took)
		}
		until(t, "a has joined again", func() bool { s := a.State().Incarnation; return s != inc && s != 0 })
		for i := range 20 {
			if _, _, err := c.Place(ctx, cart(i)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := api.ExpireMember(ctx, &apiv1.ExpireMemberRequest{Name: "nobody"}); !errors.Is(err, lookupclient.ErrMemberUnknown) {
			t.Errorf("expire of nobody: %v", err)
		}
		if _, err := api.ExpireMember(ctx, &apiv1.ExpireMemberRequest{Name: "a", Wait: durationpb.New(time.Hour)}); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("expire with a long wait: %v", err)
		}
	})
}

func TestMove_GoesWhereItIsTold(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		before, _, err := c.Place(ctx, cart(1))
		if err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		w.member("r", func(m *lookupclient.MemberConfig) { m.Kinds = map[string]lookupclient.Kind{"room": {}} })
		for _, tt := range []struct {
			r    lookupclient.MoveRequest
			want error
			text string
		}{
			{lookupclient.MoveRequest{Identity: cart(1), To: "nobody"}, lookupclient.ErrMemberUnknown, `no member "nobody"`},
			{lookupclient.MoveRequest{Identity: cart(1), To: "r"}, lookupclient.ErrNoMember, "does not host cart"},
			{lookupclient.MoveRequest{Identity: cart(1), To: "b", Epoch: 1}, lookupclient.ErrFenced, ""},
			{lookupclient.MoveRequest{Identity: cart(2), To: "b"}, lookupclient.ErrNotPlaced, ""},
			{lookupclient.MoveRequest{Identity: cart(1), To: "b/c"}, lookupclient.ErrInvalid, ""},
			{lookupclient.MoveRequest{To: "b"}, lookupclient.ErrInvalid, ""},
		} {
			if _, err := c.Move(ctx, tt.r); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("move %+v: %v, want %v", tt.r, err, tt.want)
			}
		}
		p, err := c.Move(ctx, lookupclient.MoveRequest{Identity: cart(1), To: "b", Epoch: before.Epoch})
		if err != nil || p.Member != "b" || p.Epoch <= before.Epoch || p.Phase != placement.Settled {
			t.Errorf("move: %+v, %v", p, err)
		}
		again, err := c.Move(ctx, lookupclient.MoveRequest{Identity: cart(1), To: "b"})
		if err != nil || again.Epoch != p.Epoch {
			t.Errorf("move to where it is: %+v, %v", again, err)
		}
		if got, err := c.Lookup(ctx, cart(1)); err != nil || got.Member != "b" {
			t.Errorf("lookup: %+v, %v", got, err)
		}
	})
}

// The owner does not answer: its lease has to end first. Whoever places the identity meanwhile finds it where it was told.
func TestMove_OwnerDoesNotAnswer_WaitsForItsLease(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c, other := w.client("client"), w.client("other")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := c.Place(ctx, cart(1)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		w.member("c", func(m *lookupclient.MemberConfig) { m.Weight = placement.WeightMax }) // all would go there otherwise
		w.isolate("a", true)
		var waited atomic.Int64
		short, cancelShort := context.WithTimeout(ctx, 2*time.Second)
		defer cancelShort()
		_, err := c.Move(short, lookupclient.MoveRequest{Identity: cart(1), To: "b", OnWaiting: func(what string) {
			if strings.Contains(what, "a") {
				waited.Add(1)
			}
		}})
		if !errors.Is(err, context.DeadlineExceeded) || waited.Load() == 0 {
			t.Errorf("while the owner does not answer: %v, told %d times", err, waited.Load())
		}
		until(t, "somebody placed it", func() bool { p, _, err := other.Place(ctx, cart(1)); return err == nil && p.Member != "a" })
		if p, err := other.Lookup(ctx, cart(1)); err != nil || p.Member != "b" {
			t.Errorf("it went to %+v, %v, want b", p, err)
		}
	})
}

// A kind that is settled by placing: nobody is asked to activate it, the owner does it when it is used.
func TestKind_SettledOnPlace_IsActivatedWhenItIsUsed(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		var began atomic.Int64
		kind := func(name string) func(*lookupclient.MemberConfig) {
			return func(m *lookupclient.MemberConfig) {
				m.Kinds["cart"] = lookupclient.Kind{Run: w.run(name), Activate: func(_ context.Context, a *lookupclient.Activation) error {
					if began.Add(1); a.Identity.Key == "bad" {
						return errors.New("no disk")
					}
					return nil
				}}
			}
		}
		a := w.member("a", kind("a"))
		c := w.client("client")
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := apiv1.NewKindsClient(c.Conn()).SetKind(ctx, &apiv1.SetKindRequest{Name: "cart", Settle: "on-place"}); err != nil {
			t.Fatal(err)
		}
		p, created, err := c.Place(ctx, cart(1))
		if err != nil || !created || p.Member != "a" {
			t.Fatalf("place: %+v, %v", p, err)
		}
		time.Sleep(10 * time.Second)
		if began.Load() != 0 {
			t.Errorf("%d were activated before they were used", began.Load())
		}
		x, err := a.Activate(ctx, cart(1))
		if err != nil || x.Epoch != p.Epoch || x.Check() != nil {
			t.Fatalf("activate: %+v, %v", x, err)
		}
		if y, err := a.Activate(ctx, cart(1)); err != nil || y != x || began.Load() != 1 {
			t.Errorf("activate again: %v, %v; begun %d times", y, err, began.Load())
		}
		b := w.member("b", kind("b"))
		if _, err := b.Activate(ctx, cart(1)); !errors.Is(err, lookupclient.ErrOwnedElsewhere) {
			t.Errorf("activate at another member: %v", err)
		}
		// One that cannot be activated is free again.
		bad := placement.Identity{Kind: "cart", Key: "bad"}
		q, _, err := c.Place(ctx, bad)
		if err != nil {
			t.Fatal(err)
		}
		owner := map[placement.MemberID]*lookupclient.Member{"a": a, "b": b}[q.Member]
		if _, err := owner.Activate(ctx, bad); err == nil || err.Error() != "no disk" {
			t.Errorf("activate what cannot be: %v", err)
		}
		until(t, "it is free", func() bool { _, err := c.Lookup(ctx, bad); return errors.Is(err, lookupclient.ErrNotPlaced) })
		// What was never used is released all the same.
		r, _, err := c.Place(ctx, cart(2))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Remove(ctx, cart(2), r.Epoch, nil); err != nil {
			t.Errorf("remove: %v", err)
		}
		if err := c.Remove(ctx, cart(1), 0, nil); err != nil || x.Check() == nil {
			t.Errorf("remove: %v; the activation's check says %v", err, x.Check())
		}
	})
}

// A drain at a rate takes so many a second, and goes on over a failover.
func TestDrain_AtARate(t *testing.T) {
	bubble(t, 3, func(t *testing.T, w *world) {
		w.member("a", nil)
		c := w.client("client")
		if _, err := c.PlaceAll(t.Context(), carts(100)); err != nil {
			t.Fatal(err)
		}
		w.member("b", nil)
		api := apiv1.NewMembersClient(c.Conn())
		begin := time.Now()
		resp, err := api.DrainMember(t.Context(), &apiv1.DrainMemberRequest{Name: "a", Rate: 10})
		if err != nil || resp.Member.DrainRate != 10 || !resp.Changed {
			t.Fatalf("drain: %v, %v", resp, err)
		}
		for range 4 {
			time.Sleep(time.Second)
			if left, took := members(t, c)["a"].Settled, time.Since(begin); 100-int(left) > int(took*10/time.Second)+1 {
				t.Errorf("after %v %d are left", took, left)
			}
		}
		w.c.Leader(nil).Kill()
		until(t, "it owns nothing", func() bool { m := members(t, c)["a"]; return m.Settled+m.Pending == 0 })
		if took := time.Since(begin); took < 10*time.Second || took > 17*time.Second {
			t.Errorf("it took %v, want 10 s and an election", took)
		}
		if _, err := api.DrainMember(t.Context(), &apiv1.DrainMemberRequest{Name: "a", Off: true, Rate: 1}); !errors.Is(err, lookupclient.ErrInvalid) {
			t.Errorf("a rate for one that is not to drain: %v", err)
		}
		if resp, err := api.DrainMember(t.Context(), &apiv1.DrainMemberRequest{Name: "a", Off: true}); err != nil || resp.Member.DrainRate != 0 {
			t.Errorf("undrain: %v, %v", resp, err)
		}
	})
}

// A member that leaves at a rate stops so many a second, whoever asks for them, also when another life of it has taken its
// place and the cluster asks for nothing; what it had not stopped at the deadline it names. Nobody acts beside another one.
func TestMember_LeaveAtARate(t *testing.T) {
	for name, superseded := range map[string]bool{"the member": false, "its former life": true} {
		bubble(t, 3, func(t *testing.T, w *world) {
			change := func(c *lookupclient.MemberConfig) { c.LeaveRate = 10 }
			a := w.member("a", change)
			c := w.client("client")
			if _, err := c.PlaceAll(t.Context(), carts(50)); err != nil {
				t.Fatal(err)
			}
			until(t, "it holds all of them", func() bool { return a.State().Held == 50 })
			if superseded {
				w.member("a", nil)
			}
			w.member("b", nil)
			placing, stop := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				for placing.Err() == nil {
					_, _ = c.PlaceAll(placing, carts(50))
					time.Sleep(50 * time.Millisecond)
				}
			}()
			begin, left := time.Now(), make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			go func() { left <- a.Leave(ctx) }()
			for range 4 {
				time.Sleep(time.Second)
				if stopped, took := 50-a.State().Held, time.Since(begin); stopped > int(took*10/time.Second)+1 || stopped < int(took*10/time.Second)-5 {
					t.Errorf("%s: after %v %d have stopped, want 10 a second", name, took, stopped)
				}
			}
			if err := <-left; err != nil {
				t.Errorf("%s: leave: %v", name, err)
			}
			if took := time.Since(begin); took < 4900*time.Millisecond || took > 6*time.Second {
				t.Errorf("%s: leaving took %v, want 5 s", name, took)
			}
			stop()
			<-done
		})
	}
	bubble(t, 3, func(t *testing.T, w *world) {
		a := w.member("a", func(c *lookupclient.MemberConfig) { c.LeaveRate = 10 })
		if _, err := w.client("client").PlaceAll(t.Context(), carts(50)); err != nil {
			t.Fatal(err)
		}
		until(t, "it holds all of them", func() bool { return a.State().Held == 50 })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var e *lookupclient.LeaveError
		if err := a.Leave(ctx); !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || len(e.Left) < 28 || len(e.Left) > 35 {
			t.Errorf("leave within two seconds: %v", err)
		}
	})
}
