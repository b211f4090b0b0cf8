package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// kindFlags are the settings of a kind that may be set to nothing.
type kindFlags struct {
	command  *cobra.Command
	settle   string
	require  []string
	capacity uint32
	within   time.Duration
}

func (f *kindFlags) flags(c *cobra.Command) {
	f.command = c
	c.Flags().StringVar(&f.settle, "settle", "", "when a placement is settled: on-confirm or on-place")
	c.Flags().StringArrayVar(&f.require, "require", nil, "a label that a member must carry, LABEL=VALUE, at most 4; none for no labels")
	c.Flags().Uint32Var(&f.capacity, "member-capacity", 0, "how many identities of the kind one member may own (0: no limit)")
	c.Flags().DurationVar(&f.within, "confirm-within", 0, "how long an owner may take to confirm, 100ms to 10m (0: what the servers are told)")
}

// into puts what was given into a request.
func (f *kindFlags) into(req *apiv1.SetKindRequest) error {
	req.Settle = f.settle
	if f.command.Flags().Changed("member-capacity") {
		req.MemberCapacity = &f.capacity
	}
	if f.command.Flags().Changed("confirm-within") {
		req.ConfirmWithin = durationpb.New(f.within)
	}
	if len(f.require) == 1 && f.require[0] == "none" {
		req.NoRequire, f.require = true, nil
	}
	for _, text := range f.require {
		label, value, ok := strings.Cut(text, "=")
		if _, twice := req.Require[label]; !ok || label == "" || twice {
			return usage("--require %q: want LABEL=VALUE, each label once, or none alone", text)
		}
		if req.Require == nil {
			req.Require = map[string]string{}
		}
		req.Require[label] = value
	}
	if req.Strategy == "" && req.Attempts == 0 && req.Settle == "" && !req.NoRequire && req.Require == nil && req.MemberCapacity == nil && req.ConfirmWithin == nil {
		return usage("nothing to set: berth kind set --help lists the settings")
	}
	return nil
}

func requireWords(labels map[string]string) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(words, name+"="+labels[name])
	}
	if words == nil {
		return "none"
	}
	return strings.Join(words, ",")
}

func capacityWord(n uint32) string {
	if n == 0 {
		return "unlimited"
	}
	return humanize.Comma(int64(n))
}

func confirmWord(d *durationpb.Duration) string {
	if d == nil {
		return "default"
	}
	return fmt.Sprint(d.AsDuration())
}
