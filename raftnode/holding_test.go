package raftnode_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/raftnode/lease"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// looks looks a file up at one server.
func looks(ctx context.Context, api apiv1.PlacementsClient, key string) (*apiv1.LookupResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	return api.Lookup(ctx, &apiv1.LookupRequest{Kind: "file", Key: key})
}

// leased waits until a server answers under its read lease, and returns the answer.
func leased(t *testing.T, api apiv1.PlacementsClient, key string) *apiv1.LookupResponse {
	t.Helper()
	for range 100 {
		if r, err := looks(t.Context(), api, key); err == nil && r.Read.Level == apiv1.Level_LEASED {
			return r
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("no look-up is answered under a lease")
	return nil
}

// placed places a file and removes it at a server.
func placeFile(t *testing.T, api apiv1.PlacementsClient, key string) (epoch uint64) {
	t.Helper()
	r, err := api.Place(t.Context(), &apiv1.PlaceRequest{Kind: "file", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return r.Placement.Epoch
}

func removeFile(t *testing.T, api apiv1.PlacementsClient, key string) (took time.Duration) {
	t.Helper()
	begin := time.Now()
	r, err := api.Remove(t.Context(), &apiv1.RemoveRequest{Kind: "file", Key: key, Wait: durationpb.New(9 * time.Second)})
	if err != nil || !r.Done {
		t.Fatalf("remove: %v, %v", r, err)
	}
	return time.Since(begin)
}

// A server with a lease answers alone: cut off from all others it answers on, until its lease is over, and not a moment longer.
func TestReadLease_FollowerIsCutOff_AnswersUntilItEnds(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		api := apiv1.NewPlacementsClient(c.Dial("client", f))
		epoch := placeFile(t, api, "a")
		r := leased(t, api, "a")
		if r.Read.ServedBy != f.Name || r.Read.Role != apiv1.Role_FOLLOWER || r.Read.GrantedBy != l.Name || r.Read.GrantedTerm != r.Read.Term ||
			r.Read.Floor == 0 || r.Read.Floor > r.Read.Index || r.Read.LeaseLeft.AsDuration() <= 0 || r.Placement.Epoch != epoch {
			t.Errorf("the answer is %v", r)
		}
		f.Isolate(true)
		cut := time.Now()
		last := time.Time{}
		for time.Since(cut) < 5*time.Second {
			r, err := looks(t.Context(), api, "a")
			switch {
			case err == nil && r.Read.Level != apiv1.Level_LEASED:
				t.Fatalf("cut off, %s answers by %v", f.Name, r.Read)
			case err == nil:
				last = time.Now()
				if left := r.Read.LeaseLeft.AsDuration(); left <= 0 || left > raftnode.ReadLeaseDefault {
					t.Fatalf("%v of the lease are left", left)
				}
			case last.IsZero():
				t.Fatalf("cut off, with a lease: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if held := last.Sub(cut); held < raftnode.ReadLeaseDefault/2 || held > raftnode.ReadLeaseDefault {
			t.Errorf("it answered for %v, and a lease lasts %v", held, raftnode.ReadLeaseDefault)
		}
		// What is not settled is never answered under a lease.
		f.Isolate(false)
		leased(t, api, "a")
		if r, err := looks(t.Context(), api, "other"); reasonOf(err) != apiv1.ReasonNotPlaced {
			t.Errorf("an identity that is nowhere: %v, %v", r, err)
		}
	})
}

// Read leases are counted from before what proves them was sent (H1, S8), a follower's and the leader's own: with slow links both
// are shorter by a round trip when they come.
func TestReadLease_SlowLinks_IsCountedFromTheRequest(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		const late = 100 * time.Millisecond
		l := c.Leader(nil)
		for _, f := range c.Others(l) {
			c.Network.Delay(l.Host, f.Host, late)
			c.Network.Delay(f.Host, l.Host, late)
		}
		placeFile(t, apiv1.NewPlacementsClient(c.Dial("client", l)), "a")
		time.Sleep(2 * raftnode.ReadLeaseDefault) // what is older than the slow links has ended
		for _, s := range c.Others() {
			api := apiv1.NewPlacementsClient(c.Dial("client", s))
			leased(t, api, "a")
			answers, longest := 0, time.Duration(0)
			for range 500 {
				if r, err := looks(t.Context(), api, "a"); err == nil && r.Read.Level == apiv1.Level_LEASED {
					answers, longest = answers+1, max(longest, r.Read.LeaseLeft.AsDuration())
				}
				time.Sleep(10 * time.Millisecond)
			}
			if most := raftnode.ReadLeaseDefault - 2*late; answers < 250 || longest > most || longest < most/2 {
				t.Errorf("%s: %d of 500 look-ups are answered under a lease, of which %v are left at most, want up to %v", s.Name, answers, longest, most)
			}
		}
		if c.Leader(nil) != l {
			t.Error("there is another leader")
		}
	})
}

func reasonOf(err error) apiv1.Reason {
	r, _, _ := apiv1.ReasonOf(err)
	return r
}

// A removal waits for every holder of a lease: one round of messages when all are there, and until its lease is over for one
// that is cut off. Who is waited for can be seen.
func TestReadLease_Removal_WaitsForHolders(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		time.Sleep(lease.Stretch(raftnode.ReadLeaseDefault)) // former leaders'
		f := c.Others(l)[0]
		atLeader, atFollower := apiv1.NewPlacementsClient(c.Dial("client", l)), apiv1.NewPlacementsClient(c.Dial("client", f))
		for _, s := range c.Others(l) {
			api := apiv1.NewPlacementsClient(c.Dial("client", s))
			placeFile(t, api, "a")
			leased(t, api, "a")
		}
		for i := range 10 { // messages take no time here: nobody waits for a heartbeat, of which there is one each 10 to 20 ms
			if i > 0 {
				placeFile(t, atLeader, "a")
				leased(t, atFollower, "a")
			}
			if took := removeFile(t, atLeader, "a"); took > 5*time.Millisecond {
				t.Errorf("with every holder there a removal takes %v", took)
			}
		}
		old := placeFile(t, atLeader, "a")
		leased(t, atFollower, "a")
		f.Isolate(true)
		cut := time.Now()
		removed := make(chan error, 1)
		go func() {
			r, err := atLeader.Remove(context.Background(), &apiv1.RemoveRequest{Kind: "file", Key: "a", Wait: durationpb.New(9 * time.Second)})
			if err == nil && !r.Done {
				err = fmt.Errorf("not done: %v", r)
			}
			removed <- err
		}()
		time.Sleep(time.Second)
		r, err := looks(t.Context(), atFollower, "a")
		if err != nil || r.Placement.Epoch != old || r.Read.Level != apiv1.Level_LEASED {
			t.Errorf("the holder that is cut off: %v, %v", r, err)
		}
		if r, err := looks(t.Context(), atLeader, "a"); reasonOf(err) != apiv1.ReasonUnsettled {
			t.Errorf("the removal shows before it is complete: %v, %v", r, err)
		}
		list, err := atLeader.List(t.Context(), &apiv1.ListRequest{Unsettled: true})
		if err != nil || len(list.Placements) != 1 || list.Hold.GetServer() != f.Name || list.Hold.GetLeft().AsDuration() <= 0 || list.Hold.GetWaited().AsDuration() < 900*time.Millisecond {
			t.Errorf("what waits is not shown: %v, %v", list, err)
		}
		if err := <-removed; err != nil {
			t.Error(err)
		}
		if took := time.Since(cut); took < time.Second || time.Since(cut) > lease.Stretch(raftnode.ReadLeaseDefault)+200*time.Millisecond {
			t.Errorf("the removal took %v", took)
		}
		if r, err := looks(t.Context(), atFollower, "a"); err == nil {
			t.Errorf("after the removal was complete the holder answered %v", r)
		}
	})
}

