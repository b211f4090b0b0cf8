package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/placement"
)

func (a *app) watchCommand() *cobra.Command {
	w := &watching{app: a}
	var types []string
	var since uint64
	var member string
	var c *cobra.Command
	c = command("watch", "Show what happens, as it happens", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		for _, name := range types {
			t, ok := apiv1.Event_Type_value[strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(name, "-", "_"), " ", "_"))]
			if !ok || t == int32(apiv1.Event_UNSPECIFIED) {
				return usage("--type %q: there are %s", name, strings.Join(eventNames(), ", "))
			}
			w.config.Types = append(w.config.Types, apiv1.Event_Type(t))
		}
		if c.Flags().Changed("since") {
			w.config.Since, w.config.AnyGeneration = &lookupclient.Position{Index: since}, true
		}
		w.config.Member = placement.MemberID(member)
		return a.attend(func(client *lookupclient.Client) error { return w.run(ctx, client) })
	})
	c.Long = `Show what happens in the cluster, in the order of the log, until it is interrupted: exit status 0. Every event comes once, also
when the server that tells it is lost. With --since it goes on behind a log index, as far as the servers remember; with --snapshot
it shows first what there is, and so it does when it was too slow for what happened.

"settled" is the start of an activation and "removed" its end: nobody can see the placement any more. "unsettled" comes before
that, when its owner has it no longer. "retry-throttled" says that something crashed so often in a row that it is not placed again
for a while: how often, why, and until when.`
	c.Example = `  berth watch --kind cart
  berth watch --since 18990 --type settled,removed -o jsonl
  berth watch --member host-2 --snapshot`
	c.Flags().StringVar(&w.config.Kind, "kind", "", "only identities of this kind, and the kind")
	c.Flags().StringVar(&w.config.Prefix, "prefix", "", "only identities whose keys begin with this")
	c.Flags().StringVar(&member, "member", "", "only this member, and what it owns")
	c.Flags().StringSliceVar(&types, "type", nil, "only events of these types: placed, settled, removed, member-expired, lock-granted …")
	c.Flags().Uint64Var(&since, "since", 0, "begin behind this log index; --from is the same (default: now)")
	c.Flags().BoolVar(&w.config.Snapshot, "snapshot", false, "show first what there is, when nothing or too old an index is given with --since")
	c.Flags().Uint64Var(&w.count, "count", 0, "end after so many events (default: never)")
	c.Flags().BoolVar(&w.marks, "marks", false, "with -o json or jsonl: show up to which index everything was shown, too")
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if name == "from" {
			name = "since"
		}
		return pflag.NormalizedName(name)
	})
	a.asking(c)
	return c
}

// eventNames are the types of events as the command line has them.
func eventNames() (names []string) {
	for t := range apiv1.Event_LEADER_CHANGED + 1 {
		if _, ok := apiv1.Event_Type_name[int32(t)]; ok && t != apiv1.Event_UNSPECIFIED {
			names = append(names, eventName(apiv1.Event_Type(t)))
		}
	}
	return names
}

func eventName(t apiv1.Event_Type) string {
	return strings.ToLower(strings.ReplaceAll(t.String(), "_", "-"))
}

// watching is one run of the command.
type watching struct {
	*app
	config lookupclient.WatchConfig
	count  uint64
	marks  bool

	shown  uint64
	header bool
	at     *lookupclient.Position
}

func (w *watching) run(ctx context.Context, client *lookupclient.Client) error {
	for u, err := range client.Watch(ctx, w.config) {
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return err
		}
		if err := w.show(&u); err != nil || w.count > 0 && w.shown == w.count {
			return err
		}
	}
	if w.at != nil {
		w.say("resume with: --since %d", w.at.Index)
	}
	return nil
}

// resets say why a snapshot is shown that was not asked for.
var resets = map[apiv1.WatchReset_Why]string{
	apiv1.WatchReset_BEHIND:    "events were lost, since they came faster than they were read or the server was sent a snapshot",
	apiv1.WatchReset_COMPACTED: "what followed that index is not known any more",
	apiv1.WatchReset_RESTORED:  "the cluster was restored",
}

