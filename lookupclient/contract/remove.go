package contract

import (
	"context"
	"errors"
	"strings"
	"sync"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// Remove is that of placement.Storage. Besides, it fails as a change of lookupclient does.
func (s *Storage) Remove(ctx context.Context, id placement.Identity, a placement.StoredActivation) error {
	if err := s.begin(ctx, id); err != nil {
		return err
	}
	r, ok, err := s.oldest(ctx, keyOf(id))
	if err == nil && ok && !r.given() && r.StoredActivation == a {
		s.forget(r.session)
		// Invariant: what a session has stored stays the same until the session ends, so this is still the one that was looked at.
		err = s.end(ctx, r.session)
	}
	if err != nil {
		return failed(ctx, "remove", err)
	}
	return nil
}

// RemoveMember is that of placement.Storage. It takes a call for each activation of the member. Besides, it fails as a change
// of lookupclient does; then the member may be barred, and have activations still.
//
// A barred member's lock is held exclusively by a session that nobody keeps. The claim to it waits for those of the
// activations, but from when it is made no other one gets in.
func (s *Storage) RemoveMember(ctx context.Context, member placement.MemberID) error {
	if err := member.Validate(); err != nil {
		return err
	}
	if err := s.begin(ctx, placement.Identity{Kind: "member", Key: "any"}); err != nil {
		return err
	}
	b := &barring{Storage: s, member: member, name: s.config.memberName(member)}
	if err := b.run(ctx); err != nil {
		return failed(ctx, "remove member", err) // a bar that was asked for stays
	}
	return nil
}

// barring is one call of RemoveMember.
type barring struct {
	*Storage
	member  placement.MemberID
	name    string
	session uint64 // that bars the member; zero before there is one
}

func (b *barring) run(ctx context.Context) error {
	for {
		claims, err := b.claims(ctx)
		if err != nil {
			return err
		}
		if len(claims) > 0 && claims[0].Mode == apiv1.LockMode_EXCLUSIVE && claims[0].Held {
			done, err := b.barred(ctx, claims[0].Session)
			if done || err != nil {
				return err
			}
			continue
		}
		if err := b.bar(ctx); err != nil {
			return err
		}
		if err := b.removeAll(ctx, claims); err != nil {
			return err
		}
	}
}

// claims are the first ones to the member's lock.
func (b *barring) claims(ctx context.Context) ([]*apiv1.LockClaim, error) {
	resp, err := b.locks.GetLock(ctx, &apiv1.GetLockRequest{Name: b.name})
	if errors.Is(err, lookupclient.ErrLockNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return resp.Lock.Claims, nil
}

// barred is how it ends: the member is barred, by this call or another one, from now on for the whole time.
func (b *barring) barred(ctx context.Context, by uint64) (done bool, err error) {
	if _, err := b.sessions.KeepSession(ctx, &apiv1.KeepSessionRequest{Session: by}); gone(err) {
		return false, nil // it ended meanwhile
	} else if err != nil {
		return false, err
	}
	if b.session != 0 && b.session != by {
		b.abandon(ctx, b.session)
	}
	return true, nil
}

// bar claims the member's lock, and waits for nothing.
func (b *barring) bar(ctx context.Context) error {
	if b.session == 0 {
		resp, err := b.sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Ttl: durationpb.New(placement.MemberBarredMin), Holder: holderBarring + string(b.member)})
		if err != nil {
			return err
		}
		b.session = resp.Session.GetId()
	}
	_, err := b.locks.AcquireLock(ctx, &apiv1.AcquireLockRequest{Name: b.name, Session: b.session, Mode: apiv1.LockMode_EXCLUSIVE, Stay: true})
	return err
}

// removeAll ends what is stored of the member.
func (b *barring) removeAll(ctx context.Context, claims []*apiv1.LockClaim) error {
	shared := make(chan *apiv1.LockClaim, len(claims))
	for _, c := range claims {
		if c.Mode == apiv1.LockMode_SHARED {
			shared <- c
		}
	}
	close(shared)
	return each(shared, func(c *apiv1.LockClaim) error { return b.remove(ctx, c) })
}

// remove ends a session with a part in the member, unless what it stored is another member's.
func (b *barring) remove(ctx context.Context, c *apiv1.LockClaim) error {
	key := strings.TrimPrefix(c.Holder, holderStore)
	r, ok, err := b.oldest(ctx, key)
	if err != nil {
		return err
	}
	if !ok || r.session != c.Session { // a Store is on its way: it comes first, or not at all
		if err := b.giveUp(ctx, key, c.Session); err != nil && !gone(err) {
			return err
		}
		if r, ok, err = b.oldest(ctx, key); err != nil || !ok || r.session != c.Session {
			return err
		}
	}
	if !r.given() && r.Member != b.member {
		_, err = b.locks.ReleaseLock(ctx, &apiv1.ReleaseLockRequest{Name: b.name, Session: c.Session})
		if gone(err) {
			return nil
		}
		return err
	}
	b.forget(c.Session)
	return b.end(ctx, c.Session)
}

// eachAtOnce is how many calls are made at once for a list of them.
const eachAtOnce = 16

// each calls f with all that is in a closed channel, some at once. The errors are joined.
func each[T any](in <-chan T, f func(T) error) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for range min(eachAtOnce, len(in)) {
		all.Go(func() {
			for x := range in {
				if err := f(x); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
