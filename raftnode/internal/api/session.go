package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
)

const (
	// heldMax is how many activations one message may name.
	heldMax = 1000
	// reportsInFlight is how many messages of one member may wait for the log at once; its stream waits then.
	reportsInFlight = 8
	// firstMessage is how long a member may take to say who it is.
	firstMessage = 10 * time.Second
	// confirmBudget bounds how long a member's report may wait for the log.
	confirmBudget = 10 * time.Second
)

// Session serves one member: its lease, its orders, its reports.
func (s *Server) Session(stream grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	first, err := receiveFirst(ctx, stream)
	if err != nil {
		return err
	}
	t, err := s.tenure()
	if err != nil {
		return s.redirect(stream)
	}
	m := &memberStream{server: s, tenured: t, stream: stream, ctx: ctx, cancel: cancel, slots: make(chan struct{}, reportsInFlight)}
	defer m.tasks.Wait()
	defer cancel()
	if err := m.begin(first); err != nil {
		if errors.Is(err, group.ErrNotLeader) {
			return s.redirect(stream)
		}
		return err
	}
	defer t.driver.Detach(m.session)
	m.tasks.Go(m.forwardOrders)
	m.tasks.Go(m.watchEnd)
	return m.receive()
}

func receiveFirst(ctx context.Context, stream grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]) (*apiv1.FromMember, error) {
	type received struct {
		msg *apiv1.FromMember
		err error
	}
	ch := make(chan received, 1)
	go func() {
		msg, err := stream.Recv() // ends with the stream
		ch <- received{msg, err}
	}()
	select {
	case r := <-ch:
		return r.msg, r.err
	case <-time.After(firstMessage):
		return nil, invalid("a session begins with join or resume: nothing came for %v", firstMessage)
	case <-ctx.Done():
		return nil, asStatus(ctx.Err())
	}
}

// redirect names the leader, as far as it is known, and ends the session.
func (s *Server) redirect(stream grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]) error {
	r := &apiv1.Redirect{}
	if g := s.backend.Group(); g != nil {
		name, _ := g.Leader()
		if x, ok := g.View().Server(name); ok && name != s.backend.Self().Name {
			r.Server, r.Address = x.Name, x.GRPCAddress
		}
	}
	return stream.Send(&apiv1.ToMember{Message: &apiv1.ToMember_Redirect{Redirect: r}})
}

// memberStream is one session.
type memberStream struct {
	server *Server
	tenured
	stream  grpc.BidiStreamingServer[apiv1.FromMember, apiv1.ToMember]
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   sync.WaitGroup
	session *leader.Session
	slots   chan struct{}

	mu   sync.Mutex // of stream.Send, and over
	over bool       // the last message was sent

	told told
}

// send sends one message; after the last one nothing is sent any more.
func (m *memberStream) send(msg *apiv1.ToMember, last bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return errSessionOver
	}
	m.over = last
	return m.stream.Send(msg)
}

var errSessionOver = errors.New("the session is over")

// begin lets the member join, or resume, and opens its session with the driver.
func (m *memberStream) begin(first *apiv1.FromMember) error {
	inc, ttl, nonce := placement.Incarnation(0), time.Duration(0), uint64(0)
	var err error
	switch x := first.Message.(type) {
	case *apiv1.FromMember_Join:
		inc, ttl, err = m.join(x.Join)
	case *apiv1.FromMember_Resume:
		if x.Resume.Cluster != m.server.backend.Cluster() {
			// Its incarnation may be known here, from before a restore; what it holds is not.
			return m.server.mismatch(x.Resume.Cluster)
		}
		inc, nonce = placement.Incarnation(x.Resume.Incarnation), x.Resume.Nonce
		ttl, err = m.driver.Resume(m.ctx, inc)
	default:
		return invalid("a session begins with join or resume")
	}
	if err == nil {
		m.session, err = m.driver.Attach(inc)
	}
	if errors.Is(err, leader.ErrGone) {
		return m.gone(incarnationOver)
	}
	if err != nil {
		return err
	}
	return m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Welcome{Welcome: &apiv1.Welcome{
		Incarnation: uint64(inc), Ttl: durationpb.New(ttl), Cluster: m.server.backend.Cluster(), Server: m.server.backend.Self().Name, Nonce: nonce,
	}}}, false)
}

// incarnationOver is what a member is told whose incarnation has ended.
const incarnationOver = "the incarnation is over: it did not keep its lease, left, or was blocked and has released everything"

// gone tells the member that it is over, and ends the session.
func (m *memberStream) gone(reason string) error {
	if err := m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Gone{Gone: &apiv1.Gone{Reason: reason}}}, true); err != nil {
		return err
	}
	return fail(apiv1.ReasonMemberExpired, nil, "%s", reason)
}

