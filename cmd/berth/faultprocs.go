package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/jepsen-lite/lossyfs"
	"github.com/seed13d31b7f/berth/jepsen-lite/workload"
)

// faultProcesses are the processes of a run that are no servers. Nobody types them: berth fault run does.
func (a *app) faultProcesses() []*cobra.Command {
	var m workload.MemberConfig
	member := command("member", "Be a member of a fault test", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return workload.RunMember(ctx, m, func() { a.joined(m.Name) })
	})
	var l workload.LockerConfig
	locker := command("locker", "Hold locks in a fault test", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return workload.RunLocker(ctx, l, func() { a.joined(l.Name) })
	})
	var k workload.AskerConfig
	asker := command("asker", "Be clients of a fault test", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return workload.RunAsker(ctx, k, func() { a.joined(k.Name) })
	})
	disk := command("disk", "Be a disk that loses power", cobra.NoArgs, func(context.Context, []string) error {
		return lossyfs.Serve(os.Stdin, a.out)
	})
	var unguarded string // what clients do is guarded by no resource
	for _, x := range []struct {
		c                   *cobra.Command
		name, resource, dir *string
		start               *int64
		servers             *[]string
	}{
		{member, &m.Name, &m.Resource, &m.Dir, &m.Start, &m.Servers}, {locker, &l.Name, &l.Resource, &l.Dir, &l.Start, &l.Servers},
		{asker, &k.Name, &unguarded, &k.Dir, &k.Start, &k.Servers},
	} {
		f := x.c.Flags()
		f.StringVar(x.name, "name", "", "its name")
		f.StringVar(x.resource, "resource", "", "the socket of the guarded resource")
		f.StringVar(x.dir, "dir", "", "the folder that gets its history")
		f.Int64Var(x.start, "start", 0, "when the run began, on the machine's monotonic clock")
		f.StringSliceVar(x.servers, "servers", nil, "gRPC addresses of the servers")
	}
	member.Flags().StringSliceVar(&m.Kinds, "kinds", nil, "the kinds that it hosts")
	f := locker.Flags()
	f.StringSliceVar(&l.Locks, "locks", nil, "the locks that it competes for")
	f.StringSliceVar(&l.Careless, "careless", nil, "the lock holders that each keep a lock of their own, which all of them want, and write without a look at whether they still have it")
	f.DurationVar(&l.TTL, "ttl", 2*time.Second, "the TTL of its sessions")
	f.Uint64Var(&l.Seed, "seed", 0, "decides what it does")
	f = asker.Flags()
	f.StringVar(&k.Kind, "kind", "", "the kind of the identities that they ask about")
	f.StringSliceVar(&k.Members, "members", nil, "the members that identities are moved to")
	f.DurationVar(&k.Every, "every", time.Second, "how long each rests between two operations, at the mean")
	f.Uint64Var(&k.Seed, "seed", 0, "decides what they do")
	all := []*cobra.Command{member, locker, asker, disk}
	for _, c := range all {
		c.Hidden = true
	}
	return all
}

// joined says that a process of a fault test takes part.
func (a *app) joined(name string) {
	_ = a.printer.Print(struct {
		Joined string `json:"joined"`
	}{name}, func(r *output.Rows) { r.Line("%s takes part", name) })
}
