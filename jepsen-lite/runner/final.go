package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// final reads everything once more: every identity and the whole state from every server, and the digests of all at one index.
func (r *run) final(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, finalTimeout)
	defer cancel()
	for _, s := range r.list() {
		c, err := r.client(s)
		if err != nil {
			return err
		}
		err = workload.ReadAll(ctx, r.rec, apiv1.NewPlacementsClient(c.Conn()), s.Name, identityKind, r.clients.Keys())
		if err = errors.Join(err, c.Close()); err != nil {
			return fmt.Errorf("read everything from %s: %w", s.Name, err)
		}
	}
	for range exportRounds {
		if err := r.exports(ctx); err != nil {
			return err
		}
	}
	return r.digests(ctx)
}

// exportRounds is how often the state of all servers is saved in the end. Each asks for an index that nobody has seen, so it takes
// several until two of them are of one.
const exportRounds = 5

// exports saves the state of all servers at one moment.
func (r *run) exports(ctx context.Context) error {
	servers := r.list()
	errs := make([]error, len(servers))
	var group sync.WaitGroup
	for i, s := range servers {
		group.Go(func() {
			c, err := r.client(s)
			if err == nil {
				_, _, err = workload.Export(ctx, r.rec, s.Name, c.Conn())
				err = errors.Join(err, c.Close())
			}
			errs[i] = err
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// digests waits until all servers show the same index, and records their digests there.
func (r *run) digests(ctx context.Context) error {
	var last []*apiv1.ServerStatusResponse
	same := r.await(ctx, func() bool {
		last = nil
		for _, s := range r.list() {
			status, err := r.status(ctx, s)
			if err != nil || status.Digest == "" {
				return false
			}
			last = append(last, status)
		}
		return !slices.ContainsFunc(last, func(x *apiv1.ServerStatusResponse) bool { return x.Index != last[0].Index })
	})
	if !same {
		return fmt.Errorf("the servers did not come to one index within %v", finalTimeout)
	}
	for _, x := range last {
		r.rec.Record(history.Event{Digest: &history.Digest{Server: x.Name, Index: x.Index, Digest: x.Digest, Final: true}})
	}
	return nil
}
