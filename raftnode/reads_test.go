package raftnode_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// held keeps Raft's entries from one server, whoever sends them; heartbeats pass.
type held struct {
	mu   sync.Mutex
	to   string        // empty: nobody
	free chan struct{} // closed when they may go on
}

// change puts a server under the test's hand.
func (h *held) change(config *raftnode.Config) {
	config.Seams.Intercept = func(to, message string, answered bool) error {
		h.mu.Lock()
		wait := h.free
		if to != h.to || message != "append" || answered {
			wait = nil
		}
		h.mu.Unlock()
		if wait != nil {
			<-wait
		}
		return nil
	}
}

func (h *held) hold(to string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to, h.free = to, make(chan struct{})
}

func (h *held) release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.to != "" {
		close(h.free)
		h.to = ""
	}
}

// A follower that is behind does not answer from what it has: it waits for what was acknowledged before the look-up.
func TestReads_FollowerIsBehind_AnswersWhenItHasCaughtUp(t *testing.T) {
	h := &held{}
	site(t, 3, h.change, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		defer h.release()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		old, _, err := client.Place(ctx, file("a"))
		if err != nil {
			t.Fatal(err)
		}
		agree(t, c, 3)
		l := c.Leader(nil)
		behind := c.Others(l)[0]
		h.hold(behind.Name)
		atLeader := apiv1.NewPlacementsClient(c.Dial("client", l))
		if r, err := atLeader.Remove(ctx, &apiv1.RemoveRequest{Kind: "file", Key: "a"}); err != nil || !r.Done {
			t.Fatalf("remove: %v, %v", r, err)
		}
		want := map[string]uint64{}
		for _, key := range []string{"a", "b"} {
			r, err := atLeader.Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: key})
			if err != nil {
				t.Fatal(err)
			}
			want[key] = r.Placement.Epoch
		}
		if e, _ := behind.Node.Group().View().Lookup(file("a")); e.Epoch != old.Epoch {
			t.Fatalf("the follower has the epoch %d, and is not behind", e.Epoch)
		}
		atFollower := apiv1.NewPlacementsClient(c.Dial("client", behind))
		var answers sync.WaitGroup
		begin := time.Now()
		for key, epoch := range want {
			answers.Go(func() {
				r, err := atFollower.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: key})
				if err != nil || r.Placement.Epoch != epoch || r.Read.ServedBy != behind.Name {
					t.Errorf("look-up of %s: %v, %v; want the epoch %d, the old one is %d", key, r, err, epoch, old.Epoch)
				}
				if took := time.Since(begin); took < time.Second {
					t.Errorf("the follower answered about %s after %v, and had nothing until a second had passed", key, took)
				}
			})
		}
		time.Sleep(time.Second)
		h.release()
		answers.Wait()
	})
}

