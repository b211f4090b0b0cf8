package lookupclient

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// sessionTimeout bounds the search for the leader at one server.
const sessionTimeout = 3 * time.Second

// search is a search for the leader, and what was found out by it.
type search struct {
	first  *apiv1.FromMember
	former string // the address of the server that the last session was with, empty for none

	errs    []error
	other   error // a server of another cluster answered
	own     bool  // one of the member's own did
	reached bool  // any did
	named   bool  // one names former, which is put off for that
	asked   bool  // former was asked
}

// dial asks one server after the other for a session, and follows one that names the leader, once per server. Servers that were learned are
// asked when none of Config.Servers could be reached. The server that the last session was with, at the address former, is asked last of its
// kind, whoever names it: when it fell silent, to wait for it takes most of a lease.
//
// When servers of another cluster answer and none of its own does, the error is ErrClusterMismatch. One address that is
// wrong must not end a member whose own cluster is there.
func (m *Member) dial(first *apiv1.FromMember, former string) (*session, error) {
	x := search{first: first, former: former}
	conn := m.client.conn
	given, others := conn.followed.given, conn.followed.others()
	if slices.Contains(others, former) {
		others = lastOf(others, former)
	} else {
		given = lastOf(given, former)
	}
	s, err := m.dialEach(given, &x, len(others) > 0)
	if s == nil && err == nil && !x.reached && len(others) > 0 {
		s, err = m.dialEach(conn.answering(m.ctx, others), &x, false)
	}
	if s == nil && err == nil && x.named && !x.asked {
		s, err = m.dialEach([]string{former}, &x, false) // it leads, and is of neither kind that was asked
	}
	switch {
	case s != nil || err != nil:
		return s, err
	case x.other != nil && !x.own:
		return nil, x.other
	}
	return nil, errors.Join(append(x.errs, errNoServer)...)
}

// dialEach asks some servers. With hurry, when one cannot be reached, the others are asked only if they can: there are more, and each that
// vanished would be waited for, longer than a lease lasts in the end. The error is one that says that no other needs to be asked.
func (m *Member) dialEach(servers []string, x *search, hurry bool) (*session, error) {
	for len(servers) > 0 {
		if hurry && (len(x.errs) > 0 || m.client.conn.dials.failed(servers[0])) {
			servers, hurry = m.client.conn.answering(m.ctx, servers), false
			continue
		}
		address := servers[0]
		servers = servers[1:]
		for hop := 0; hop < 2 && address != "" && m.ctx.Err() == nil; hop++ {
			x.asked = x.asked || address == x.former
			d, err := m.dialOne(address, x.first)
			if err == nil && d.session != nil {
				return d.session, nil
			}
			switch {
			case errors.Is(err, ErrInvalid), errors.Is(err, ErrMemberBlocked):
				return nil, err // the others say the same
			case errors.Is(err, ErrClusterMismatch) && !m.client.conn.followed.leave(address):
				x.other = fmt.Errorf("%s: %w", address, err)
			case err != nil:
				x.errs = append(x.errs, fmt.Errorf("%s: %w", address, err))
			}
			x.own = x.own || d.own
			x.reached = x.reached || err == nil || !isUnreachable(err)
			if address = d.next; address == x.former {
				x.named = x.named || address != ""
				break
			}
		}
	}
	return nil, nil
}

// isUnreachable says whether a server did not answer.
func isUnreachable(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == apiv1.ReasonUnreachable
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
