package lookupclient

import (
	"context"
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
