package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// reading is what a look-up may be answered from, as the flags say it.
type reading struct {
	consistency  string
	maxStaleness time.Duration
	minIndex     uint64
}

func (r *reading) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&r.consistency, "consistency", "leased", "leased, leader or stale; the first two are linearizable")
	f.DurationVar(&r.maxStaleness, "max-staleness", 0, "with --consistency stale: refuse a state that may be older")
	f.Uint64Var(&r.minIndex, "min-index", 0, "refuse a state that has not this log index")
}

func (r *reading) level() (apiv1.Level_Name, error) {
	level, ok := apiv1.Level_Name_value[strings.ToUpper(r.consistency)]
	if !ok || level == int32(apiv1.Level_UNSPECIFIED) {
		return 0, usage("--consistency %q: there are leased, leader and stale", r.consistency)
	}
	if r.maxStaleness != 0 && apiv1.Level_Name(level) != apiv1.Level_STALE {
		return 0, usage("--max-staleness is for --consistency stale: the others are never stale")
	}
	return apiv1.Level_Name(level), nil
}

func (r *reading) staleness() *durationpb.Duration {
	if r.maxStaleness == 0 {
		return nil
	}
	return durationpb.New(r.maxStaleness)
}

// promise is what an answer says of itself, in a sentence.
func promise(r *apiv1.Read) string {
	at := fmt.Sprintf("index %d, term %d", r.GetIndex(), r.GetTerm())
	switch r.GetLevel() {
	case apiv1.Level_LEASED:
		return fmt.Sprintf("leased: linearizable as of %s, by the read lease that %s granted in term %d: %v left, floor %d", at, r.GrantedBy, r.GrantedTerm,
			r.LeaseLeft.AsDuration().Round(10*time.Millisecond), r.Floor)
	case apiv1.Level_STALE:
		return fmt.Sprintf("stale: as of %s, %s", at, age(r))
	}
	return fmt.Sprintf("leader: linearizable as of %s", at)
}

func age(r *apiv1.Read) string {
	if r.Age == nil {
		return "of unknown age"
	}
	return fmt.Sprintf("%v old at most", r.Age.AsDuration().Round(time.Millisecond))
}

// holdLines say what keeps removals from being complete.
func holdLines(r *output.Rows, h *apiv1.Hold) {
	if h.GetWaited().AsDuration() == 0 {
		return
	}
	left := func(d *durationpb.Duration) time.Duration { return d.AsDuration().Round(10 * time.Millisecond) }
	switch {
	case h.Former != nil:
		r.Line("removals wait, the oldest for %v: read leases that former leaders granted may last for %v more", left(h.Waited), left(h.Former))
	case h.Server != "":
		r.Line("removals wait, the oldest for %v, for %s, which is known to have index %d: its read lease lasts for %v more", left(h.Waited), h.Server, h.Index, left(h.Left))
	default:
		r.Line("removals wait, the oldest for %v: the next log entry completes them", left(h.Waited))
	}
}
