package lookupclient_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/raftnodetest"
)

// scriptLeader is a server that says to a member what a test tells it to say: also what a real one says only when messages
// cross.
type scriptLeader struct {
	apiv1.UnimplementedMembersServer
	t        *testing.T
	sessions chan *script
}

// script is one session with the member.
type script struct {
	t      *testing.T
	stream grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]
	heard  chan *apiv1.FromMember
	late   atomic.Int64 // by how much a keepalive is answered late; never when it is negative
	none   atomic.Bool  // keepalives are answered with no more time
	asked  atomic.Int64 // how many keepalives came
}

const scriptTTL = 4 * time.Second

// Session hands the session to the test, and answers keepalives for it.
func (l *scriptLeader) Session(stream grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]) error {
	s := &script{t: l.t, stream: stream, heard: make(chan *apiv1.FromMember, 100)}
	select {
	case l.sessions <- s:
	case <-stream.Context().Done():
		return nil
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		k := m.GetKeepalive()
		if k == nil {
			s.heard <- m
			continue
		}
		s.asked.Add(1)
		if s.none.Load() {
			s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Alive{Alive: &apiv1.Alive{Nonce: k.Nonce, Ttl: durationpb.New(0)}}})
			continue
		}
		if late := time.Duration(s.late.Load()); late >= 0 {
			time.Sleep(late)
			s.say(alive(k.Nonce))
		}
	}
}

func (s *script) say(m *apiv1.ToMember) {
	if err := s.stream.Send(m); err != nil && s.stream.Context().Err() == nil {
		s.t.Errorf("send %v: %v", m, err)
	}
}

// hear returns what the member says next, other than keepalives.
func (s *script) hear() *apiv1.FromMember {
	s.t.Helper()
	select {
	case m := <-s.heard:
		return m
	case <-time.After(time.Minute):
		s.t.Fatal("the member says nothing")
		return nil
	}
}

// silent checks that the member has said nothing.
func (s *script) silent() {
	s.t.Helper()
	synctest.Wait()
	select {
	case m := <-s.heard:
		s.t.Errorf("the member says %v", m)
	default:
	}
}

func alive(nonce uint64) *apiv1.ToMember {
	return &apiv1.ToMember{Message: &apiv1.ToMember_Alive{Alive: &apiv1.Alive{Nonce: nonce, Ttl: durationpb.New(scriptTTL)}}}
}

func welcome(inc uint64) *apiv1.ToMember {
	return &apiv1.ToMember{Message: &apiv1.ToMember_Welcome{Welcome: &apiv1.Welcome{Incarnation: inc, Ttl: durationpb.New(scriptTTL), Server: "s1"}}}
}

func activate(h ...*apiv1.Held) *apiv1.ToMember {
	return &apiv1.ToMember{Message: &apiv1.ToMember_Activate{Activate: &apiv1.Activate{Held: h}}}
}

func outcome(h *apiv1.Held, ok bool) *apiv1.ToMember {
	return &apiv1.ToMember{Message: &apiv1.ToMember_Outcome{Outcome: &apiv1.Outcome{Outcomes: []*apiv1.HeldOutcome{{Held: h, Ok: ok}}}}}
}

// rehearse runs a member that hosts carts against a script. The member has not been welcomed yet.
func rehearse(t *testing.T, kind lookupclient.Kind, f func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := raftnodetest.NewNetwork()
		listener, err := network.Host("s1").Listen("s1:7420")
		if err != nil {
			t.Fatal(err)
		}
		l, server := &scriptLeader{t: t, sessions: make(chan *script, 10)}, grpc.NewServer()
		apiv1.RegisterMembersServer(server, l)
		go func() { _ = server.Serve(listener) }()
		defer server.Stop()
		client, err := lookupclient.Open(lookupclient.Config{Servers: []string{"s1:7420"}, Dial: network.Host("m").Dial})
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		members := make(chan *lookupclient.Member, 1)
		go func() {
			m, err := client.Join(context.Background(), lookupclient.MemberConfig{
				Name: "m", Address: "m:1", Kinds: map[string]lookupclient.Kind{"cart": kind}, Now: memberNow,
			})
			if err != nil {
				t.Errorf("join: %v", err)
			}
			members <- m
		}()
		var m *lookupclient.Member
		joined := func() *lookupclient.Member {
			if m == nil {
				m = <-members
			}
			return m
		}
		defer func() { joined().Close() }()
		f(t, l, joined)
	})
}

