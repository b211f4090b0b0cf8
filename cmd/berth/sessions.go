package main

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

func (a *app) lockSessionsCommand() *cobra.Command {
	var limit uint32
	var all bool
	var req apiv1.ListSessionsRequest
	c := command("sessions", "List the sessions on which locks hang", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if limit == 0 {
			return usage("--limit 0: at least 1, or --all")
		}
		return a.ask(func(c *lookupclient.Client) error { return a.listSessions(ctx, c, &req, limit, all) })
	})
	c.Long = `List the open sessions, in the order in which they were opened. Each page is as of its own moment. A session ends when who
opened it closes it, or when it was not kept for its TTL: nobody else can close it, since its locks would have two holders.`
	c.Flags().Uint32Var(&limit, "limit", 50, "how many to show")
	c.Flags().BoolVar(&all, "all", false, "show all")
	c.Flags().StringVar(&req.PageToken, "page", "", "go on behind this one")
	a.asking(c)
	return c
}

func (a *app) listSessions(ctx context.Context, c *lookupclient.Client, req *apiv1.ListSessionsRequest, limit uint32, whole bool) error {
	var all apiv1.ListSessionsResponse
	err := pages(limit, whole, func(size uint32) (n int, more bool, err error) {
		ctx, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		req.PageSize = size
		resp, err := apiv1.NewSessionsClient(c.Conn()).ListSessions(ctx, req)
		if err != nil {
			return 0, false, err
		}
		all.Sessions, all.Read, all.NextPageToken = append(all.Sessions, resp.Sessions...), resp.Read, resp.NextPageToken
		req.PageToken = resp.NextPageToken
		return len(resp.Sessions), req.PageToken != "", nil
	})
	if err != nil {
		return err
	}
	err = output.List(&a.printer, &all, all.Sessions, func(r *output.Rows) {
		r.Row("SESSION", "HOLDER", "TTL", "LEFT", "LOCKS")
		for _, s := range all.Sessions {
			lease := "-"
			if s.LeaseLeft != nil {
				lease = s.LeaseLeft.AsDuration().Round(100 * time.Millisecond).String()
			}
			r.Row(s.Id, s.Holder, s.Ttl.AsDuration(), lease, s.Claims)
		}
	})
	if err == nil && all.NextPageToken != "" && a.printer.Format != output.JSON {
		a.say("there are more after these %s: --page %s, or --all", humanize.Comma(int64(len(all.Sessions))), all.NextPageToken)
	}
	return err
}
