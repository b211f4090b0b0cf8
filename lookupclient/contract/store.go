package contract

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Store is that of placement.Storage. Besides, it fails with ErrFull, and as a change of lookupclient does.
//
// The session of the lock claims a part in the member, which fails when the member is barred, and then writes its record,
// which fails when the session is over. The oldest record counts: that is the store, if it is this one. A session that
// ends takes all of it along in one step, so that a removal is one, too.
func (s *Storage) Store(ctx context.Context, l placement.SpawnLock, a placement.StoredActivation) error {
	if err := a.Validate(); err != nil {
		return err
	}
	if err := s.begin(ctx, l.Identity); err != nil {
		return err
	}
	c, ok := claimOf(l.ID)
	if !ok {
		return notFound(l)
	}
	if !s.room() {
		return ErrFull
	}
	st := &storing{Storage: s, claim: c, key: keyOf(l.Identity), activation: a}
	asked := time.Now() // before it is sent
	kept := make(chan error)
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { kept <- st.first(call) }() // beside the rest, whose commits prove its lease: alone it waits for others'
	err := st.run(ctx)
	if err != nil {
		cancel()
	}
	if keep := <-kept; err == nil && keep != nil && !gone(keep) {
		err = st.doubt(ctx, keep)
	}
	switch {
	case gone(err):
		return notFound(l)
	case errors.Is(err, placement.ErrMemberBarred):
		return fmt.Errorf("store %v on %s: %w", l.Identity, a.Member, placement.ErrMemberBarred)
	case err != nil:
		return failed(ctx, "store", err)
	}
	s.keep(&keptActivation{session: c.session, identity: l.Identity, activation: a, deadline: asked.Add(s.config.Stale)})
	return nil
}

func notFound(l placement.SpawnLock) error {
	return fmt.Errorf("store %v: lock %.40q: %w", l.Identity, l.ID, placement.ErrLockNotFound)
}

// storing is one call of Store.
type storing struct {
	*Storage
	claim
	key        string
	activation placement.StoredActivation
}

// first is the first keepalive of the session. Nobody else keeps it.
func (s *storing) first(ctx context.Context) error {
	_, err := s.sessions.KeepSession(ctx, &apiv1.KeepSessionRequest{Session: s.session})
	return err
}

// run stores. Its error is of the kind gone when the lock cannot be used.
func (s *storing) run(ctx context.Context) error {
	spawn, member := s.config.spawnName(s.key), s.config.memberName(s.activation.Member)
	if err := s.holds(ctx, s.key, s.claim); err != nil {
		return err
	}
	_, err := s.locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: member, Session: s.session, Mode: apiv1.LockMode_SHARED})
	if errors.Is(err, lookupclient.ErrLockHeld) {
		return placement.ErrMemberBarred
	}
	if err != nil {
		return err
	}
	name := s.config.recordName(s.key, s.activation)
	if _, err = s.locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: name, Session: s.session}); err != nil {
		return s.doubt(ctx, err)
	}
	r, ok, err := s.oldest(ctx, s.key)
	if err != nil {
		return s.doubt(ctx, err)
	}
	if !ok || r.name != name {
		if ok && r.session == s.session && r.Member != s.activation.Member {
			s.release(ctx, member, 0) // the member has no part in what was stored with this lock
		}
		return lookupclient.ErrLockLost
	}
	s.release(ctx, spawn, s.token) // whoever waits looks again
	return nil
}

// doubt ends a session of which it is not known what it has stored: nobody would keep it.
func (s *storing) doubt(ctx context.Context, err error) error {
	if !gone(err) {
		s.abandon(ctx, s.session)
	}
	return err
}

// release gives one claim of the session up. When it fails the claim ends with the session, which does no harm.
func (s *storing) release(ctx context.Context, name string, token uint64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandonBudget)
	defer cancel()
	_, _ = s.locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: name, Session: s.session, Token: token})
}
