package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) lookupCommand() *cobra.Command {
	var ids identities
	var explain, history bool
	var limit uint32
	var read reading
	c := command("lookup ID…", "Show who owns identities", nil, func(ctx context.Context, args []string) error {
		level, err := read.level()
		if err != nil {
			return err
		}
		switch {
		case explain && history:
			return usage("--explain and --history are two questions")
		case explain:
			return a.lookOne(ids, args, "--explain", func(l *looking, id placement.Identity) error {
				l.reading, l.level = read, level
				return l.why(ctx, id)
			})
		case history:
			return a.lookOne(ids, args, "--history", func(l *looking, id placement.Identity) error { return l.history(ctx, id, limit) })
		}
		return a.ask(func(c *lookupclient.Client) error {
			l := &looking{app: a, api: apiv1.NewPlacementsClient(c.Conn()), reading: read, level: level}
			return l.run(ctx, ids, args)
		})
	})
	c.Aliases = []string{"get"}
	c.Flags().BoolVar(&explain, "explain", false, "show why it is so, and since when: one identity")
	c.Flags().BoolVar(&history, "history", false, "show what became of the identity lately, and why: one identity")
	c.Flags().Uint32Var(&limit, "limit", 50, "with --history: how many events to show")
	c.Long = `Show the settled owner of each identity (kind/key). The answer is linearizable, and says which server gave it, at which log
index. Several identities are looked up as of one moment.

A server with a read lease answers by itself (--consistency leased); with --consistency leader the leader proves itself for each
call. With --consistency stale the answer is what the server has: it says how old that may be, and --max-staleness and --min-index
refuse what is older.

With --explain, who answered and by what proof, since when the identity is placed, why its owner was chosen, and what the
strategy makes of every member now: the one of rank 1 would be chosen, and who may not be says why not. It answers in every
phase; the exit status is that of a look-up all the same.

With --history, what became of one identity lately, as one server remembers it, the newest first: when it was placed, settled,
removed, on which member, by which command. Servers remember in memory, so they also say from where on.`
	c.Example = `  berth lookup cart/42
  berth lookup cart/42 --explain
  berth lookup cart/42 --history
  berth lookup cart/42 -o json | jq -r .placement.member`
	ids.flags(c)
	read.flags(c)
	a.asking(c)
	return c
}

// lookOne asks about one identity.
func (a *app) lookOne(from identities, args []string, flag string, ask func(*looking, placement.Identity) error) error {
	if from.stdin || len(args) != 1 {
		return usage("%s is for one identity", flag)
	}
	ids, err := arguments(args)
	if err != nil {
		return err
	}
	return a.ask(func(c *lookupclient.Client) error {
		return ask(&looking{app: a, api: apiv1.NewPlacementsClient(c.Conn())}, ids[0])
	})
}

// looking is one run of the command.
type looking struct {
	*app
	reading
	level    apiv1.Level_Name
	api      apiv1.PlacementsClient
	all      apiv1.BatchLookupResponse
	header   bool
	failures failures
}

func (l *looking) run(ctx context.Context, from identities, args []string) error {
	if from.stdin {
		err := stream(ctx, l.in, l.call, func(b *batch[*apiv1.BatchLookupResponse]) error {
			for _, bad := range b.bad {
				l.failures.add(apiv1.ReasonInvalidArgument)
				l.say("error: %v", bad)
			}
			if b.results == nil {
				return nil
			}
			return l.take(b.results)
		})
		if err = errors.Join(err, l.document()); err != nil {
			return err
		}
		return l.failures.err()
	}
	ids, err := arguments(args)
	if err != nil {
		return err
	}
	if len(ids) == 1 {
		return l.one(ctx, ids[0])
	}
	for len(ids) > 0 {
		part := ids[:min(len(ids), lookupclient.BatchMax)]
		ids = ids[len(part):]
		resp, err := l.call(ctx, part)
		if err != nil {
			return err
		}
		if err := l.take(resp); err != nil {
			return err
		}
	}
	return errors.Join(l.document(), l.failures.err())
}

func (l *looking) one(ctx context.Context, id placement.Identity) error {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	resp, err := l.api.Lookup(ctx, l.request(id))
	if err != nil {
		return err
	}
	return l.printer.Print(resp, func(r *output.Rows) {
		lookupHeader(r)
		lookupRow(r, resp.Placement, resp.Read)
	})
}

func (l *looking) call(ctx context.Context, ids []placement.Identity) (*apiv1.BatchLookupResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	return l.api.BatchLookup(ctx, &apiv1.BatchLookupRequest{Identities: messages(ids), Level: l.level, MaxStaleness: l.staleness(), MinIndex: l.minIndex})
}

func (l *looking) request(id placement.Identity) *apiv1.LookupRequest {
	return &apiv1.LookupRequest{Kind: id.Kind, Key: id.Key, Level: l.level, MaxStaleness: l.staleness(), MinIndex: l.minIndex}
}

func (l *looking) take(resp *apiv1.BatchLookupResponse) error {
	for _, r := range resp.Results {
		if r.Error != nil {
			l.failures.add(apiv1.Reason(r.Error.Reason))
		}
	}
	switch l.printer.Format {
	case output.JSON:
		l.all.Results, l.all.Read = append(l.all.Results, resp.Results...), resp.Read
		return nil
	case output.JSONL:
		lines := make([]any, len(resp.Results))
		for i, r := range resp.Results {
			if lines[i] = r; r.Error == nil {
				lines[i] = &apiv1.LookupResponse{Placement: r.Placement, Read: resp.Read}
			}
		}
		return output.List(&l.printer, resp, lines, nil)
	}
	l.failures.say(l.app, resultErrors(resp.Results))
	return l.printer.Table(func(rows *output.Rows) {
		if !l.header {
			lookupHeader(rows)
			l.header = true
		}
		for _, r := range resp.Results {
			if r.Error == nil {
				lookupRow(rows, r.Placement, resp.Read)
			}
		}
	})
}

func (l *looking) document() error {
	if l.printer.Format != output.JSON {
		return nil
	}
	return l.printer.Print(&l.all, nil)
}

func lookupHeader(r *output.Rows) {
	r.Row("IDENTITY", "PHASE", "MEMBER", "ADDRESS", "EPOCH", "SERVED BY")
}

func lookupRow(r *output.Rows, p *apiv1.Placement, read *apiv1.Read) {
	r.Row(p.Kind+"/"+p.Key, phaseWord(p.Phase), p.Member, p.Address, p.Epoch, servedBy(read))
}

func phaseWord(p apiv1.Placement_Phase) string { return strings.ToLower(p.String()) }

// servedBy is an answer's proof in few words.
func servedBy(r *apiv1.Read) string {
	if r == nil {
		return ""
	}
	s := r.ServedBy + " " + strings.ToLower(r.Role.String())
	if r.ForwardedBy != "" {
		s += " by way of " + r.ForwardedBy
	}
	switch r.Level {
	case apiv1.Level_LEASED:
		s += fmt.Sprintf(", lease %.1fs", r.LeaseLeft.AsDuration().Seconds())
	case apiv1.Level_STALE:
		s += ", " + age(r)
	}
	return s
}