// join proposes the member's Join; one that is blocked is refused without an entry of the log. The command is proposed after the request arrived and commits in this term, so its
// answer is as good as that of a keepalive.
func (m *memberStream) join(j *apiv1.Join) (placement.Incarnation, time.Duration, error) {
	c, err := requestOf(j.Retry)
	if err != nil {
		return 0, 0, err
	}
	c.Body = &fsm.Join{Member: memberOf(j.Member)}
	encoded, err := fsm.Encode(c)
	if err != nil {
		return 0, 0, invalid("%v", err)
	}
	id := placement.MemberID(j.Member.GetName())
	if v := m.group.View(); barred(v, id) {
		return 0, 0, memberBlocked(v, id)
	}
	ctx, cancel := context.WithTimeout(m.ctx, confirmBudget)
	defer cancel()
	r, err := m.group.Propose(ctx, encoded)
	if err != nil {
		if errors.Is(err, group.ErrNotLeader) {
			return 0, 0, err
		}
		return 0, 0, outcomeError(err)
	}
	if r.Verdict == placement.Barred {
		return 0, 0, memberBlocked(m.group.View(), id)
	}
	if err := verdictError(placement.Identity{}, &r); err != nil {
		return 0, 0, err
	}
	if r.Remembered { // its lease may have been counting for a while
		ttl, err := m.driver.Resume(m.ctx, r.Incarnation)
		return r.Incarnation, ttl, err
	}
	return r.Incarnation, m.driver.MemberTTL(), nil
}

// forwardOrders sends the member what it has to do.
func (m *memberStream) forwardOrders() {
	for {
		orders, err := m.session.Next(m.ctx)
		if err != nil {
			m.endSession(err)
			return
		}
		for len(orders) > 0 {
			n := 1
			for n < len(orders) && n < heldMax && orders[n].Stop == orders[0].Stop {
				n++
			}
			if m.sendOrders(orders[:n]) != nil {
				m.cancel()
				return
			}
			orders = orders[n:]
		}
	}
}

func (m *memberStream) sendOrders(orders []leader.Order) error {
	list := make([]*apiv1.Held, len(orders))
	for i, o := range orders {
		list[i] = held(o.Identity, o.Epoch)
	}
	if orders[0].Stop {
		return m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Stop{Stop: &apiv1.Stop{Held: list}}}, false)
	}
	return m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Activate{Activate: &apiv1.Activate{Held: list}}}, false)
}

// endSession tells the member why its session ends.
func (m *memberStream) endSession(err error) {
	switch {
	case errors.Is(err, leader.ErrGone):
		_ = m.gone(incarnationOver)
	case errors.Is(err, group.ErrNotLeader):
		_ = m.send(&apiv1.ToMember{Message: &apiv1.ToMember_Redirect{Redirect: &apiv1.Redirect{}}}, true)
	}
	m.cancel()
}

// watchEnd ends the session with its tenure, and with the server.
func (m *memberStream) watchEnd() {
	select {
	case <-m.driver.Tenure().Context().Done():
	case <-m.server.stopping:
	case <-m.ctx.Done():
		return
	}
	m.endSession(group.ErrNotLeader)
}

// receive takes the member's messages until the session ends.
func (m *memberStream) receive() error {
	messages := make(chan *apiv1.FromMember)
	failed := make(chan error, 1)
	go func() { // ends with the stream, which ends when this call returns
		for {
			msg, err := m.stream.Recv()
			if err != nil {
				failed <- err
				return
			}
			select {
			case messages <- msg:
			case <-m.ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case msg := <-messages:
			if err := m.take(msg); err != nil {
				return err
			}
		case err := <-failed:
			return asStatus(ignoreEOF(err))
		case <-m.ctx.Done():
			return nil
		}
	}
}

// take handles one message.
func (m *memberStream) take(msg *apiv1.FromMember) error {
	switch x := msg.Message.(type) {
	case *apiv1.FromMember_Keepalive:
		return m.report(func() { m.keepalive(x.Keepalive.Nonce) })
	case *apiv1.FromMember_Confirm:
		return m.heldReport(x.Confirm.Held, func(_ int, id placement.Identity, e placement.Epoch) fsm.Body {
			return &fsm.Confirm{Identity: id, Incarnation: m.session.Incarnation, Epoch: e}
		})
	case *apiv1.FromMember_Released:
		return m.released(x.Released)
	case *apiv1.FromMember_Failed:
		return m.failures(x.Failed.Failures)
	case *apiv1.FromMember_Drain:
		return m.report(func() { m.end(&fsm.Drain{Incarnation: m.session.Incarnation, Rate: x.Drain.GetRate()}, true) })
	case *apiv1.FromMember_Leave:
		return m.report(func() { m.end(&fsm.Leave{Incarnation: m.session.Incarnation}, false) })
	}
	return nil // a newer member says something that this version does not know
}