// A member acts on what was confirmed, under the epoch that it was given, and on nothing else.
func TestMember_ConfirmationRefused_DoesNotAct(t *testing.T) {
	ready, acts := make(chan *lookupclient.Activation, 10), make(chan placement.Epoch, 10)
	kind := lookupclient.Kind{
		Activate: func(_ context.Context, a *lookupclient.Activation) error {
			ready <- a
			return nil
		},
		Run: func(a *lookupclient.Activation) {
			acts <- a.Epoch
			<-a.Context().Done()
		},
	}
	rehearse(t, kind, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		if s.hear().GetJoin() == nil {
			t.Fatal("the member does not join")
		}
		s.say(welcome(1))
		m := joined()
		h, other := &apiv1.Held{Kind: "cart", Key: "1", Epoch: 7}, &apiv1.Held{Kind: "cart", Key: "1", Epoch: 6}
		s.say(activate(h))
		if c := s.hear().GetConfirm(); c == nil || c.Held[0].Epoch != 7 {
			t.Errorf("confirmed %v", c)
		}
		a := <-ready
		s.say(outcome(other, true)) // of a former epoch
		synctest.Wait()
		if len(acts) != 0 || a.Check() != nil {
			t.Fatalf("after an answer about another epoch %d act, and the check says %v", len(acts), a.Check())
		}
		s.say(outcome(h, false))
		synctest.Wait()
		if len(acts) != 0 || !errors.Is(a.Check(), lookupclient.ErrNotOwner) || m.State().Held != 0 {
			t.Errorf("after the refusal %d act, %d are held, and the check says %v", len(acts), m.State().Held, a.Check())
		}
		s.silent()
		h.Epoch = 9
		s.say(activate(h))
		if c := s.hear().GetConfirm(); c == nil || c.Held[0].Epoch != 9 {
			t.Errorf("confirmed %v", c)
		}
		s.say(outcome(h, true))
		synctest.Wait()
		if len(acts) != 1 || <-acts != 9 || (<-ready).Epoch != 9 || m.State().Held != 1 {
			t.Errorf("after the consent %+v", m.State())
		}
	})
}

// However long an answer travels, the lease runs from when it was asked for, by each kind of question.
func TestMember_LateAnswer_LeaseRunsFromTheAsking(t *testing.T) {
	rehearse(t, lookupclient.Kind{}, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		left := func(m *lookupclient.Member, when string, want time.Duration) {
			t.Helper()
			synctest.Wait()
			time.Sleep(50 * time.Millisecond) // the state is shown with the loop's tick
			synctest.Wait()
			if got := m.State().LeaseLeft; got > want || got < want-200*time.Millisecond {
				t.Errorf("%s %v of the lease are left, want %v", when, got, want)
			}
		}
		s := <-l.sessions
		s.late.Store(int64(1500 * time.Millisecond))
		s.hear()
		time.Sleep(time.Second)
		s.say(welcome(1))
		m := joined()
		left(m, "after a Join that took a second", scriptTTL-time.Second)

		// It asks at once. What comes first is no answer to that.
		s.say(alive(1))
		left(m, "after an answer to no question", scriptTTL-time.Second)
		began := m.State().Incarnation
		for before, n := m.State().LeaseLeft, 0; m.State().LeaseLeft <= before && n < 3000; n++ {
			before = m.State().LeaseLeft
			time.Sleep(time.Millisecond)
		}
		left(m, "after a keepalive that took 1.5s", scriptTTL-1500*time.Millisecond)

		// The session breaks, and the next one's answer is late too.
		s.late.Store(-1)
		s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Redirect{Redirect: &apiv1.Redirect{}}})
		s = <-l.sessions
		s.late.Store(-1)
		if r := s.hear().GetResume(); r == nil || r.Incarnation != uint64(began) {
			t.Fatalf("the member resumes with %v", r)
		}
		asked := time.Now()
		time.Sleep(1500 * time.Millisecond)
		s.say(welcome(uint64(began)))
		left(m, "after a Resume that took 1.5s", scriptTTL-1500*time.Millisecond)
		for m.State().Incarnation == began && time.Since(asked) < time.Minute {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(asked); took > scriptTTL+100*time.Millisecond {
			t.Errorf("without another answer the lease ended %v after it was asked for", took)
		}
	})
}

// A member that asked to go on, and is answered when its lease is over, does not go on: what it held has stopped, and would stay
// placed on an incarnation that is alive and does not act on it.
func TestMember_ResumedWhenItsLeaseIsOver_JoinsAgain(t *testing.T) {
	rehearse(t, lookupclient.Kind{}, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		s.late.Store(-1)
		s.hear()
		s.say(welcome(1))
		m := joined()
		h := &apiv1.Held{Kind: "cart", Key: "1", Epoch: 7}
		s.say(activate(h))
		s.hear()
		s.say(outcome(h, true))
		s = <-l.sessions // no keepalive was answered
		if r := s.hear().GetResume(); r == nil || r.Incarnation != 1 {
			t.Fatalf("the member resumes with %v", r)
		}
		for begin := time.Now(); m.State().Lost == 0 && time.Since(begin) < scriptTTL; {
			time.Sleep(time.Millisecond)
		}
		s.say(welcome(1))
		select {
		case s = <-l.sessions:
		case <-time.After(scriptTTL):
			t.Fatalf("the incarnation whose lease was over goes on: %+v", m.State())
		}
		if first := s.hear(); first.GetJoin() == nil {
			t.Errorf("the member comes back with %v", first)
		}
		s.say(welcome(2))
		time.Sleep(100 * time.Millisecond)
		if x := m.State(); x.Incarnation != 2 || x.Lost != 1 || x.Held != 0 {
			t.Errorf("after it joined again: %+v", x)
		}
	})
}

