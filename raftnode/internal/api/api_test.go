package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/snapshot"
)

func reasonOf(err error) apiv1.Reason {
	r, _, _ := apiv1.ReasonOf(err)
	return r
}

// The three outcomes of a proposal stay apart.
func TestOutcomeError_UnknownIsUnknown_AndNothingElseIs(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want apiv1.Reason
		code codes.Code
	}{
		{&group.UnknownError{Term: 3, Err: context.DeadlineExceeded}, apiv1.ReasonOutcomeUnknown, codes.Unknown},
		{fmt.Errorf("x: %w", &group.UnknownError{Term: 3, Err: group.ErrNotLeader}), apiv1.ReasonOutcomeUnknown, codes.Unknown},
		{group.ErrNotLeader, apiv1.ReasonNoLeader, codes.Unavailable},
		{fmt.Errorf("x: %w", group.ErrNotLeader), apiv1.ReasonNoLeader, codes.Unavailable},
		{group.ErrQueueFull, apiv1.ReasonOverloaded, codes.ResourceExhausted},
		{group.ErrClosed, apiv1.ReasonNoLeader, codes.Unavailable},
		{context.DeadlineExceeded, apiv1.ReasonOverloaded, codes.ResourceExhausted},
		{context.Canceled, "", codes.Canceled},
		{errors.New("x"), apiv1.ReasonInternal, codes.Internal},
		{invalid("x"), apiv1.ReasonInvalidArgument, codes.InvalidArgument},
	} {
		err := outcomeError(tt.err)
		if reasonOf(err) != tt.want || status.Code(err) != tt.code {
			t.Errorf("%v: %v, want %s, %v", tt.err, err, tt.want, tt.code)
		}
		unchanged := strings.Contains(status.Convert(err).Message(), "nothing was changed")
		if tt.want != apiv1.ReasonOutcomeUnknown && tt.code != codes.Internal && tt.code != codes.InvalidArgument && !unchanged {
			t.Errorf("%v: %q does not say that nothing was changed", tt.err, err)
		}
	}
}

// Every verdict has its reason, and only mistakes are INTERNAL.
func TestVerdictError_EveryVerdict(t *testing.T) {
	want := map[placement.Verdict]apiv1.Reason{
		placement.Done: "", placement.Already: "", placement.Unsettled: apiv1.ReasonUnsettled, placement.NotPlaced: apiv1.ReasonNotPlaced,
		placement.EpochMismatch: apiv1.ReasonEpochMismatch, placement.NotOwner: apiv1.ReasonEpochMismatch, placement.MemberGone: apiv1.ReasonMemberExpired,
		placement.Forgotten: apiv1.ReasonOutcomeUnknown, placement.RequestReused: apiv1.ReasonInvalidArgument, placement.LimitReached: apiv1.ReasonInvalidArgument,
		placement.WrongTerm: apiv1.ReasonNoLeader, placement.UnknownStrategy: apiv1.ReasonInvalidArgument,
		placement.Blocked: apiv1.ReasonIdentityBlocked, placement.Barred: apiv1.ReasonMemberBlocked, placement.LevelNotReached: apiv1.ReasonUnsupportedVersion,
	}
	id := placement.Identity{Kind: "file", Key: "a"}
	for v := placement.Verdict(0); v < 50; v++ {
		err := verdictError(id, &fsm.Result{Verdict: v, Entry: placement.Entry{Epoch: 7}, Owner: &placement.Member{ID: "m1"}})
		w, known := want[v]
		if !known {
			w = apiv1.ReasonInternal
		}
		if reasonOf(err) != w || (err == nil) != (w == "") {
			t.Errorf("%v: %v, want %q", v, err, w)
		}
		_, data, _ := apiv1.ReasonOf(err)
		if w == apiv1.ReasonEpochMismatch && (data["epoch"] != "7" || data["member"] != "m1" || data["key"] != "a") {
			t.Errorf("%v: metadata %v", v, data)
		}
		// A retry that came too late must not be tried for ever.
		if v == placement.Forgotten && data["forgotten"] == "" {
			t.Errorf("%v: metadata %v", v, data)
		}
	}
}

