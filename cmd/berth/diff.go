package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/snapshot"
)

func (a *app) snapshotDiffCommand() *cobra.Command {
	d := &differing{app: a}
	c := command("diff FROM TO", "Show how two snapshot files differ", cobra.ExactArgs(2), func(_ context.Context, args []string) error {
		return d.run(args[0], args[1])
	})
	c.Long = `Show what was placed, removed and moved between two snapshots, by kind and by member, and which locks have other holders. With -o jsonl each change is a line.
It needs no cluster.`
	c.Example = `  berth snapshot diff before.berth after.berth
  berth snapshot diff before.berth after.berth -o jsonl | jq 'select(.type=="MOVED")'`
	c.Flags().BoolVar(&d.exitCode, "exit-code", false, "exit with status 1 when they differ")
	return c
}

// differing is one run of the command.
type differing struct {
	*app
	exitCode bool
	differ   bool
}

func (d *differing) run(from, to string) error {
	fromInfo, fromView, err := d.openSnapshot(from)
	if err != nil {
		return err
	}
	toInfo, toView, err := d.openSnapshot(to)
	if err != nil {
		return err
	}
	if fromInfo.Cluster != toInfo.Cluster {
		d.say("note: these are the states of two clusters: unless one was restored from the other, their epochs and members have nothing in common")
	}
	if d.printer.Format == output.JSONL {
		err = d.lines(fromView, toView)
	} else {
		var sum *apiv1.SnapshotDiff
		d.during("comparing", func() { sum = d.sum(fromView, toView) })
		sum.From, sum.To, sum.OtherCluster = fromInfo, toInfo, fromInfo.Cluster != toInfo.Cluster
		err = d.printer.Print(sum, func(r *output.Rows) { diffTable(r, sum) })
	}
	if err == nil && d.exitCode && d.differ {
		return &statusError{status: exitOther}
	}
	return err
}

// lines prints each change.
func (d *differing) lines(from, to *snapshot.View) error {
	for c := range snapshot.Diff(from, to) {
		d.differ = true
		id := c.From.Identity
		err := d.printer.Print(&apiv1.SnapshotChange{
			Type: apiv1.SnapshotChange_Type(c.Type), Kind: id.Kind, Key: id.Key, From: changeSide(c.From), To: changeSide(c.To),
		}, nil)
		if err != nil {
			return err
		}
	}
	for c := range snapshot.DiffLocks(from, to) {
		d.differ = true
		if err := d.printer.Print(&apiv1.SnapshotChange{Lock: lockChange(from, to, c)}, nil); err != nil {
			return err
		}
	}
	return nil
}

func lockChange(from, to *snapshot.View, c snapshot.LockChange) *apiv1.LockChange {
	return &apiv1.LockChange{Type: apiv1.LockChange_Type(c.Type), Name: c.From.Name, From: lockSide(from, c.From), To: lockSide(to, c.To)}
}

// lockSide is who holds a lock in one of the states.
func lockSide(v *snapshot.View, l snapshot.Lock) (claims []*apiv1.LockClaim) {
	for c := range l.Holders() {
		s, _ := v.Session(c.Session)
		claims = append(claims, &apiv1.LockClaim{Token: uint64(c.Token), Session: uint64(c.Session), Holder: s.Holder, Mode: apiv1.LockMode_Name(c.Mode), Held: true})
	}
	return claims
}

// locksNamed is how many locks the sum of a difference names.
const locksNamed = 20

// sumLocks counts the changes of locks, and names the first of them.
func sumLocks(s *apiv1.SnapshotDiff, from, to *snapshot.View) {
	for c := range snapshot.DiffLocks(from, to) {
		switch c.Type {
		case snapshot.LockGranted:
			s.LocksGranted++
		case snapshot.LockReleased:
			s.LocksReleased++
		case snapshot.LockMoved:
			s.LocksMoved++
		}
		if len(s.Locks) < locksNamed {
			s.Locks = append(s.Locks, lockChange(from, to, c))
		}
	}
}

// changeSide is what one of the states says.
func changeSide(p snapshot.Placement) *apiv1.Placement {
	if p.Owner == nil {
		return nil
	}
	return &apiv1.Placement{
		Kind: p.Identity.Kind, Key: p.Identity.Key, Phase: apiv1.Placement_Phase(p.Entry.Phase) + apiv1.Placement_ABSENT,
		Member: string(p.Owner.ID), Address: p.Owner.Address, Epoch: uint64(p.Entry.Epoch), Incarnation: uint64(p.Entry.Owner),
	}
}

