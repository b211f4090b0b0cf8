package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/history"
	"github.com/seed13d31b7f/berth/jepsen-lite/procs"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot"
)

const (
	// restoreTimeout bounds making the new cluster, and what is asked of it: its server waits first until the leases of the old
	// servers must be over.
	restoreTimeout = 30 * time.Second
	// restoredTTL is the members' TTL in the new cluster. Not shorter: those of the old one, which never come, must be in its state
	// while it is compared. Not longer: it is waited for first.
	restoredTTL = "5s"
	// restoredMember is who joins the new cluster. restoredPlaced is how many placements that is asked for at a time: the members
	// of the old one, who do not answer, are chosen too. differsMax is how many differences are named.
	restoredMember = "m-restored"
	restoredPlaced = 30
	differsMax     = 50
)

// restore ends the cluster, makes a new one of the newest state that was saved, with the command that is there for it, and records
// what that one has.
func (r *run) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, restoreTimeout)
	defer cancel()
	file := r.clients.Saved()
	if file == nil {
		return errors.New("no state was saved that could be restored")
	}
	old, err := snapshot.Decode(bytes.NewReader(file))
	if err != nil {
		return err
	}
	if err := os.WriteFile(r.dir.Export(), file, 0o644); err != nil {
		return err
	}
	if err := r.endCluster(); err != nil {
		return err
	}
	s, err := r.beginRestored(ctx)
	if err != nil {
		return fmt.Errorf("a new cluster of what was saved: %w", err)
	}
	x := &history.Restored{Index: old.Index, Digest: old.Digest().String(), From: old.Cluster.Generation}
	defer func() { r.rec.Record(history.Event{Restored: x}) }()
	if err := r.compareRestored(ctx, s, old, x); err != nil {
		return err
	}
	return r.placeRestored(ctx, s, x)
}

// endCluster ends all processes in order, as who restores has to.
func (r *run) endCluster() error {
	var servers []*worker
	for _, s := range r.list() {
		servers = append(servers, s.worker)
	}
	return errors.Join(stop(r.members), stop(servers))
}

// beginRestored makes a data directory of the saved state, starts a server with it, and waits until that leads.
func (r *run) beginRestored(ctx context.Context) (*server, error) {
	r.mu.Lock()
	s, err := r.newServerLocked(nil, 0)
	if err == nil {
		s.kind = "restored" // it is no server of the cluster that is judged
		r.mu.restored = append(r.mu.restored, s.worker)
	}
	r.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if i := slices.Index(s.Args, "--member-ttl"); i >= 0 {
		s.Args[i+1] = restoredTTL
	}
	config := s.Config
	config.Log = filepath.Join(filepath.Dir(s.Log), "restore.log")
	config.Args = []string{r.config.Binary, "snapshot", "restore", r.dir.Export(), "--name", s.Name, "--data-dir", s.data}
	command := &procs.Process{Config: config}
	if err := command.Start(); err != nil {
		return nil, err
	}
	select {
	case <-command.Done():
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), command.Stop(stopPatience))
	}
	if command.How() != "exit status 0" {
		return nil, fmt.Errorf("berth snapshot restore: %s: %s", command.How(), command.Tail(600))
	}
	if err := r.launch(s.worker); err != nil {
		return nil, err
	}
	if !r.await(ctx, func() bool { return !s.Runs() || r.leads(ctx, s) }) || !s.Runs() {
		return nil, fmt.Errorf("%s does not lead: %s: %s", s.Name, s.How(), s.Tail(600))
	}
	return s, nil
}

// compareRestored holds what the new cluster has settled, and who its members are, against the saved state.
func (r *run) compareRestored(ctx context.Context, s *server, old *snapshot.View, x *history.Restored) error {
	c, err := r.client(s)
	if err != nil {
		return err
	}
	file, err := workload.Save(ctx, c.Conn())
	if err := errors.Join(err, c.Close()); err != nil {
		return fmt.Errorf("the new cluster's state: %w", err)
	}
	v, err := snapshot.Decode(bytes.NewReader(file))
	if err != nil {
		return fmt.Errorf("the new cluster's state: %w", err)
	}
	x.To = v.Cluster.Generation
	x.Settled, x.Differs = differences(old, v)
	return nil
}

// differences names what a new cluster has otherwise than the state that it was made of, and counts what is settled there. What
// was not settled, nor what had been removed and was still shown, is no promise.
func differences(old, v *snapshot.View) (settled int, differs []string) {
	say := func(format string, args ...any) {
		if len(differs) < differsMax {
			differs = append(differs, fmt.Sprintf(format, args...))
		}
	}
	if v.Cluster.ID == old.Cluster.ID {
		say("the cluster's id is that of the old one, %s", v.Cluster.ID)
	}
	for p := range old.Placements() {
		if p.Entry.Phase != placement.Settled {
			continue
		}
		settled++
		e, owner := v.Lookup(p.Identity)
		if owner == nil || e.Phase != placement.Settled || e.Epoch != p.Entry.Epoch || owner.ID != p.Owner.ID || e.Owner != p.Entry.Owner {
			say("%v was settled on %s under %d, and is %v under %d", p.Identity, p.Owner.ID, p.Entry.Epoch, e.Phase, e.Epoch)
		}
	}
	for p := range v.Placements() {
		if before, _ := old.Lookup(p.Identity); p.Entry.Phase == placement.Settled && before.Epoch != p.Entry.Epoch {
			say("%v is settled under %d, and was %v under %d", p.Identity, p.Entry.Epoch, before.Phase, before.Epoch)
		}
	}
	for m := range old.Members() {
		if now := v.Incarnation(m.Incarnation); now == nil || now.ID != m.ID {
			say("the member %s, %d, is not there", m.ID, m.Incarnation)
		}
	}
	if n := v.SessionCount(); n > 0 {
		say("there are %d sessions", n)
	}
	return settled, differs
}

// placeRestored has a member join the new cluster and own what nobody owned before.
func (r *run) placeRestored(ctx context.Context, s *server, x *history.Restored) error {
	m, err := r.newWorker(restoredMember, "member", "--kinds", identityKind, "--servers", s.grpc)
	if err != nil {
		return err
	}
	m.Site, x.Member = r.site(s.Name), restoredMember
	r.mu.Lock()
	r.mu.restored = append(r.mu.restored, m)
	r.mu.Unlock()
	if err := r.launch(m); err != nil {
		return err
	}
	c, err := r.client(s)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for round := 1; len(x.Epochs) == 0; round++ {
		var ids []placement.Identity
		for i := range restoredPlaced {
			ids = append(ids, placement.Identity{Kind: identityKind, Key: fmt.Sprintf("restored-%d-%d", round, i+1)})
		}
		asking, cancel := context.WithTimeout(ctx, operateTimeout)
		results, err := c.PlaceAll(asking, ids)
		cancel()
		for _, p := range results {
			if p.Err == nil {
				x.Epochs = append(x.Epochs, uint64(p.Placement.Epoch))
			}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("the new cluster places nothing: %w", errors.Join(err, ctx.Err()))
		}
	}
	return nil
}