func TestBudget_LeavesTimeForTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct{ given, want time.Duration }{
			{0, budgetDefault}, {10 * time.Second, 10*time.Second - budgetMargin}, {time.Hour, budgetMax - budgetMargin},
			{100 * time.Millisecond, 75 * time.Millisecond}, {4 * time.Millisecond, 3 * time.Millisecond}, {-time.Second, 0},
		} {
			ctx, cancel := t.Context(), func() {}
			if tt.given != 0 {
				ctx, cancel = context.WithTimeout(ctx, tt.given)
			}
			inner, end := budget(ctx, budgetMargin)
			at, ok := inner.Deadline()
			if got := max(0, time.Until(at)); !ok || got != tt.want {
				t.Errorf("of %v a call has %v, want %v", tt.given, got, tt.want)
			}
			end()
			cancel()
		}
	})
}

// Items of a batch have requests of their own, the same for each attempt.
func TestItemRequest_DistinctAndStable(t *testing.T) {
	for _, base := range []snapshot.RequestID{{1}, {15: 0xff, 14: 0xff}, {0: 1, 15: 1}} {
		seen := map[snapshot.RequestID]int{base: -1}
		for i := range BatchMax {
			r := itemRequest(base, i)
			if other, ok := seen[r]; ok {
				t.Fatalf("item %d has the request of item %d", i, other)
			}
			seen[r] = i
			if r != itemRequest(base, i) {
				t.Errorf("item %d has two requests", i)
			}
		}
	}
	if r := itemRequest(snapshot.RequestID{}, 5); r != (snapshot.RequestID{}) {
		t.Errorf("no request: %v", r)
	}
}

// Every unary call of the contract has a response that a forwarding server can make.
func TestNewResponse_EveryMethod(t *testing.T) {
	for method := range leaderOnly {
		m, err := newResponse(method)
		if err != nil || !strings.HasSuffix(string(m.ProtoReflect().Descriptor().Name()), "Response") {
			t.Errorf("%s: %v, %v", method, m, err)
		}
	}
	for _, bad := range []string{"/x", "/berth.v1.Placements/Nothing"} {
		if _, err := newResponse(bad); err == nil {
			t.Errorf("%s has a response", bad)
		}
	}
}

// follower is a server whose group is without a leader, or has one elsewhere.
type follower struct {
	Backend
	quorum bool
}

func (f *follower) Self() Self                      { return Self{Name: "s1"} }
func (f *follower) Cluster() string                 { return "c" }
func (f *follower) Group() *group.Group             { return nil }
func (f *follower) Driver() *leader.Driver          { return nil }
func (f *follower) Quorum(ctx context.Context) bool { return f.quorum }
func (f *follower) ReadView(ctx context.Context) (*snapshot.View, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A server without a cluster says so within the time that the caller has.
func TestServer_NoCluster_SaysSoInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&follower{}, nil)
		handle := func(ctx context.Context, req any) (any, error) { return s.Place(ctx, req.(*apiv1.PlaceRequest)) }
		info := &grpc.UnaryServerInfo{FullMethod: apiv1.Placements_Place_FullMethodName}
		for _, limit := range []time.Duration{time.Second, 0} {
			ctx, cancel := t.Context(), func() {}
			if limit != 0 {
				ctx, cancel = context.WithTimeout(ctx, limit)
			}
			begin := time.Now()
			_, err := s.Unary(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"}, info, handle)
			if took := time.Since(begin); reasonOf(err) != apiv1.ReasonNoLeader || limit != 0 && took >= limit || took > budgetDefault {
				t.Errorf("with %v: %v after %v", limit, err, took)
			}
			cancel()
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Unary(ctx, &apiv1.PlaceRequest{Kind: "file", Key: "a"}, info, handle); status.Code(err) != codes.Canceled {
			t.Errorf("the caller went away: %v", err)
		}
		if _, err := s.View(t.Context()); reasonOf(err) != apiv1.ReasonNoLeader {
			t.Errorf("view: %v", err)
		}
		if r := s.role(); r != apiv1.Role_FORMING {
			t.Errorf("role %v", r)
		}
	})
}

