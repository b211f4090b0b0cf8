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

const pageMax = 1000

func (a *app) listCommand() *cobra.Command {
	l := &listing{app: a}
	var phase string
	c := command("list", "List placements", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		if phase != "" {
			p, ok := apiv1.Placement_Phase_value[strings.ToUpper(phase)]
			if !ok || apiv1.Placement_Phase(p) <= apiv1.Placement_ABSENT {
				return usage("--phase %q: there are pending, settled and tombstone", phase)
			}
			l.req.Phase = apiv1.Placement_Phase(p)
		}
		if l.limit == 0 {
			return usage("--limit 0: at least 1, or --all")
		}
		return a.ask(func(c *lookupclient.Client) error {
			l.client, l.api = c, apiv1.NewPlacementsClient(c.Conn())
			return l.run(ctx)
		})
	})
	c.Long = `List placements, all as of one log index: a list of several pages is one consistent picture. The server that gave the first
page keeps it for a minute; after that the list has to begin again (INDEX_COMPACTED).`
	c.Example = `  berth list --kind cart --member host-2
  berth list --unsettled
  berth list --kind cart --prefix eu/
  berth list --all -o jsonl | jq -r .placement.member | sort | uniq -c`
	c.Flags().StringVar(&l.req.Kind, "kind", "", "only this kind")
	c.Flags().StringVar(&l.req.Member, "member", "", "only what this member owns")
	c.Flags().StringVar(&phase, "phase", "", "only this phase: pending, settled, tombstone")
	c.Flags().StringVar(&l.req.Prefix, "prefix", "", "only keys that begin with this")
	c.Flags().BoolVar(&l.req.Unsettled, "unsettled", false, "only what is not settled")
	c.Flags().Uint32Var(&l.limit, "limit", 50, "how many to show")
	c.Flags().BoolVar(&l.whole, "all", false, "show all")
	c.Flags().StringVar(&l.req.PageToken, "page", "", "go on where another list with the same filters ended")
	a.asking(c)
	return c
}

// listing is one run of the command.
type listing struct {
	*app
	client *lookupclient.Client
	api    apiv1.PlacementsClient
	req    apiv1.ListRequest
	limit  uint32
	whole  bool

	all    apiv1.ListResponse // for the one document of the format JSON
	header bool
}

func (l *listing) run(ctx context.Context) error {
	left := l.limit
	for {
		l.req.PageSize = pageMax
		if !l.whole {
			l.req.PageSize = min(left, pageMax)
			l.req.CountMore = left <= pageMax
		}
		resp, err := l.page(ctx)
		if err != nil {
			return err
		}
		if err := l.take(resp); err != nil {
			return err
		}
		l.req.PageToken = resp.NextPageToken
		left -= min(left, uint32(len(resp.Placements)))
		if resp.NextPageToken == "" || !l.whole && left == 0 {
			l.all.NextPageToken, l.all.More, l.all.MoreAtLeast = resp.NextPageToken, resp.More, resp.MoreAtLeast
			break
		}
	}
	if err := l.hold(ctx, l.client); err != nil {
		return err
	}
	if l.printer.Format == output.JSON {
		return l.printer.Print(&l.all, nil)
	}
	if l.printer.Format == output.Table {
		if err := l.printer.Table(func(r *output.Rows) { holdLines(r, l.all.Hold) }); err != nil {
			return err
		}
	}
	if l.all.NextPageToken != "" {
		l.say("%s more: --page %s, or --all", l.more(), l.all.NextPageToken)
	}
	return nil
}

// more says how many there are behind the last page, as far as was counted.
func (l *listing) more() string {
	switch n := humanize.Comma(int64(l.all.More)); {
	case !l.all.MoreAtLeast:
		return n
	case l.all.More > 0:
		return "at least " + n
	}
	return "perhaps" // nothing was found yet
}

func (l *listing) page(ctx context.Context) (*apiv1.ListResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return l.api.List(ctx, &l.req)
}

func (l *listing) take(resp *apiv1.ListResponse) error {
	switch l.printer.Format {
	case output.JSON:
		l.all.Placements, l.all.Read = append(l.all.Placements, resp.Placements...), resp.Read
		return nil
	case output.JSONL:
		lines := make([]*apiv1.LookupResponse, len(resp.Placements))
		for i, p := range resp.Placements {
			lines[i] = &apiv1.LookupResponse{Placement: p, Read: resp.Read}
		}
		return output.List(&l.printer, resp, lines, nil)
	}
	return l.printer.Table(func(r *output.Rows) {
		if !l.header {
			columns := []any{"IDENTITY", "PHASE", "MEMBER", "ADDRESS", "EPOCH", "WHY"}
			if l.req.Unsettled {
				columns = append(columns, "AGE")
			}
			r.Row(columns...)
			l.header = true
		}
		for _, p := range resp.Placements {
			phase := phaseWord(p.Phase)
			if p.Draining {
				phase += ", stopping"
			}
			why := p.Reason
			if p.Attempt > 0 {
				why = fmt.Sprintf("%s, after %d failed", why, p.Attempt)
			}
			cells := []any{p.Kind + "/" + p.Key, phase, p.Member, p.Address, p.Epoch, why}
			if l.req.Unsettled {
				cells = append(cells, sinceText(p))
			}
			r.Row(cells...)
		}
	})
}

// sinceText is for how long a placement has not been settled.
func sinceText(p *apiv1.Placement) string {
	if p.Since == nil {
		return "?"
	}
	return max(0, time.Since(p.Since.AsTime())).Round(100 * time.Millisecond).String()
}

// hold finds out what removals wait for: the leader knows.
func (l *listing) hold(ctx context.Context, c *lookupclient.Client) error {
	if !l.req.Unsettled {
		return nil
	}
	s, err := clusterStatus(ctx, c, l.timeout)
	if err != nil {
		return err
	}
	l.all.Hold = s.Hold
	return nil
}