// A server that is behind for long gets no more time, so it holds removals back for as long as its lease lasts and no longer.
func TestReadLease_HolderIsBehind_IsNotRenewed(t *testing.T) {
	h := &held{}
	site(t, 3, h.change, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		defer h.release()
		l := c.Leader(nil)
		time.Sleep(lease.Stretch(raftnode.ReadLeaseDefault))
		f := c.Others(l)[0]
		atLeader, atFollower := apiv1.NewPlacementsClient(c.Dial("client", l)), apiv1.NewPlacementsClient(c.Dial("client", f))
		placeFile(t, atFollower, "a")
		leased(t, atFollower, "a")
		h.hold(f.Name)
		stop := make(chan struct{})
		var reads sync.WaitGroup
		reads.Go(func() { // it wants to keep its lease
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					_, _ = looks(context.Background(), atFollower, "a")
				}
			}
		})
		took := removeFile(t, atLeader, "a")
		if limit := lease.GraceDefault + lease.Stretch(raftnode.ReadLeaseDefault) + 500*time.Millisecond; took < time.Second || took > limit {
			t.Errorf("the removal took %v, at most %v is allowed", took, limit)
		}
		if next := removeFileAgain(t, atLeader); next > 300*time.Millisecond {
			t.Errorf("the next removal took %v, and the one that is behind has no lease any more", next)
		}
		close(stop)
		reads.Wait()
	})
}