// A change is named before its first attempt, and asked for again under its name. An outcome that became unknown stays so,
// unless the state says what became of the request.
func TestLeaderCall_Attempts(t *testing.T) {
	unknown := fail(apiv1.ReasonOutcomeUnknown, nil, "x")
	noLeader := outcomeError(group.ErrNotLeader)
	for _, tt := range []struct {
		name     string
		req      proto.Message
		attempts []error // the last one is repeated
		want     apiv1.Reason
		tries    int // zero for as many as the time allows
	}{
		{"unknown, then done", &apiv1.PlaceRequest{}, []error{unknown, nil}, "", 2},
		{"a removal with a name", &apiv1.RemoveRequest{Retry: &apiv1.Retry{RequestId: "01JD3VXK5N8Y2T3B4C5D6E7F8G"}}, []error{unknown, nil}, "", 2},
		{"a kind's settings", &apiv1.SetKindRequest{}, []error{unknown, noLeader, nil}, "", 3},
		{"no leader, then done", &apiv1.PlaceRequest{}, []error{noLeader, noLeader, nil}, "", 3},
		{"no leader for long", &apiv1.PlaceRequest{}, []error{noLeader}, apiv1.ReasonNoLeader, 0},
		{"unknown, then no leader for long", &apiv1.PlaceRequest{}, []error{unknown, noLeader}, apiv1.ReasonOutcomeUnknown, 0},
		{"no leader, then unknown, then no leader", &apiv1.PlaceRequest{}, []error{noLeader, unknown, noLeader}, apiv1.ReasonOutcomeUnknown, 0},
		{"overloaded", &apiv1.PlaceRequest{}, []error{outcomeError(group.ErrQueueFull)}, apiv1.ReasonOverloaded, 1},
		{"unknown, then overloaded", &apiv1.PlaceRequest{}, []error{unknown, outcomeError(group.ErrQueueFull)}, apiv1.ReasonOutcomeUnknown, 2},
		{"unknown, then no time", &apiv1.PlaceRequest{}, []error{unknown, outcomeError(context.DeadlineExceeded)}, apiv1.ReasonOutcomeUnknown, 2},
		{"unknown, then given up", &apiv1.PlaceRequest{}, []error{unknown, outcomeError(context.Canceled)}, apiv1.ReasonOutcomeUnknown, 2},
		{"unknown, then a mistake", &apiv1.PlaceRequest{}, []error{unknown, outcomeError(errors.New("x"))}, apiv1.ReasonOutcomeUnknown, 2},
		{"unknown, then decided", &apiv1.PlaceRequest{}, []error{unknown, fail(apiv1.ReasonNoEligibleMember, nil, "x")}, apiv1.ReasonNoEligibleMember, 2},
		{"no leader, then overloaded", &apiv1.PlaceRequest{}, []error{noLeader, outcomeError(group.ErrQueueFull)}, apiv1.ReasonOverloaded, 2},
		{"forgotten", &apiv1.PlaceRequest{}, []error{fail(apiv1.ReasonOutcomeUnknown, map[string]string{"forgotten": "true"}, "x")}, apiv1.ReasonOutcomeUnknown, 1},
		{"a server's removal", &apiv1.RemoveServerRequest{}, []error{unknown}, apiv1.ReasonOutcomeUnknown, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := &leaderCall{server: New(&follower{}, nil), req: tt.req, changes: true}
			c.name()
			x, named := tt.req.(retried)
			id := ""
			if named {
				id = x.GetRetry().RequestId
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			tries, wasUnknown := 0, false
			_, err := c.persist(ctx, func(context.Context) (any, error) {
				err := tt.attempts[min(tries, len(tt.attempts)-1)]
				tries++
				if named && (len(id) != 26 || x.GetRetry().RequestId != id || x.GetRetry().Again != wasUnknown) {
					t.Errorf("%s: attempt %d with %v", tt.name, tries, x.GetRetry())
				}
				wasUnknown = wasUnknown || reasonOf(err) == apiv1.ReasonOutcomeUnknown
				return "done", err
			})
			if reasonOf(err) != tt.want || (err == nil) != (tt.want == "") || tt.tries != 0 && tries != tt.tries || tt.tries == 0 && tries < 5 {
				t.Errorf("%s: %v after %d attempts, want %q after %d", tt.name, err, tries, tt.want, tt.tries)
			}
		})
	}
}

// What came from the way to the leader, and not from it, is unknown for a change, and nothing for a question.
func TestLeaderCall_LeaderDoesNotAnswer(t *testing.T) {
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Canceled} {
		way := status.Error(code, "x")
		change, question := &leaderCall{changes: true}, &leaderCall{}
		if r := reasonOf(change.forwardError("s2", way)); r != apiv1.ReasonOutcomeUnknown {
			t.Errorf("%v of a change: %s", code, r)
		}
		if r := reasonOf(question.forwardError("s2", way)); r != apiv1.ReasonNoLeader {
			t.Errorf("%v of a question: %s", code, r)
		}
	}
	typed := notPlaced(placement.Identity{Kind: "file", Key: "a"})
	if err := (&leaderCall{changes: true}).forwardError("s2", typed); err != typed {
		t.Errorf("an error of the leader became %v", err)
	}
}

