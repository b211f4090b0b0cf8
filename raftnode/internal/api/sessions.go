package api

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/leader"
	"github.com/seed13d31b7f/berth/snapshot"
)

// sessionTTLDefault is the TTL of sessions that name none.
const sessionTTLDefault = 15 * time.Second

// OpenSession opens a session.
func (s *Server) OpenSession(ctx context.Context, req *apiv1.OpenSessionRequest) (*apiv1.OpenSessionResponse, error) {
	c, err := openCommand(req.Ttl, req.Holder, req.Owner, req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	session, remembered, err := t.open(ctx, c)
	if err == nil && remembered {
		_, _, err = t.keep(ctx, session.ID)
	}
	if err != nil {
		return nil, err
	}
	return &apiv1.OpenSessionResponse{Session: t.sessionMessage(t.group.View(), session), Read: s.proof(ctx, t.group.View())}, nil
}

// openCommand is the command that opens a session.
func openCommand(ttl *durationpb.Duration, holder, owner string, retry *apiv1.Retry) (c fsm.Command, err error) {
	if c, err = requestOf(retry); err != nil {
		return c, err
	}
	session := placement.Session{TTL: sessionTTLDefault, Holder: holder, Owner: owner}
	if ttl != nil {
		session.TTL = ttl.AsDuration()
	}
	if err := session.Validate(); err != nil {
		return c, invalid("%v", err)
	}
	c.Body = &fsm.OpenSession{Session: session}
	return c, nil
}

// open opens a session. The command is proposed after the request arrived and commits in this term, so its answer is as good
// as that of a keepalive; a remembered one is not, and the session is to be kept before an answer leaves.
func (t tenured) open(ctx context.Context, c fsm.Command) (session placement.Session, remembered bool, err error) {
	r, err := t.propose(ctx, c)
	if err == nil {
		err = lockError(t, "", &r)
	}
	if err != nil {
		return placement.Session{}, false, err
	}
	session = c.Body.(*fsm.OpenSession).Session
	session.ID = r.Session
	return session, r.Remembered, nil
}

// propose encodes and proposes one command.
func (t tenured) propose(ctx context.Context, c fsm.Command) (fsm.Result, error) {
	encoded, err := fsm.Encode(c)
	if err != nil {
		return fsm.Result{}, invalid("%v", err)
	}
	r, err := t.group.Propose(ctx, encoded)
	if err != nil {
		return r, outcomeError(err)
	}
	return r, nil
}

func (t tenured) sessionMessage(v *snapshot.View, s placement.Session) *apiv1.Session {
	return &apiv1.Session{
		Id: uint64(s.ID), Ttl: durationpb.New(s.TTL), Holder: s.Holder, Owner: s.Owner, Claims: uint32(v.SessionClaimCount(s.ID)),
		LeaseLeft: durationpb.New(t.driver.SessionLeft(s)),
	}
}

// KeepSession keeps a session for another TTL.
func (s *Server) KeepSession(ctx context.Context, req *apiv1.KeepSessionRequest) (*apiv1.KeepSessionResponse, error) {
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	id := placement.SessionID(req.Session)
	ttl, lost, err := t.keep(ctx, id)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.KeepSessionResponse{Ttl: durationpb.New(ttl)}
	for _, l := range lost {
		for c := range l.Claims() {
			if c.Session == id {
				resp.Lost = append(resp.Lost, &apiv1.LostLock{Name: l.Name, Token: uint64(c.Token)})
			}
		}
	}
	return resp, nil
}

func (t tenured) keep(ctx context.Context, id placement.SessionID) (time.Duration, []snapshot.Lock, error) {
	ttl, lost, err := t.driver.KeepSession(ctx, id)
	if errors.Is(err, leader.ErrSessionOver) {
		return 0, nil, sessionOver(id)
	}
	if err != nil {
		return 0, nil, outcomeError(err)
	}
	return ttl, lost, nil
}

func sessionOver(id placement.SessionID) error {
	return fail(apiv1.ReasonLockLost, map[string]string{"session": strconv.FormatUint(uint64(id), 10)},
		"session %d is over: it did not keep its lease, was closed, or never was; it holds no lock", id)
}

// CloseSession ends a session.
func (s *Server) CloseSession(ctx context.Context, req *apiv1.CloseSessionRequest) (*apiv1.CloseSessionResponse, error) {
	c, err := requestOf(req.Retry)
	if err != nil {
		return nil, err
	}
	t, err := s.tenure()
	if err != nil {
		return nil, err
	}
	c.Body = &fsm.CloseSession{Session: placement.SessionID(req.Session)}
	r, err := t.propose(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.Verdict == placement.SessionGone {
		return nil, sessionOver(placement.SessionID(req.Session))
	}
	if err := lockError(t, "", &r); err != nil {
		return nil, err
	}
	return &apiv1.CloseSessionResponse{Read: s.proof(ctx, t.group.View())}, nil
}

// ListSessions returns a page of the open sessions. The token of a page is the last number of the one before.
func (s *Server) ListSessions(ctx context.Context, req *apiv1.ListSessionsRequest) (*apiv1.ListSessionsResponse, error) {
	size, err := pageSize(req.PageSize)
	if err != nil {
		return nil, err
	}
	var above uint64
	if req.PageToken != "" {
		if above, err = strconv.ParseUint(req.PageToken, 10, 64); err != nil {
			return nil, invalid("page token: it is none of a list's")
		}
	}
	t, v, err := s.leaderView(ctx)
	if err != nil {
		return nil, err
	}
	resp := &apiv1.ListSessionsResponse{Read: s.proof(ctx, v)}
	for x := range v.Sessions(placement.SessionID(above)) {
		if len(resp.Sessions) == size {
			resp.NextPageToken = strconv.FormatUint(resp.Sessions[size-1].Id, 10)
			break
		}
		resp.Sessions = append(resp.Sessions, t.sessionMessage(v, x))
	}
	return resp, nil
}

func pageSize(n uint32) (int, error) {
	if n > pageMax {
		return 0, invalid("page size %d: at most %d is allowed", n, pageMax)
	}
	if n == 0 {
		n = pageDefault
	}
	return int(n), nil
}

// leaderView is a view that has everything that was acknowledged before the call, at the leader, who knows of leases.
func (s *Server) leaderView(ctx context.Context) (tenured, *snapshot.View, error) {
	t, err := s.tenure()
	if err != nil {
		return t, nil, err
	}
	v, err := s.readView(ctx)
	if err != nil {
		return t, nil, s.readError(ctx, err)
	}
	return t, v, nil
}