// sum counts the changes by kind and by member.
func (d *differing) sum(from, to *snapshot.View) *apiv1.SnapshotDiff {
	kinds, members := counts{}, counts{}
	for c := range snapshot.Diff(from, to) {
		kinds.count(c.From.Identity.Kind, c.Type)
		switch {
		case c.Type == snapshot.Removed:
			members.count(string(c.From.Owner.ID), c.Type)
		case c.Type == snapshot.Moved:
			members.of(string(c.From.Owner.ID)).MovedAway++
			fallthrough
		default:
			members.count(string(c.To.Owner.ID), c.Type)
		}
	}
	before, after := alive(from), alive(to)
	s := &apiv1.SnapshotDiff{Kinds: kinds.list(), Members: members.list(), MembersJoined: without(after, before), MembersGone: without(before, after)}
	s.Settings = settingsChanged(from, to)
	sumLocks(s, from, to)
	d.differ = len(s.Kinds)+len(s.MembersJoined)+len(s.MembersGone)+len(s.Settings)+len(s.Locks) > 0
	return s
}

// counts are changes by a name.
type counts map[string]*apiv1.SnapshotDiff_Counts

func (c counts) of(name string) *apiv1.SnapshotDiff_Counts {
	if c[name] == nil {
		c[name] = &apiv1.SnapshotDiff_Counts{Name: name}
	}
	return c[name]
}

func (c counts) count(name string, t snapshot.ChangeType) {
	switch n := c.of(name); t {
	case snapshot.Placed:
		n.Placed++
	case snapshot.Removed:
		n.Removed++
	case snapshot.Moved:
		n.Moved++
	case snapshot.Renewed:
		n.Renewed++
	case snapshot.Confirmed:
		n.Confirmed++
	}
}

func (c counts) list() []*apiv1.SnapshotDiff_Counts {
	return slices.SortedFunc(maps.Values(c), func(a, b *apiv1.SnapshotDiff_Counts) int { return strings.Compare(a.Name, b.Name) })
}

// alive are the names of the members that are.
func alive(v *snapshot.View) map[string]bool {
	names := map[string]bool{}
	for m := range v.Members() {
		if m.State.Alive() {
			names[string(m.ID)] = true
		}
	}
	return names
}

// without are the names of a that b has not, in order.
func without(a, b map[string]bool) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(a)) {
		if !b[name] {
			list = append(list, name)
		}
	}
	return list
}

func diffTable(r *output.Rows, s *apiv1.SnapshotDiff) {
	r.Row("", "INDEX", "DIGEST", "SETTLED", "PENDING")
	for _, side := range []*apiv1.SnapshotInfo{s.From, s.To} {
		r.Row(side.File, side.Index, side.Digest, humanize.Comma(int64(side.Settled)), humanize.Comma(int64(side.Pending)))
	}
	for _, t := range []struct {
		title string
		list  []*apiv1.SnapshotDiff_Counts
	}{{"KIND", s.Kinds}, {"MEMBER", s.Members}} {
		if len(t.list) == 0 {
			continue
		}
		r.Line("")
		r.Row(t.title, "PLACED", "REMOVED", "MOVED TO", "MOVED AWAY", "RENEWED", "CONFIRMED")
		for _, c := range t.list {
			r.Row(c.Name, c.Placed, c.Removed, c.Moved, c.MovedAway, c.Renewed, c.Confirmed)
		}
	}
	if len(s.Kinds) == 0 {
		r.Line("")
		r.Line("every identity has the owner that it had")
	}
	if len(s.Settings) > 0 {
		r.Line("")
		r.Line("settings that differ, before and after:")
		settingsHeader(r)
		for _, k := range s.Settings {
			settingsRow(r, k.From)
			settingsRow(r, k.To)
		}
	}
	if len(s.MembersJoined)+len(s.MembersGone) > 0 {
		r.Line("")
		r.Row("members joined", strings.Join(s.MembersJoined, ", "))
		r.Row("members gone", strings.Join(s.MembersGone, ", "))
	}
	if len(s.Locks) == 0 {
		return
	}
	r.Line("")
	r.Row("LOCK", "CHANGE", "FROM", "TO")
	for _, l := range s.Locks {
		r.Row(l.Name, strings.ToLower(l.Type.String()), holders(l.From), holders(l.To))
	}
	if more := s.LocksGranted + s.LocksReleased + s.LocksMoved - uint64(len(s.Locks)); more > 0 {
		r.Line("and %s more; -o jsonl has all", humanize.Comma(int64(more)))
	}
}

// holders names the first of those that hold a lock, with its token.
func holders(claims []*apiv1.LockClaim) string {
	switch len(claims) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("%s (%d)", claims[0].Holder, claims[0].Token)
	}
	return fmt.Sprintf("%s (%d) and %d more", claims[0].Holder, claims[0].Token, len(claims)-1)
}
