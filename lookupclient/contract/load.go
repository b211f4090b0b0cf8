package contract

import (
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// record is what a session wrote about an identity.
type record struct {
	placement.StoredActivation
	session, token uint64
	name           string
}

// given says that the record gives the right up.
func (r *record) given() bool { return r.StoredActivation == placement.StoredActivation{} }

// oldest is the record of an identity that counts: the first that was written of those that are there.
func (s *Storage) oldest(ctx context.Context, key string) (r record, ok bool, err error) {
	prefix := s.config.storedPrefix(key)
	for page := prefix; ; {
		resp, err := s.locks.ListLocks(ctx, &apiv1.ListLocksRequest{PageToken: page})
		if err != nil {
			return r, false, err
		}
		for _, l := range resp.Locks {
			rest, ours := strings.CutPrefix(l.Name, prefix)
			if !ours {
				return r, ok, nil
			}
			for _, c := range l.Claims {
				if c.Held && c.Lost == apiv1.LockClaim_KEPT && (!ok || c.Token < r.token) {
					r, ok = record{activationOf(rest), c.Session, c.Token, l.Name}, true
				}
			}
		}
		if page = resp.NextPageToken; page == "" {
			return r, ok, nil
		}
	}
}

// Load is that of placement.Storage. Besides, it fails as a look-up of lookupclient does.
func (s *Storage) Load(ctx context.Context, id placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	if err := s.begin(ctx, id); err != nil {
		return a, false, err
	}
	r, ok, err := s.oldest(ctx, keyOf(id))
	if err != nil {
		return a, false, failed(ctx, "load", err)
	}
	return r.StoredActivation, ok && !r.given(), nil
}

const (
	// waitTurn is how long one call waits for a lock, and waitTTL how long its session lasts, which nobody keeps.
	waitTurn = 4 * time.Second
	waitTTL  = 10 * time.Second
	// waitMargin is what one call may take longer than it waits.
	waitMargin = 10 * time.Second
)

// Wait is that of placement.Storage: it waits in the lock's queue, together with others who do. Besides, it fails as a change
// of lookupclient does.
func (s *Storage) Wait(ctx context.Context, id placement.Identity) (a placement.StoredActivation, ok bool, err error) {
	if err := s.begin(ctx, id); err != nil {
		return a, false, err
	}
	key := keyOf(id)
	for {
		r, ok, err := s.oldest(ctx, key)
		if err != nil {
			return a, false, failed(ctx, "wait", err)
		}
		if ok && !r.given() {
			return r.StoredActivation, true, nil
		}
		free, err := s.await(ctx, key)
		if err != nil {
			return a, false, failed(ctx, "wait", err)
		}
		if free {
			r, ok, err := s.oldest(ctx, key)
			if err != nil {
				return a, false, failed(ctx, "wait", err)
			}
			return r.StoredActivation, ok && !r.given(), nil
		}
	}
}

// await waits for a turn until nobody has the lock. It waits under a session of its own, to be out of everybody's way when ctx ends: a
// server keeps the place of a call that is broken off for a while.
func (s *Storage) await(ctx context.Context, key string) (free bool, err error) {
	resp, err := s.sessions.OpenSession(ctx, &apiv1.OpenSessionRequest{Ttl: durationpb.New(waitTTL), Holder: holderWaits + key})
	if err != nil {
		return false, err
	}
	session := resp.Session.Id
	call, cancel := context.WithTimeout(ctx, waitTurn+waitMargin)
	defer cancel()
	_, err = s.locks.AcquireLock(call, &apiv1.AcquireLockRequest{
		Name: s.config.spawnName(key), Mode: apiv1.LockMode_SHARED, Wait: durationpb.New(waitTurn), Session: session,
	})
	if err == nil {
		s.abandon(ctx, session)
		return true, nil
	}
	s.abandonLater(ctx, session)
	if errors.Is(err, lookupclient.ErrLockHeld) || errors.Is(err, lookupclient.ErrLockLost) && ctx.Err() == nil {
		return false, nil // the turn is over
	}
	return false, err
}