// A member that leaves takes nothing any more, and says so.
func TestMember_OrderWhileLeaving_Fails(t *testing.T) {
	var activated atomic.Int64
	kind := lookupclient.Kind{Activate: func(context.Context, *lookupclient.Activation) error {
		activated.Add(1)
		return nil
	}}
	rehearse(t, kind, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		s.hear()
		s.say(welcome(1))
		m := joined()
		left := make(chan error, 1)
		go func() { left <- m.Leave(context.Background()) }()
		if s.hear().GetDrain() == nil {
			t.Error("the member does not drain")
		}
		s.say(activate(&apiv1.Held{Kind: "cart", Key: "1", Epoch: 7})) // sent before the leader knew
		f := s.hear().GetFailed()
		if f == nil || len(f.Failures) != 1 || f.Failures[0].Held.Epoch != 7 || !strings.Contains(f.Failures[0].Reason, "leaves") {
			t.Errorf("it answers %v, want that it failed", f)
		}
		if n := activated.Load(); n != 0 {
			t.Errorf("%d were activated", n)
		}
		s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Left{Left: &apiv1.Left{Draining: true}}})
		if s.hear().GetLeave() == nil {
			t.Error("the member does not leave")
		}
		s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Left{Left: &apiv1.Left{}}})
		if err := <-left; err != nil {
			t.Errorf("leave: %v", err)
		}
	})
}

// An order for a kind that the member does not host is answered, or its identity would wait for nothing.
func TestMember_OrderForAnotherKind_Fails(t *testing.T) {
	rehearse(t, lookupclient.Kind{}, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		s.hear()
		s.say(welcome(1))
		joined()
		cart, room := &apiv1.Held{Kind: "cart", Key: "1", Epoch: 7}, &apiv1.Held{Kind: "room", Key: "1", Epoch: 8}
		s.say(activate(room, cart))
		confirmed, failed := s.hear().GetConfirm(), s.hear().GetFailed()
		if confirmed == nil || len(confirmed.Held) != 1 || confirmed.Held[0].Epoch != 7 {
			t.Errorf("confirmed %v, want the cart", confirmed)
		}
		if failed == nil || len(failed.Failures) != 1 || failed.Failures[0].Held.Epoch != 8 || !strings.Contains(failed.Failures[0].Reason, "kind room is not registered") {
			t.Errorf("failed %v, want the room", failed)
		}
	})
}

// A member that is given no more time keeps its session, asks no more often than before, stops what it is asked to, and
// ends when its lease does.
func TestMember_NoMoreTime_EndsWithItsLease(t *testing.T) {
	rehearse(t, lookupclient.Kind{}, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		s.hear()
		s.say(welcome(1))
		m := joined()
		h := &apiv1.Held{Kind: "cart", Key: "1", Epoch: 7}
		s.say(activate(h))
		s.hear()
		s.say(outcome(h, true))
		s.none.Store(true)
		time.Sleep(scriptTTL / 2)
		if n := s.asked.Load(); n == 0 || n > 3 {
			t.Errorf("it asked %d times in half a lease", n)
		}
		if st := m.State(); st.Held != 1 || st.LeaseLeft <= 0 || st.Server == "" {
			t.Errorf("in the middle of its lease: %+v", st)
		}
		s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Stop{Stop: &apiv1.Stop{Held: []*apiv1.Held{h}}}})
		if r := s.hear().GetReleased(); r == nil || r.Held[0].Epoch != 7 {
			t.Errorf("asked to stop it says %v", r)
		}
		time.Sleep(scriptTTL/2 + time.Second)
		if st := m.State(); st.Incarnation != 0 || st.Lost != 1 {
			t.Errorf("after its lease: %+v", st)
		}
	})
}

// A Join that was carried out long ago, whose incarnation has ended since, is not asked for again for ever.
func TestMember_JoinOfAnEndedLife_IsMadeAnew(t *testing.T) {
	rehearse(t, lookupclient.Kind{}, func(t *testing.T, l *scriptLeader, joined func() *lookupclient.Member) {
		s := <-l.sessions
		first := s.hear().GetJoin().GetRetry()
		s.say(&apiv1.ToMember{Message: &apiv1.ToMember_Gone{Gone: &apiv1.Gone{}}})
		s = <-l.sessions
		next := s.hear().GetJoin().GetRetry()
		if first.GetRequestId() == "" || next.GetRequestId() == first.GetRequestId() || next.GetAgain() {
			t.Errorf("behind %v it asks by %v", first, next)
		}
		s.say(welcome(1))
		joined()
	})
}
