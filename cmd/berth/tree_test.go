package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// TestCommandTree holds the rules that every command keeps.
func TestCommandTree(t *testing.T) {
	a := &app{}
	a.printer.Format = "table"
	root := a.root()
	var walk func(c *cobra.Command)
	n := 0
	walk = func(c *cobra.Command) {
		n++
		name := c.CommandPath()
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its short help is %q", name, c.Short)
		}
		if !c.Runnable() && c != root {
			t.Errorf("%s: it does nothing", name)
		}
		c.InheritedFlags() // merges what the root has
		if f := c.Flag("output"); f == nil || f.Shorthand != "o" {
			t.Errorf("%s: it has no -o", name)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" && !f.Hidden {
				t.Errorf("%s: --%s says nothing", name, f.Name)
			}
		})
		for _, line := range strings.Split(c.Example, "\n") {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "berth" && !strings.HasPrefix(strings.Join(f, " ")+" ", name+" ") {
				t.Errorf("%s: its example is of another command: %s", name, line)
			}
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	if n < 20 {
		t.Errorf("the tree has %d commands: it was not walked", n)
	}
}

// TestExitStatus holds the exit statuses of the closed list: scripts branch on them.
func TestExitStatus(t *testing.T) {
	want := map[int][]apiv1.Reason{
		exitUsage:       {apiv1.ReasonInvalidArgument},
		exitNotThere:    {apiv1.ReasonNotPlaced, apiv1.ReasonLockNotFound, apiv1.ReasonMemberUnknown},
		exitUnavailable: {apiv1.ReasonNoLeader, apiv1.ReasonNoQuorum, apiv1.ReasonUnreachable, apiv1.ReasonOverloaded, apiv1.ReasonTooStale},
		exitLost:        {apiv1.ReasonEpochMismatch, apiv1.ReasonLockHeld, apiv1.ReasonLockLost, apiv1.ReasonMemberExpired},
		exitUnsettled:   {apiv1.ReasonUnsettled},
		exitNotAllowed:  {apiv1.ReasonUnauthenticated, apiv1.ReasonPermissionDenied},
		exitUnknown:     {apiv1.ReasonOutcomeUnknown},
	}
	found := map[apiv1.Reason]int{}
	for status, reasons := range want {
		for _, r := range reasons {
			found[r] = status
		}
	}
	for _, i := range apiv1.Reasons() {
		w, ok := found[i.Reason]
		if !ok {
			w = exitOther
		}
		if got := exitStatus(i.Reason); got != w {
			t.Errorf("%s has exit status %d, want %d", i.Reason, got, w)
		}
	}
}