func removeFileAgain(t *testing.T, api apiv1.PlacementsClient) time.Duration {
	placeFile(t, api, "b")
	return removeFile(t, api, "b")
}

// Leases of the old leader are good while a new one is elected: nobody who reads notices.
func TestReadLease_LeaderIsKilled_LookUpsGoOn(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		api := apiv1.NewPlacementsClient(c.Dial("client", f))
		placeFile(t, api, "a")
		leased(t, api, "a")
		time.Sleep(5 * time.Second) // the lease is in the middle of its rounds
		leased(t, api, "a")
		l.Kill()
		begin, slowest := time.Now(), time.Duration(0)
		for time.Since(begin) < 6*time.Second {
			at := time.Now()
			if r, err := looks(t.Context(), api, "a"); err != nil {
				t.Fatalf("%v after the leader was killed: %v, %v", time.Since(begin), r, err)
			}
			slowest = max(slowest, time.Since(at))
			time.Sleep(5 * time.Millisecond)
		}
		if slowest > 50*time.Millisecond {
			t.Errorf("a look-up took %v", slowest)
		}
		// The new leader does not know who was granted what: its removals wait for all that may have been.
		next := c.Leader(l)
		atNext := apiv1.NewPlacementsClient(c.Dial("client", next))
		next.Kill()
		l.Start()
		third := c.Leader(next)
		s := statusOf(t, c, third)
		if s.Hold.GetFormer().AsDuration() <= 0 {
			t.Errorf("a tenure that has just begun says of what it waits for: %v", s.Hold)
		}
		_ = atNext
	})
}

// Without read leases each look-up asks the leader, and nobody has to be waited for.
func TestReadLease_Off_EachLookUpAsksTheLeader(t *testing.T) {
	off := func(c *raftnode.Config) { c.NoReadLeases = true }
	site(t, 3, off, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		api := apiv1.NewPlacementsClient(c.Dial("client", f))
		placeFile(t, api, "a")
		for range 20 {
			if r, err := looks(t.Context(), api, "a"); err != nil || r.Read.Level != apiv1.Level_LEADER {
				t.Fatalf("without leases: %v, %v", r, err)
			}
			time.Sleep(50 * time.Millisecond)
		}
		if took := removeFile(t, apiv1.NewPlacementsClient(c.Dial("client", l)), "a"); took > 100*time.Millisecond {
			t.Errorf("a removal took %v", took)
		}
		f.Isolate(true)
		if r, err := looks(t.Context(), api, "a"); err == nil {
			t.Errorf("cut off it answered %v", r)
		}
	})
}

// Nobody reads, nobody writes: the log does not grow for the sake of leases.
func TestReadLease_NobodyReads_NothingIsWritten(t *testing.T) {
	bubble(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster) {
		l := c.Leader(nil)
		api := apiv1.NewPlacementsClient(c.Dial("client", c.Others(l)[0]))
		_, _ = looks(t.Context(), api, "a")
		time.Sleep(3 * time.Minute)
		before := l.Node.Group().View().Index
		idle := time.Duration(underrace.Rounds(10, 1)) * time.Minute
		time.Sleep(idle)
		if after := l.Node.Group().View().Index; after != before {
			t.Errorf("in %v without a reader the log grew from %d to %d", idle, before, after)
		}
	})
}

