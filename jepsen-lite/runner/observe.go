package runner

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// ask puts questions to one server, from its own host: no fault of the network reaches them.
func (k *cluster) ask(s *server, do func(apiv1.ClusterClient) error) error {
	c, err := k.client(s)
	if err != nil {
		return err
	}
	return errors.Join(do(apiv1.NewClusterClient(c.Conn())), c.Close())
}

// client is a client of one server alone, on its own host.
func (k *cluster) client(s *server) (*lookupclient.Client, error) {
	dial := k.dial(s.Name)
	return lookupclient.Open(lookupclient.Config{
		Servers: []string{s.grpc}, ServersOnly: true, GiveUpAfter: 200 * time.Millisecond,
		Dial: func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) },
	})
}

const (
	// askTimeout bounds a question to a server: one that is stopped does not answer.
	askTimeout = 300 * time.Millisecond
	// observeEvery is how often a server is asked.
	observeEvery = 100 * time.Millisecond
)

// status is how a server is, as it says itself.
func (k *cluster) status(ctx context.Context, s *server) (status *apiv1.ServerStatusResponse, err error) {
	err = k.ask(s, func(api apiv1.ClusterClient) error {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		status, err = api.ServerStatus(ctx, &apiv1.ServerStatusRequest{})
		return err
	})
	return status, err
}

// observe asks a server how it is, again and again, and records it, until ctx ends.
func (k *cluster) observe(ctx context.Context, s *server) {
	c, err := k.client(s)
	if err != nil {
		k.config.Note("%s cannot be observed: %v", s.Name, err)
		return
	}
	defer func() { _ = c.Close() }()
	api := apiv1.NewClusterClient(c.Conn())
	t := time.NewTicker(observeEvery)
	defer t.Stop()
	var seen seen
	for {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		status, err := api.ServerStatus(asking, &apiv1.ServerStatusRequest{})
		cancel()
		if err == nil {
			k.record(s, status, &seen)
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// seen is what was recorded last of a server; zero for nothing.
type seen struct {
	at     int64
	server history.Server
}

const (
	// sayAgain is after how long a server is recorded that is as it was: shorter than the silence that a page takes for one.
	sayAgain = 300 * time.Millisecond
	// leaseMoves is by how much the end of one read lease may seem to move, between one answer and the next.
	leaseMoves = 100 * time.Millisecond
)

// next is what a server says of itself at a moment, and whether there is something in it to be recorded. The lease is taken to end
// when it does by a clock that is right: it is for people, who are to see about how long it lasts.
func (l *seen) next(now int64, status *apiv1.ServerStatusResponse) (history.Server, bool) {
	s := history.Server{
		Name: status.Name, Role: strings.ToLower(status.Role.String()), Term: status.Term, Leader: status.Leader, Applied: status.Index, Barrier: status.Barrier,
	}
	if left := status.ReadLease.AsDuration(); left > 0 {
		s.LeaseUntil = now + int64(left)
	}
	moved := s.LeaseUntil - l.server.LeaseUntil
	old := l.server
	isNew := s.Role != old.Role || s.Term != old.Term || s.Leader != old.Leader || s.Applied != old.Applied ||
		max(moved, -moved) > int64(leaseMoves) || now-l.at >= int64(sayAgain)
	if isNew {
		*l = seen{now, s}
	}
	return s, isNew
}

// record records what is new of a server, and who leads.
func (k *cluster) record(s *server, status *apiv1.ServerStatusResponse, last *seen) {
	if now, isNew := last.next(history.Clock(k.start)(), status); isNew {
		now.Name = s.Name
		k.rec.Record(history.Event{Server: &now})
		if status.Digest != "" && status.Index > 0 {
			k.rec.Record(history.Event{Digest: &history.Digest{Server: s.Name, Index: status.Index, Digest: status.Digest}})
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case status.Role == apiv1.Role_LEADER:
		k.mu.leader = s.Name
	case k.mu.leader == s.Name:
		k.mu.leader = ""
	}
}

// observeAll observes all servers, also those that are added, until ctx ends.
func (k *cluster) observeAll(ctx context.Context) {
	seen := map[*server]bool{}
	done := make(chan struct{})
	running := 0
	t := time.NewTicker(observeEvery)
	defer t.Stop()
	for {
		for _, s := range k.list() {
			if !seen[s] {
				seen[s] = true
				running++
				go func() {
					k.observe(ctx, s)
					done <- struct{}{}
				}()
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			for range running {
				<-done
			}
			return
		}
	}
}

// ready waits until every server votes, the leader knows of all members, and every lock holder runs. A server that ended of its disk, as
// late as that was well again, is started.
func (k *cluster) ready(ctx context.Context) bool {
	return k.await(ctx, func() bool {
		for _, s := range k.list() {
			if err := k.Start(s.Name); err != nil || !k.votes(ctx, s) {
				return false
			}
		}
		s := k.server(k.Leader())
		if s == nil {
			return false
		}
		live := 0
		err := k.ask(s, func(api apiv1.ClusterClient) error {
			ctx, cancel := context.WithTimeout(ctx, operateTimeout)
			defer cancel()
			status, err := api.Status(ctx, &apiv1.StatusRequest{})
			live = int(status.GetMembersLive())
			return err
		})
		return err == nil && live >= len(k.members)
	})
}
