package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// session is a member's stream with the leader.
type session struct {
	server  string // its name, or the address when it does not say
	address string
	asked   time.Duration // by the member's clock, just before its first message was sent
	answer  *apiv1.ToMember
	inbox   chan *apiv1.ToMember
	down    chan error // of size one

	conn   *grpc.ClientConn
	links  *links
	stream grpc.BidiStreamingClient[apiv1.FromMember, apiv1.ToMember]
	cancel context.CancelFunc
	tasks  sync.WaitGroup
	said   map[string]bool

	mu     sync.Mutex
	outbox []*apiv1.FromMember
	signal chan struct{}
}

// sessionTimeout bounds the search for the leader at one server.
const sessionTimeout = 3 * time.Second

// dial asks one server after the other for a session, and follows one that names the leader, once per server. former is the address of the
// server that the last session was with, empty for none: it is asked last, whoever names it. When it fell silent, to wait for it takes most
// of a lease.
//
// When servers of another cluster answer and none of its own does, the error is ErrClusterMismatch. One address that is
// wrong must not end a member whose own cluster is there.
func (m *Member) dial(first *apiv1.FromMember, former string) (*session, error) {
	var errs []error
	var other error
	own := false
	for _, address := range lastOf(m.client.conn.config.Servers, former) {
		for hop := 0; hop < 2 && address != "" && m.ctx.Err() == nil; hop++ {
			d, err := m.dialOne(address, first)
			if err == nil && d.session != nil {
				return d.session, nil
			}
			switch {
			case errors.Is(err, ErrInvalid), errors.Is(err, ErrMemberBlocked):
				return nil, err // the others say the same
			case errors.Is(err, ErrClusterMismatch):
				other = fmt.Errorf("%s: %w", address, err)
			case err != nil:
				errs = append(errs, fmt.Errorf("%s: %w", address, err))
			}
			own = own || d.own
			if address = d.next; address == former {
				break
			}
		}
	}
	if other != nil && !own {
		return nil, other
	}
	return nil, errors.Join(append(errs, errNoServer)...)
}

// lastOf are some servers in their order, and one behind them, unless it is empty.
func lastOf(servers []string, last string) []string {
	if last == "" {
		return servers
	}
	return append(slices.DeleteFunc(slices.Clone(servers), func(s string) bool { return s == last }), last)
}

// dialed is what one server answered: a session, or where the leader is when the server does not lead and knows who does.
// own says that the server is of the member's cluster.
type dialed struct {
	session *session
	next    string
	own     bool
}

// dialOne asks one server.
func (m *Member) dialOne(address string, first *apiv1.FromMember) (d dialed, err error) {
	conn, links, err := m.client.conn.one(address)
	if err != nil {
		return d, err
	}
	ctx, cancel := context.WithCancel(m.ctx)
	timer := time.AfterFunc(sessionTimeout, cancel)
	defer timer.Stop()
	s := &session{conn: conn, links: links, cancel: cancel, inbox: make(chan *apiv1.ToMember), down: make(chan error, 1), signal: make(chan struct{}, 1), said: map[string]bool{}}
	if s.stream, err = apiv1.NewMembersClient(conn).Session(m.client.conn.expecting(ctx)); err == nil {
		s.asked = m.config.Now()
		if err = s.stream.Send(first); err == nil || err.Error() == "EOF" {
			s.answer, err = s.stream.Recv()
		}
		if err == nil {
			d.own, err = m.client.conn.heardOn(s.stream)
		}
	}
	if err != nil {
		s.close()
		return d, errorOf(err, false)
	}
	if r := s.answer.GetRedirect(); r != nil {
		s.close()
		d.next = r.Address
		return d, nil
	}
	s.server, s.address = address, address
	if w := s.answer.GetWelcome(); w != nil {
		s.server = w.Server
	}
	s.tasks.Go(func() { s.receive(ctx) })
	s.tasks.Go(func() { s.transmit(ctx) })
	d.session = s
	return d, nil
}

// receive hands the leader's messages to the loop.
func (s *session) receive(ctx context.Context) {
	for {
		msg, err := s.stream.Recv()
		if err != nil {
			s.fail(err)
			return
		}
		select {
		case s.inbox <- msg:
		case <-ctx.Done():
			return
		}
	}
}

// transmit sends what waits, so that the loop never waits for the network.
func (s *session) transmit(ctx context.Context) {
	for {
		s.mu.Lock()
		batch := s.outbox
		s.outbox = nil
		s.mu.Unlock()
		for _, msg := range batch {
			if err := s.stream.Send(msg); err != nil {
				return // receive has the reason
			}
		}
		select {
		case <-s.signal:
		case <-ctx.Done():
			return
		}
	}
}

// send queues a message.
func (s *session) send(msg *apiv1.FromMember) {
	s.mu.Lock()
	s.outbox = append(s.outbox, msg)
	s.mu.Unlock()
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// once sends a message the first time that it is asked to under that name.
func (s *session) once(name string, msg *apiv1.FromMember) {
	if !s.said[name] {
		s.said[name] = true
		s.send(msg)
	}
}

func (s *session) fail(err error) {
	select {
	case s.down <- err:
	default:
	}
}

// close ends the session and waits for its goroutines.
func (s *session) close() {
	s.cancel()
	s.links.breakAll()
	_ = s.conn.Close()
	s.tasks.Wait()
}