// A stale answer says how old it may be, and is refused rather than older, or less far, than was asked for.
func TestReadLevels_Stale_SaysItsAgeAndKeepsItsBounds(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, _ *lookupclient.Client) {
		l := c.Leader(nil)
		f := c.Others(l)[0]
		api := apiv1.NewPlacementsClient(c.Dial("client", f))
		placeFile(t, api, "a")
		stale := func(age time.Duration, index uint64) (*apiv1.LookupResponse, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			req := &apiv1.LookupRequest{Kind: "file", Key: "a", Level: apiv1.Level_STALE, MinIndex: index}
			if age > 0 {
				req.MaxStaleness = durationpb.New(age)
			}
			return api.Lookup(ctx, req)
		}
		leased(t, api, "a")
		// The leader proves it when it has to be known.
		r, err := stale(100*time.Millisecond, 0)
		if err != nil || r.Read.Level != apiv1.Level_STALE || r.Read.Age == nil || r.Read.Age.AsDuration() > 100*time.Millisecond {
			t.Errorf("a stale look-up: %v, %v", r, err)
		}
		f.Isolate(true)
		time.Sleep(7 * time.Second)
		r, err = stale(0, 0)
		if age := r.GetRead().GetAge().AsDuration(); err != nil || age < 7*time.Second || age > 8*time.Second {
			t.Errorf("cut off for seven seconds: %v, %v", r, err)
		}
		if r, err := stale(5*time.Second, 0); reasonOf(err) != apiv1.ReasonTooStale {
			t.Errorf("a state of seven seconds, five allowed: %v, %v", r, err)
		}
		if r, err := stale(time.Minute, 0); err != nil {
			t.Errorf("a state of seven seconds, a minute allowed: %v, %v", r, err)
		}
		// The others go on.
		other := apiv1.NewPlacementsClient(c.Dial("client", l))
		placeFile(t, other, "b")
		seen, err := looks(t.Context(), other, "b")
		if err != nil {
			t.Fatal(err)
		}
		if r, err := stale(0, seen.Read.Index); reasonOf(err) != apiv1.ReasonTooStale {
			t.Errorf("at index %d, which it has not: %v, %v", seen.Read.Index, r, err)
		}
		f.Isolate(false)
		time.Sleep(2 * time.Second)
		if r, err := stale(0, seen.Read.Index); err != nil || r.Read.Index < seen.Read.Index {
			t.Errorf("at index %d, healed: %v, %v", seen.Read.Index, r, err)
		}
		for _, bad := range []*apiv1.LookupRequest{
			{Kind: "file", Key: "a", Level: 7}, {Kind: "file", Key: "a", MaxStaleness: durationpb.New(time.Second)},
			{Kind: "file", Key: "a", Level: apiv1.Level_STALE, MaxStaleness: durationpb.New(-time.Second)},
		} {
			if r, err := api.Lookup(t.Context(), bad); reasonOf(err) != apiv1.ReasonInvalidArgument {
				t.Errorf("%v: %v, %v", bad, r, err)
			}
		}
		if r, err := api.Lookup(t.Context(), &apiv1.LookupRequest{Kind: "file", Key: "a", Level: apiv1.Level_LEADER, MinIndex: seen.Read.Index}); err != nil || r.Read.Level != apiv1.Level_LEADER {
			t.Errorf("by the leader: %v, %v", r, err)
		}
	})
}

// Whatever is cut, killed or behind, a look-up at any server is linearizable: it never shows an owner whose removal was
// acknowledged before it began, and never one older than somebody was shown before.
func TestReadLease_Turmoil_LookUpsAreLinearizable(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		(&turmoil{t: t, c: c, random: rand.New(rand.NewPCG(0, 1))}).run(client)
	})
}

// turmoil is one run. Its identity has a new epoch whenever it was removed, so the newest epoch that anybody had to see is
// a number that only grows.
type turmoil struct {
	t      *testing.T
	c      *raftnodetest.Cluster
	random *rand.Rand

	mu      sync.Mutex
	seen    uint64 // the newest epoch that somebody was shown
	gone    uint64 // the newest epoch whose removal was acknowledged
	leased  int
	removed int
}

func (u *turmoil) run(client *lookupclient.Client) {
	ctx, cancel := context.WithCancel(context.Background())
	var tasks sync.WaitGroup
	for _, s := range u.c.Servers {
		tasks.Go(func() { u.read(ctx, s) })
	}
	tasks.Go(func() { u.write(ctx, client) })
	for range underrace.Rounds(12, 4) {
		u.strike()
	}
	cancel()
	tasks.Wait()
	if u.leased < 20 || u.removed < underrace.Rounds(5, 2) {
		u.t.Errorf("%d look-ups under leases, %d removals: too few to show anything", u.leased, u.removed)
	}
}

