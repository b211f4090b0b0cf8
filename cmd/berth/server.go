package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

func (a *app) statusCommand() *cobra.Command {
	var wait time.Duration
	c := command("status", "Show how the cluster is", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.status(ctx, c, wait) })
	})
	c.Long = `Show how the cluster is, as its leader sees it. The exit status is 8 when a majority does not answer, or when anything
else is wrong; 4 when nobody leads.`
	c.Flags().DurationVar(&wait, "wait", 0, "wait as long for a healthy cluster")
	a.asking(c)
	return c
}

// status prints the cluster's status, and waits for a healthy one when it is told to.
func (a *app) status(ctx context.Context, c *lookupclient.Client, wait time.Duration) error {
	begin := time.Now()
	for {
		resp, err := clusterStatus(ctx, c, a.timeout)
		if good := err == nil && resp.Healthy && len(resp.Problems) == 0; !good && time.Since(begin) < wait {
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-ctx.Done():
			}
		}
		if err != nil {
			return err
		}
		if err := a.printer.Print(resp, func(r *output.Rows) { statusTable(r, resp) }); err != nil {
			return err
		}
		if !resp.Healthy || len(resp.Problems) > 0 {
			return &statusError{status: exitCheck}
		}
		return nil
	}
}

func clusterStatus(ctx context.Context, c *lookupclient.Client, timeout time.Duration) (*apiv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return apiv1.NewClusterClient(c.Conn()).Status(ctx, &apiv1.StatusRequest{})
}

func statusTable(r *output.Rows, s *apiv1.StatusResponse) {
	word := "HEALTHY"
	switch {
	case !s.Healthy:
		word = "NO MAJORITY"
	case len(s.Problems) > 0:
		word = "DEGRADED"
	}
	r.Line("cluster %s   %s   term %d, leader %s", s.Cluster, word, s.Term, s.Leader)
	r.Line("")
	serverTable(r, s.Servers)
	r.Line("")
	r.Line("members %d live, %d draining · placements %s settled, %s pending · locks %s", s.MembersLive, s.MembersDraining,
		humanize.Comma(int64(s.Settled)), humanize.Comma(int64(s.Pending)), humanize.Comma(int64(s.Locks)))
	holdLines(r, s.Hold)
	for _, p := range s.Problems {
		r.Line("! %s", p)
	}
}

func serverTable(r *output.Rows, list []*apiv1.ServerInfo) {
	r.Row("SERVER", "ROLE", "INDEX", "BEHIND", "READ LEASE", "STATE DIGEST", "GRPC", "RAFT", "HTTP", "VERSION")
	for _, s := range list {
		index, behind := fmt.Sprint(s.Index), fmt.Sprint(s.Behind)
		if !s.Reachable {
			index, behind = "unreachable", ""
		}
		lease := "-"
		if s.ReadLease != nil {
			lease = fmt.Sprintf("%.1fs", s.ReadLease.AsDuration().Seconds())
		}
		r.Row(s.Name, strings.ToLower(s.Role.String()), index, behind, lease, shortDigest(s.Digest), s.GrpcAddress, s.RaftAddress, s.HttpAddress, s.Version)
	}
}

func shortDigest(d string) string { return d[:min(len(d), 12)] }

func (a *app) serverCommand() *cobra.Command {
	list := command("list", "List the servers", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			resp, err := clusterStatus(ctx, c, a.timeout)
			if err != nil {
				return err
			}
			return output.List(&a.printer, &apiv1.StatusResponse{Servers: resp.Servers}, resp.Servers, func(r *output.Rows) { serverTable(r, resp.Servers) })
		})
	})
	remove := command("remove NAME", "Take a server out of the cluster for good", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewClusterClient(c.Conn()).RemoveServer(ctx, &apiv1.RemoveServerRequest{Name: args[0]})
			if err != nil {
				return err
			}
			return a.printer.Print(resp, func(r *output.Rows) { r.Line("%s is no part of the cluster any more", args[0]) })
		})
	})
	remove.Long = `Take a server out of the cluster for good. Its name is not used again: a server that takes its place has a new name. A
running server that is removed ends by itself; a leader hands over first.`
	transfer := command("transfer [NAME]", "Hand the leadership over", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		return a.ask(func(c *lookupclient.Client) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			resp, err := apiv1.NewClusterClient(c.Conn()).TransferLeadership(ctx, &apiv1.TransferLeadershipRequest{To: strings.Join(args, "")})
			if err != nil {
				return err
			}
			return a.printer.Print(resp, func(r *output.Rows) { r.Line("%s leads", resp.Leader) })
		})
	})
	transfer.Long = `Hand the leadership over to a voter, or to the one that is furthest when none is named.`
	a.asking(list, remove, transfer)
	return groupCommand("server", "The servers of the Raft group", list, remove, transfer)
}