// An identity whose owner has not confirmed is not answered as if it had, by any call of any server.
func TestReads_Pending_IsNotSettled(t *testing.T) {
	slow := func(c *raftnode.Config) { c.ActivationTimeout = time.Minute }
	site(t, 3, slow, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		ready := make(chan struct{})
		m, err := client.Join(ctx, lookupclient.MemberConfig{
			Name: "slow", Address: "slow:1", Now: func() time.Duration { return time.Duration(raftnodetest.Now()) },
			Kinds: map[string]lookupclient.Kind{"cart": {Activate: func(ctx context.Context, _ *lookupclient.Activation) error {
				select {
				case <-ready:
				case <-ctx.Done():
				}
				return ctx.Err()
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		id := placement.Identity{Kind: "cart", Key: "1"}
		placed := make(chan error, 1)
		go func() {
			_, _, err := client.Place(ctx, id)
			placed <- err
		}()
		begun := time.Now()
		time.Sleep(time.Second)
		synctest.Wait()
		// Whoever asks is told who holds it, since when, and when to ask again.
		told := func(what string, err error) {
			t.Helper()
			r, data, retry := apiv1.ReasonOf(err)
			at, bad := time.Parse(time.RFC3339Nano, data["since"])
			if r != apiv1.ReasonUnsettled || data["member"] != "slow" || bad != nil || at.Sub(begun).Abs() > 100*time.Millisecond || retry <= 0 {
				t.Errorf("%s: %v, %v, again after %v; want the member slow, since %v", what, err, data, retry, begun)
			}
		}
		const batch = `{"identities":[{"kind":"cart","key":"1"}]}`
		for _, s := range c.Servers {
			if e, _ := s.Node.Group().View().Lookup(id); e.Phase != placement.Pending {
				t.Fatalf("%s has %+v, and nothing that is pending", s.Name, e)
			}
			api := apiv1.NewPlacementsClient(c.Dial("client", s))
			got, err := api.Lookup(ctx, &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key})
			if told("look-up by "+s.Name, err); got != nil {
				t.Errorf("look-up by %s: %v", s.Name, got)
			}
			// Another asker is told since when it is held, and not since when it asks.
			short, end := context.WithTimeout(ctx, time.Second)
			made, err := api.Place(short, &apiv1.PlaceRequest{Kind: id.Kind, Key: id.Key})
			end()
			if told("place by "+s.Name, err); made != nil {
				t.Errorf("place by %s: %v", s.Name, made)
			}
			all, err := api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: []*apiv1.Identity{{Kind: id.Kind, Key: id.Key}}})
			if err != nil || all.Results[0].Placement != nil || all.Results[0].Error.GetReason() != string(apiv1.ReasonUnsettled) {
				t.Errorf("look-up of a batch by %s: %v, %v", s.Name, all, err)
			} else if e := all.Results[0].Error; e.Metadata["member"] != "slow" || e.Metadata["since"] == "" || e.RetryAfter.AsDuration() <= 0 {
				t.Errorf("look-up of a batch by %s: %v", s.Name, e)
			}
			w := memoryWeb(t, c, s)
			w.get("/v1/placements/cart/1").failed(http.StatusServiceUnavailable, apiv1.ReasonUnsettled)
			a := w.call("POST", "/v1/placements:batchLookup", batch)
			if r := at(a.ok(), "results", "0"); at(r, "placement") != nil || at(r, "error", "reason") != string(apiv1.ReasonUnsettled) {
				t.Errorf("look-up of a batch by %s over HTTP: %s", s.Name, a.body)
			}
		}
		short, end := context.WithTimeout(ctx, 2*time.Second)
		defer end()
		p, refused := client.Lookup(short, id)
		if !errors.Is(refused, lookupclient.ErrUnsettled) {
			t.Fatalf("look-up by the client: %+v, %v", p, refused)
		}
		all, err := client.LookupAll(ctx, []placement.Identity{id})
		if err != nil || !errors.Is(all[0].Err, lookupclient.ErrUnsettled) {
			t.Fatalf("look-up of a batch by the client: %+v, %v", all, err)
		}
		for _, err := range []error{refused, all[0].Err} {
			var e *lookupclient.Error
			if !errors.As(err, &e) || e.Member() != "slow" || e.Since().Sub(begun).Abs() > 100*time.Millisecond || e.RetryAfter <= 0 {
				t.Errorf("the client's error is %+v", e)
			}
		}
		close(ready)
		if err := <-placed; err != nil {
			t.Errorf("place: %v", err)
		}
		if p, err := client.Lookup(ctx, id); err != nil || p.Member != "slow" {
			t.Errorf("after it confirmed: %+v, %v", p, err)
		}
	})
}

// A server that is cut off finds out that a majority is missing, and says so before its caller stops to listen: those that
// it asks may not even refuse.
func TestReads_CutOff_SaysThatAMajorityIsMissingInTime(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		s := c.Others(c.Leader(nil))[0]
		s.Isolate(true)
		time.Sleep(10 * time.Second)
		for _, timeout := range []time.Duration{500 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second} {
			for _, call := range []func(context.Context) error{
				func(ctx context.Context) error {
					_, err := apiv1.NewPlacementsClient(c.Dial("client", s)).Lookup(ctx, &apiv1.LookupRequest{Kind: "cart", Key: "1"})
					return err
				},
				func(ctx context.Context) error {
					_, err := apiv1.NewMembersClient(c.Dial("client", s)).ListMembers(ctx, &apiv1.ListMembersRequest{})
					return err
				},
			} {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				if r, _, _ := apiv1.ReasonOf(call(ctx)); r != apiv1.ReasonNoQuorum {
					t.Errorf("within %v the reason is %q, want NO_QUORUM", timeout, r)
				}
				cancel()
			}
		}
	})
}

// A log index that never comes holds nobody for longer than a moment, whatever time the caller has, and whether there is a
// leader or not. One that is on its way is waited for.
func TestReads_IndexThatNeverComes_IsRefusedSoon(t *testing.T) {
	h := &held{}
	site(t, 3, h.change, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		defer h.release()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, _, err := client.Place(ctx, file("a")); err != nil {
			t.Fatal(err)
		}
		agree(t, c, 3)
		l := c.Leader(nil)
		behind := c.Others(l)[0]
		ask := func(s *raftnodetest.Server, level apiv1.Level_Name, index uint64) (time.Duration, error) {
			begin := time.Now()
			_, err := apiv1.NewPlacementsClient(c.Dial("client", s)).Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: "a", Level: level, MinIndex: index})
			return time.Since(begin), err
		}
		for _, s := range []*raftnodetest.Server{l, behind} {
			for _, level := range []apiv1.Level_Name{apiv1.Level_LEASED, apiv1.Level_LEADER, apiv1.Level_STALE} {
				if took, err := ask(s, level, 1<<60); reasonOf(err) != apiv1.ReasonTooStale || took > time.Second {
					t.Errorf("%s, %v: %v after %v", s.Name, level, err, took)
				}
			}
		}
		// What is committed comes, also where it is late.
		h.hold(behind.Name)
		seen, err := apiv1.NewPlacementsClient(c.Dial("client", l)).Place(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "b"})
		if err != nil {
			t.Fatal(err)
		}
		if has := behind.Node.Group().View().Index; has >= seen.Read.Index {
			t.Fatalf("%s has index %d, and is not behind %d", behind.Name, has, seen.Read.Index)
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			h.release()
		}()
		if took, err := ask(behind, apiv1.Level_STALE, seen.Read.Index); err != nil || took < 100*time.Millisecond {
			t.Errorf("an index that is late: %v after %v", err, took)
		}
		// Without a leader, too.
		behind.Isolate(true)
		time.Sleep(10 * time.Second)
		if took, err := ask(behind, apiv1.Level_STALE, 1<<60); reasonOf(err) != apiv1.ReasonTooStale || took > time.Second {
			t.Errorf("cut off: %v after %v", err, took)
		}
	})
}
