package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (a *app) snapshotRestoreCommand() *cobra.Command {
	r := &restoring{app: a}
	c := command("restore FILE", "Make a new cluster of a snapshot file", cobra.ExactArgs(1), func(_ context.Context, args []string) error {
		return r.run(args[0])
	})
	c.Long = `Make the data directory of the first server of a new cluster, whose state is that of the file. Start it with berth serve;
servers with empty disks join it. It needs no cluster.

The new cluster has another id and a larger recovery generation: every epoch that it gives is larger than all before it.
Placements and members are as in the file; a member that does not join again loses what it owned when its lease must be over.
Sessions and locks are gone, unless --keep-locks is given: then they have their full time once the new cluster has a leader.
Clients and members of the old cluster are refused with CLUSTER_MISMATCH, and have to be started anew.

Stop all servers of the old cluster before the new one is started. What happened after the file was saved is lost. A file
that was restored before is restored with --above-generation and the generation of the newest cluster that was made of it.`
	c.Example = `  berth snapshot restore before.berth --name s1 --data-dir /var/lib/berth-2 --dry-run
  berth snapshot restore before.berth --name s1 --data-dir /var/lib/berth-2`
	f := c.Flags()
	f.StringVar(&r.config.Name, "name", "", "the name of the server that begins the new cluster (needed)")
	f.StringVar(&r.config.DataDir, "data-dir", "", "its data directory, which must be empty or not there (needed)")
	f.Uint16Var(&r.config.AboveGeneration, "above-generation", 0, "make the recovery generation larger than this one (default: than the file's)")
	f.BoolVar(&r.config.KeepLocks, "keep-locks", false, "keep sessions and locks, for holders that are told of the new cluster")
	f.BoolVar(&r.config.DryRun, "dry-run", false, "check everything, say what would be done, and write nothing")
	return c
}

// restoring is one run of the command.
type restoring struct {
	*app
	config raftnode.RestoreConfig
}

func (r *restoring) run(path string) error {
	if err := r.config.Validate(); err != nil {
		return flagErrors(err)
	}
	info, view, err := r.openSnapshot(path)
	if err != nil {
		return err
	}
	r.config.View = view
	restored, err := r.restore(int64(info.Size))
	var refused *raftnode.RefusedError
	switch {
	case errors.As(err, &refused) && errors.Is(err, raftnode.ErrNotEmpty):
		return &statusError{status: exitUsage, err: refused.Err, next: refused.Next}
	case errors.As(err, &refused) && errors.Is(err, raftnode.ErrNotRestorable):
		return &statusError{status: exitCheck, err: fmt.Errorf("%s: %w", path, refused.Err), next: refused.Next}
	case err != nil:
		return err
	}
	done := &apiv1.SnapshotRestore{
		From: info, DryRun: r.config.DryRun, LocksKept: r.config.KeepLocks, Generation: uint32(restored.Cluster.Generation), Server: r.config.Name, DataDir: r.config.DataDir,
		Start: localcluster.Command([]string{"berth", "serve", "--name", r.config.Name, "--data-dir", r.config.DataDir}),
	}
	if !done.DryRun {
		done.Cluster = restored.Cluster.ID
	}
	return r.printer.Print(done, func(rows *output.Rows) { restoreTable(rows, done) })
}

// restore writes the directory. It is about as long as the file.
func (r *restoring) restore(size int64) (*snapshot.View, error) {
	writing, reading := r.byteProgress("writing "+r.config.DataDir, size), r.byteProgress("reading it back", size)
	r.config.OnWritten = writing.add
	r.config.OnRead = func(n int) {
		writing.done()
		reading.add(n)
	}
	defer func() {
		writing.done()
		reading.done()
	}()
	return raftnode.Restore(r.config)
}

func restoreTable(r *output.Rows, s *apiv1.SnapshotRestore) {
	cluster := s.Cluster
	if s.DryRun {
		r.Line("nothing was written; without --dry-run this is what it would be")
		cluster = "a new id"
	}
	r.Row("file", s.From.File)
	r.Row("old cluster", fmt.Sprintf("%s, generation %d, index %d", s.From.Cluster, s.From.Generation, s.From.Index))
	r.Row("new cluster", fmt.Sprintf("%s, generation %d", cluster, s.Generation))
	r.Row("placements", phases(s.From))
	r.Row("members", len(s.From.Members))
	locks := "cleared (--keep-locks keeps them)"
	if s.LocksKept {
		locks = "kept"
	}
	r.Row("locks", fmt.Sprintf("%d of %d sessions, %s", s.From.Locks, s.From.Sessions, locks))
	r.Row("data dir", s.DataDir)
	r.Line("")
	r.Line("Next: stop every server of the old cluster, then start this one, with its addresses:")
	r.Line("  %s", s.Start)
	r.Line("Servers with empty disks join it: berth serve with another --name and --join. Start members and clients anew.")
}
