package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/jepsen-lite/runner"
)

func (a *app) faultCommand() *cobra.Command {
	list := command("list", "List the scenarios", cobra.NoArgs, func(context.Context, []string) error { return a.faultList() })
	run := &faultRun{app: a}
	c := command("run SCENARIO…", "Run scenarios of faults, and judge what was seen", cobra.ArbitraryArgs, func(ctx context.Context, args []string) error {
		return run.run(ctx, args)
	})
	c.Long = `Run scenarios of faults against clusters of real processes of their own, and judge what clients, members and
holders of locks saw. Each run leaves a folder in which all of it is. Nothing else is left, also when it is interrupted; when it is
killed, a folder in TMPDIR, which the next run removes.

Tier 3 needs root, Linux and /dev/net/tun, or a kernel with bridge, veth and nf_tables for all but slow and lossy links; disks that lose
power need root and /dev/fuse. A scenario that cannot be run is said, the others are run, and the exit status is 1 then. So it is
when a disk is full that a run writes to: what was cut off by that is removed, and never judged. It is 8 when a run failed.`
	f := c.Flags()
	f.DurationVar(&run.config.Duration, "duration", 15*time.Second, "how long faults come and go")
	f.Uint64Var(&run.config.Seed, "seed", 0, "where all choices come from (default: drawn, and said)")
	f.IntVar(&run.config.Tier, "tier", 0, "2: processes on this machine's loopback interface; 3: each on a host of its own, in a network namespace (default: the least that the scenario needs)")
	f.StringVar((*string)(&run.config.Network), "network", "", "how hosts are joined in tier 3. tap: by TAP devices, whose links can be as bad as they like; veth: by pairs of veth devices, whose links can be cut (default: tap where there is /dev/net/tun)")
	f.BoolVar(&run.all, "all", false, "run every scenario")
	f.IntVar(&run.atOnce, "at-once", 1, "how many runs at a time; what each says is printed when it has ended")
	f.DurationVar(&run.last, "for", 0, "go on for so long, each time with the next seed")
	f.StringVar(&run.config.Root, "store", "berth-faults", "the folder that gets the run's folder")
	f.StringVar(&run.config.Binary, "binary", "", "the berth that servers, members and lock holders are (default: this one); scenarios about clocks build their own, and are refused, or left out with --all")
	f.StringVar(&run.config.Mutant, "mutant", "", "what is wrong with that one on purpose, for the record")
	f.IntVar(&run.config.Clients, "clients", 0, "how many clients ask (default 8)")
	c.Example = `  berth fault run crashes --duration 60s --seed 42
  berth fault run partitions --tier 3
  berth fault run --all --for 8h`
	return groupCommand("fault", "Break a cluster on purpose, and judge what its clients saw", append(a.faultProcesses(), list, c)...)
}

// faultScenario is what a program gets of a scenario.
type faultScenario struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Tier    int      `json:"tier"`
	Servers int      `json:"servers"`
	Faults  []string `json:"faults"`
}

func (a *app) faultList() error {
	var all []faultScenario
	for _, s := range runner.Scenarios() {
		x := faultScenario{s.Name, s.About, s.Tier(), s.Servers, []string{}}
		for _, f := range s.Faults {
			x.Faults = append(x.Faults, f.String())
		}
		all = append(all, x)
	}
	return output.List(&a.printer, struct {
		Scenarios []faultScenario `json:"scenarios"`
	}{all}, all, func(r *output.Rows) {
		r.Row("SCENARIO", "TIER", "SERVERS", "FAULTS", "ABOUT")
		for _, s := range all {
			r.Row(s.Name, fmt.Sprint(s.Tier), fmt.Sprint(s.Servers), fmt.Sprint(len(s.Faults)), s.About)
		}
	})
}
