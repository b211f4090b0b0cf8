package contract

import (
	"context"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

// keptActivation is an activation that was stored through this Storage.
type keptActivation struct {
	session    uint64
	identity   placement.Identity
	activation placement.StoredActivation
	deadline   time.Time // until when its session lasts without another keepalive
	stop       context.CancelFunc
}

// room says whether one more activation can be kept.
func (s *Storage) room() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.kept) < s.most
}

// keep keeps the session of an activation from now on.
func (s *Storage) keep(k *keptActivation) {
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = cancel
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		cancel()
		return // it ends with its lease
	}
	s.kept[k.session] = k
	s.tasks.Go(func() { // ends when the activation is removed or lost, or the Storage closed
		defer cancel()
		if s.keeping(ctx, k) && s.forget(k.session) && s.config.OnLost != nil {
			s.config.OnLost(k.identity, k.activation)
		}
	})
}

// forget drops an activation. It says whether it was kept.
func (s *Storage) forget(session uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[session]
	if k != nil {
		k.stop()
		delete(s.kept, session)
	}
	return k != nil
}

// keeping asks for more time, again and again, one request at a time. It returns true when the activation is lost.
func (s *Storage) keeping(ctx context.Context, k *keptActivation) bool {
	wait := s.config.Stale / 4
	for {
		select {
		case <-time.After(min(wait, time.Until(k.deadline))):
		case <-ctx.Done():
			return false
		case <-s.closed:
			return false
		}
		asked := time.Now() // before it is sent
		if !asked.Before(k.deadline) {
			return true
		}
		call, cancel := context.WithDeadline(ctx, k.deadline)
		resp, err := s.sessions.KeepSession(call, &apiv1.KeepSessionRequest{Session: k.session})
		cancel()
		switch {
		case ctx.Err() != nil:
			return false
		case gone(err):
			return true
		case err != nil:
			wait = s.config.Stale / 20
		case len(resp.Lost) > 0: // somebody broke one of its locks
			s.abandon(ctx, k.session)
			return true
		default:
			wait, k.deadline = s.config.Stale/4, asked.Add(s.config.Stale)
		}
	}
}