// show prints an update, up to the count.
func (w *watching) show(u *lookupclient.Update) error {
	if why := resets[u.Reset]; why != "" {
		w.say("%s: what there is follows", why)
	}
	events := u.Events
	if w.count > 0 {
		events = events[:min(uint64(len(events)), w.count-w.shown)]
	}
	w.shown += uint64(len(events))
	if !u.Partial && len(events) == len(u.Events) {
		w.at = &u.Position
	}
	if w.printer.Format == output.Table {
		return w.table(u.Records, events)
	}
	var lines []proto.Message
	if u.Reset != 0 {
		lines = append(lines, &apiv1.WatchResponse{Reset_: &apiv1.WatchReset{Why: u.Reset}})
	}
	for _, r := range u.Records {
		lines = append(lines, r)
	}
	for _, e := range events {
		lines = append(lines, e)
	}
	if w.marks && !u.Partial {
		lines = append(lines, &apiv1.WatchResponse{Mark: &apiv1.WatchMark{Index: u.Position.Index, Generation: u.Position.Generation, ServedBy: u.ServedBy}})
	}
	var err error
	for _, line := range lines {
		err = errors.Join(err, w.printer.Print(line, nil))
	}
	return err
}

func (w *watching) table(records []*apiv1.WatchRecord, events []*apiv1.Event) error {
	if len(records)+len(events) == 0 && w.header {
		return nil
	}
	return w.printer.Table(func(r *output.Rows) {
		row := func(index, time any, event, subject, member string, epoch uint64, cause string) {
			// The widths of one part of the stream do not depend on the others.
			e := ""
			if epoch != 0 {
				e = fmt.Sprint(epoch)
			}
			r.Row(fmt.Sprintf("%8v", index), fmt.Sprintf("%8v", time), fmt.Sprintf("%-14s", event), fmt.Sprintf("%-16s", dash(subject)),
				fmt.Sprintf("%-8s", dash(member)), fmt.Sprintf("%-8s", dash(e)), cause)
		}
		if !w.header {
			w.header = true
			row("INDEX", "TIME", "EVENT", "SUBJECT", "MEMBER", 0, "CAUSE")
		}
		for _, x := range records {
			what, subject, member, epoch := recordWords(x)
			row("-", "-", what, subject, member, epoch, "")
		}
		for _, e := range events {
			row(e.Index, timeText(e.Time), eventName(e.Type), subjectText(e), e.Member, e.Epoch, eventCause(e))
		}
	})
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// recordWords say what there is.
func recordWords(x *apiv1.WatchRecord) (what, subject, member string, epoch uint64) {
	switch {
	case x.Placement != nil:
		return "is " + phaseWord(x.Placement.Phase), x.Placement.Kind + "/" + x.Placement.Key, x.Placement.Member, x.Placement.Epoch
	case x.Member != nil:
		return "is " + strings.ToLower(x.Member.State.String()), "", x.Member.Name, 0
	case x.Lock != nil:
		return "is held", "lock " + x.Lock.Name, "", x.Lock.Claims[0].GetToken()
	case x.Session != nil:
		return "is open", fmt.Sprintf("session %d", x.Session.Id), "", 0
	case x.Kind != nil:
		return "is known", "kind " + x.Kind.Name, "", 0
	case x.Block != nil && x.Block.Member != "":
		return "is blocked", "", x.Block.Member, 0
	case x.Block != nil:
		return "is blocked", x.Block.Kind + "/" + x.Block.Key, "", 0
	}
	return "is", "", "", 0
}

// subjectText is what an event is about, but for a member.
func subjectText(e *apiv1.Event) string {
	switch {
	case e.Lock != "":
		return "lock " + e.Lock
	case e.Session != 0:
		return fmt.Sprintf("session %d", e.Session)
	case e.Server != "":
		return "server " + e.Server
	case e.Type == apiv1.Event_KIND_CHANGED:
		return "kind " + e.Kind
	case e.Kind != "":
		return e.Kind + "/" + e.Key
	}
	return ""
}

// eventCause says in words what made an event happen.
func eventCause(e *apiv1.Event) string {
	text := e.Cause
	switch e.Type {
	case apiv1.Event_PLACED, apiv1.Event_MOVED, apiv1.Event_LOCK_LOST, apiv1.Event_BLOCK_ADDED, apiv1.Event_RETRY_THROTTLED:
		if e.Reason != "" {
			text += ": " + e.Reason
		}
	case apiv1.Event_FAILED:
		text = e.Failure
	case apiv1.Event_MEMBER_LEFT, apiv1.Event_MEMBER_EXPIRED:
		text += fmt.Sprintf(", owned %d", e.Placements)
	case apiv1.Event_LEADER_CHANGED:
		text = fmt.Sprintf("term %d", e.Term)
	}
	if e.Type == apiv1.Event_BLOCK_ADDED && e.Placements > 0 {
		text += fmt.Sprintf(", asks back %d", e.Placements)
	}
	if e.Type == apiv1.Event_RETRY_THROTTLED {
		text += ", until " + timeText(e.Until)
	}
	return text
}