func TestUnaryPeer_KnowsWhoForwarded(t *testing.T) {
	s := New(&follower{}, nil)
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs(forwardedHeader, "s2"))
	got := ""
	_, err := s.UnaryPeer(ctx, nil, nil, func(ctx context.Context, _ any) (any, error) {
		got = forwardedBy(ctx)
		return nil, errors.New("x")
	})
	if got != "s2" || reasonOf(err) != apiv1.ReasonInternal {
		t.Errorf("forwarded by %q, %v", got, err)
	}
	if got := forwardedBy(ctx); got != "" {
		t.Errorf("on the public port %q is believed", got)
	}
}

// Views of lists are kept for a while, and not too many.
func TestPins_AreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pins{}
		v := snapshot.Empty()
		first := p.keep("s1", cursor{view: v, at: 7})
		c, err := p.find(first)
		if err != nil || c.view != v || c.at != 7 {
			t.Fatalf("find: %+v, %v", c, err)
		}
		// The next page of the same list has the same pin.
		if next := p.keep("s1", cursor{pin: c.pin, view: v, at: 8}); len(p.list) != 1 || next == first {
			t.Errorf("%d pins", len(p.list))
		}
		time.Sleep(pinTime - time.Second)
		if _, err := p.find(first); err != nil {
			t.Errorf("within its time: %v", err)
		}
		for range pinsMax {
			time.Sleep(time.Second)
			p.keep("s1", cursor{view: v})
		}
		if len(p.list) != pinsMax {
			t.Errorf("%d pins, at most %d are kept", len(p.list), pinsMax)
		}
		if _, err := p.find(first); reasonOf(err) != apiv1.ReasonIndexCompacted {
			t.Errorf("the oldest of too many: %v", err)
		}
		// Lists that go on take nobody's place.
		for number := range p.list {
			p.keep("s1", cursor{pin: number, view: v})
		}
		if len(p.list) != pinsMax {
			t.Errorf("%d pins after a page of each list", len(p.list))
		}
		time.Sleep(pinTime)
		last := p.keep("s1", cursor{view: v})
		if len(p.list) != 1 {
			t.Errorf("%d pins after a minute", len(p.list))
		}
		c, err = p.find(last)
		if err != nil {
			t.Fatal(err)
		}
		p.finished(c.pin)
		if _, err := p.find(last); err != nil {
			t.Errorf("the last page again: %v", err)
		}
		p.finished(c.pin)
		time.Sleep(pinLast + time.Second)
		if _, err := p.find(last); reasonOf(err) != apiv1.ReasonIndexCompacted {
			t.Errorf("after the last page: %v", err)
		}
		// Nobody lists any more, and the views go all the same.
		p.keep("s1", cursor{view: v})
		time.Sleep(2 * pinTime)
		if p.mu.Lock(); len(p.list) != 0 || p.timer != nil {
			t.Errorf("%d views are kept, though nobody asked for two minutes", len(p.list))
		}
		p.mu.Unlock()
		p.keep("s1", cursor{view: v})
		if p.close(); len(p.list) != 0 {
			t.Errorf("%d views are kept after the end", len(p.list))
		}
	})
}

// Of all phases one is answered as settled.
func TestSettled_EveryPhase(t *testing.T) {
	id, owner := placement.Identity{Kind: "file", Key: "a"}, &placement.Member{ID: "m1"}
	s := New(&follower{}, nil)
	for phase, want := range map[placement.Phase]apiv1.Reason{
		placement.Absent: apiv1.ReasonNotPlaced, placement.Pending: apiv1.ReasonUnsettled, placement.Settled: "", placement.Tombstone: apiv1.ReasonUnsettled,
	} {
		err := s.settled(snapshot.Empty(), id, placement.Entry{Phase: phase, Epoch: 7}, owner)
		_, data, _ := apiv1.ReasonOf(err)
		if reasonOf(err) != want || (err == nil) != (phase == placement.Settled) {
			t.Errorf("%v: %v, want %q", phase, err, want)
		}
		if want == apiv1.ReasonUnsettled && data["epoch"] != "7" || phase == placement.Pending && data["member"] != "m1" {
			t.Errorf("%v: metadata %v", phase, data)
		}
	}
}