// strike does one bad thing for a while.
func (u *turmoil) strike() {
	s := u.c.Servers[u.random.IntN(3)]
	o := u.c.Servers[(u.random.IntN(2)+1)%3]
	wait := func(most int) { time.Sleep(time.Duration(u.random.IntN(most)) * time.Millisecond) }
	switch u.random.IntN(4) {
	case 0:
		s.Isolate(true)
		wait(8000)
		s.Isolate(false)
	case 1:
		u.c.Network.Cut(s.Host, o.Host, true)
		wait(5000)
		u.c.Network.Cut(s.Host, o.Host, false)
	case 2:
		s.Kill()
		wait(3000)
		s.Start()
	case 3:
		u.c.Network.Delay(s.Host, o.Host, time.Duration(u.random.IntN(300))*time.Millisecond)
		wait(3000)
		u.c.Network.Delay(s.Host, o.Host, 0)
	}
	wait(3000)
}

func (u *turmoil) write(ctx context.Context, client *lookupclient.Client) {
	for ctx.Err() == nil {
		step, cancel := context.WithTimeout(ctx, 10*time.Second)
		p, _, err := client.Place(step, file("x"))
		if err == nil {
			u.note(uint64(p.Epoch), 0, 0, 0)
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond) // a removal may take no time
			if err = client.Remove(step, file("x"), p.Epoch, nil); err == nil {
				u.mu.Lock()
				u.gone = max(u.gone, uint64(p.Epoch))
				u.removed++
				u.mu.Unlock()
			}
		}
		cancel()
		time.Sleep(time.Duration(rand.IntN(700)) * time.Millisecond)
	}
}

// note takes in that an epoch was shown to somebody who asked when seen and gone were as given.
func (u *turmoil) note(epoch, seen, gone uint64, by apiv1.Level_Name) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if epoch < seen || epoch <= gone {
		u.t.Errorf("a look-up by %v shows the epoch %d; before it began %d was shown and %d was removed", by, epoch, seen, gone)
	}
	u.seen = max(u.seen, epoch)
	if by == apiv1.Level_LEASED {
		u.leased++
	}
}

func (u *turmoil) read(ctx context.Context, s *raftnodetest.Server) {
	conn := u.c.Dial("client-"+s.Name, s)
	api := apiv1.NewPlacementsClient(conn)
	for ctx.Err() == nil {
		u.mu.Lock()
		seen, gone := u.seen, u.gone
		u.mu.Unlock()
		if r, err := looks(ctx, api, "x"); err == nil {
			u.note(r.Placement.Epoch, seen, gone, r.Read.Level)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Whoever is told that a placement ended has to be right at every server from then on, the owner too.
func TestReadLease_ReleasedByItsOwner_NobodyIsToldBeforeAllSeeIt(t *testing.T) {
	site(t, 3, nil, func(t *testing.T, c *raftnodetest.Cluster, client *lookupclient.Client) {
		l := c.Leader(nil)
		time.Sleep(lease.Stretch(raftnode.ReadLeaseDefault))
		f := c.Others(l)[0]
		atLeader, atFollower := apiv1.NewPlacementsClient(c.Dial("client", l)), apiv1.NewPlacementsClient(c.Dial("client", f))
		m, err := client.Join(t.Context(), lookupclient.MemberConfig{
			Name: "m2", Address: "m2:1", Now: func() time.Duration { return time.Duration(raftnodetest.Now()) },
			Kinds: map[string]lookupclient.Kind{"room": {}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if _, err := atLeader.Place(t.Context(), &apiv1.PlaceRequest{Kind: "room", Key: "1"}); err != nil {
			t.Fatal(err)
		}
		room := func(api apiv1.PlacementsClient) (*apiv1.LookupResponse, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			return api.Lookup(ctx, &apiv1.LookupRequest{Kind: "room", Key: "1"})
		}
		for range 20 {
			if r, err := room(atFollower); err == nil && r.Read.Level == apiv1.Level_LEASED {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		f.Isolate(true)
		left := make(chan error, 1)
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			left <- m.Leave(ctx)
		}()
		shown := 0
		for {
			select {
			case err := <-left:
				if err != nil {
					t.Errorf("leave: %v", err)
				}
				if r, err := room(atFollower); err == nil {
					t.Errorf("it has left, and %s answers %v", f.Name, r)
				}
				members, err := apiv1.NewMembersClient(c.Dial("client", l)).ListMembers(t.Context(), &apiv1.ListMembersRequest{})
				if err != nil || slices.ContainsFunc(members.Members, func(m *apiv1.Member) bool { return m.Name == "m2" && m.State != apiv1.Member_LEFT }) {
					t.Errorf("the members are %v, %v", members, err)
				}
				if shown == 0 {
					t.Error("the follower had no lease, so nothing was shown")
				}
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := room(atFollower); err == nil {
					shown++
				}
			}
		}
	})
}
