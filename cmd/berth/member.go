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

func (a *app) memberCommand() *cobra.Command {
	list := command("list", "List the members: the processes that host activations", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		return a.ask(func(c *lookupclient.Client) error { return a.listMembers(ctx, c) })
	})
	a.asking(list)
	return groupCommand("member", "The processes that host activations", list,
		a.memberDrainCommand(), a.memberUndrainCommand(), a.memberExpireCommand(), a.memberBlockCommand(), a.memberUnblockCommand())
}

func (a *app) listMembers(ctx context.Context, c *lookupclient.Client) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	resp, err := apiv1.NewMembersClient(c.Conn()).ListMembers(ctx, &apiv1.ListMembersRequest{})
	if err != nil {
		return err
	}
	return output.List(&a.printer, resp, resp.Members, func(r *output.Rows) { memberTable(r, resp.Members...) })
}

func memberTable(r *output.Rows, members ...*apiv1.Member) {
	r.Row("MEMBER", "ADDRESS", "STATE", "LEASE LEFT", "SETTLED", "PENDING", "KINDS", "WEIGHT", "CAPACITY", "INCARNATION")
	for _, m := range members {
		capacity := "unlimited"
		if m.Capacity > 0 {
			capacity = humanize.Comma(int64(m.Capacity))
		}
		r.Row(m.Name, m.Address, strings.ToLower(m.State.String()), leaseLeft(m), humanize.Comma(int64(m.Settled)), humanize.Comma(int64(m.Pending)),
			strings.Join(m.Kinds, ","), m.Weight, capacity, m.Incarnation)
	}
}

func leaseLeft(m *apiv1.Member) string {
	if m.LeaseLeft == nil {
		return ""
	}
	return fmt.Sprint(m.LeaseLeft.AsDuration().Round(100 * time.Millisecond))
}
