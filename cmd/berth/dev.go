package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/cmd/internal/telemetry"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// devKinds are what the demo members host.
var devKinds = []string{"cart", "room", "device", "file"}

func (a *app) devCommand() *cobra.Command {
	d := &developing{app: a}
	var c *cobra.Command
	c = command("dev", "Run a cluster on this machine: servers and demo members, real processes", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		d.config.FixedPort = c.Flags().Changed("port")
		return d.run(ctx)
	})
	f := c.Flags()
	f.IntVar(&d.config.Servers, "servers", 3, "how many servers")
	f.IntVar(&d.config.Hosts, "hosts", 3, "how many demo members")
	f.StringSliceVar(&d.config.Kinds, "kinds", devKinds, "what the demo members host")
	f.IntVar(&d.config.Port, "port", localcluster.PortDefault, "first port; server N has the three from PORT+10·(N-1) on (0: any that are free). Given, it is fixed: a taken port is an error")
	f.BoolVar(&d.config.Ephemeral, "ephemeral", false, "remove the data when the cluster stops")
	otlpFlag(f, &d.config.OTLP)
	f.BoolVar(&d.config.Detach, "detach", false, "return when the cluster is ready, and leave it running")
	c.Long = `Run a cluster on this machine: three servers and three demo members, each a process of its own, on loopback addresses. Other
commands find it by themselves. Ctrl-C stops it and keeps its data; the next start goes on with them.

With -o json, one document on standard output says where everything listens once the cluster is ready.`
	c.Example = `  berth dev
  berth dev --detach && berth place cart/42 && berth dev stop`
	stop := command("stop", "Stop the cluster", cobra.NoArgs, func(context.Context, []string) error { return d.stop() })
	status := command("status", "Show the processes of the cluster", cobra.NoArgs, d.status)
	reset := command("reset", "Stop the cluster and remove its data", cobra.NoArgs, func(context.Context, []string) error { return d.reset() })
	c.AddCommand(stop, status, reset)
	for _, each := range []*cobra.Command{c, stop, status, reset} {
		each.Flags().StringVar(&d.dir, "data-dir", "", "where the cluster lives (default "+localcluster.DefaultDir()+")")
	}
	return c
}

// developing is one run of the command or of those below it.
type developing struct {
	*app
	config localcluster.Config
	dir    string
}

// devState is what the command prints.
type devState struct {
	Servers []localcluster.Server `json:"servers"`
	Hosts   []localcluster.Host   `json:"hosts"`
}

func (d *developing) run(ctx context.Context) error {
	if err := telemetry.CheckEndpoint(d.config.OTLP); err != nil {
		return usage("--otlp-endpoint %w", err)
	}
	d.config.Dir = d.dir
	if d.dir == "" {
		if s := localcluster.Running(); s != nil {
			return d.startError(fmt.Errorf("%w, in %s", localcluster.ErrRuns, s.Directory))
		}
		d.config.Dir = localcluster.DefaultDir()
		if d.config.Ephemeral {
			d.config.Dir = localcluster.EphemeralDir()
			if err := localcluster.Reset(d.config.Dir); err != nil && !errors.Is(err, localcluster.ErrNone) {
				return err // what a crash left
			}
		}
	}
	d.config.Note = d.say
	c, err := localcluster.Start(ctx, d.config)
	if err != nil {
		return d.startError(err)
	}
	if err := d.show(c.State()); err != nil {
		return errors.Join(err, c.Stop())
	}
	if d.config.Detach {
		d.say("\nIt goes on in the background: berth dev status, berth dev stop.")
		return nil
	}
	d.say("\nCtrl-C stops the cluster%s.", map[bool]string{true: " and removes its data", false: " and keeps its data; berth dev reset removes them"}[d.config.Ephemeral])
	d.watch(ctx, c)
	d.say("stopping …")
	return c.Stop()
}

// startError says what to do.
func (d *developing) startError(err error) error {
	var taken *localcluster.PortsTakenError
	switch {
	case errors.As(err, &taken):
		return &statusError{status: exitOther, err: err, next: "choose another --port, or leave it out and free ones are used"}
	case errors.Is(err, localcluster.ErrRuns):
		return &statusError{status: exitOther, err: err, next: "berth dev status shows it, berth dev stop stops it"}
	case errors.Is(err, localcluster.ErrEnded):
		return &statusError{status: exitOther, err: err, next: "when its data cannot be used any more, berth dev reset removes them"}
	case errors.Is(err, localcluster.ErrNotOurs):
		return &statusError{status: exitUsage, err: err, next: "choose another --data-dir"}
	}
	return err
}

// show says where everything listens and what to try.
func (d *developing) show(s localcluster.State) error {
	err := d.printer.Print(devState{s.Servers, s.Hosts}, func(r *output.Rows) { devTable(r, &s) })
	if err != nil || d.printer.Format != output.Table {
		return err
	}
	d.say("\ndata and logs in %s; loopback only, no encryption", s.Directory)
	if d.dir != "" {
		d.say("\n  export BERTH_SERVER=%s", strings.Join(s.Addresses(), ","))
	}
	id := s.Kinds
	if len(id) == 0 {
		id = devKinds
	}
	d.say(`
Try:  berth place %[1]s/42
      berth lookup %[1]s/42
      curl http://%[2]s/v1/placements/%[1]s/42
      berth status`, id[0], s.Servers[0].HTTP)
	return nil
}

func devTable(r *output.Rows, s *localcluster.State) {
	number := func(pid int) string {
		if pid == 0 {
			return "stopped"
		}
		return fmt.Sprint(pid)
	}
	r.Row("NAME", "ROLE", "PID", "GRPC", "HTTP", "RAFT")
	for _, x := range s.Servers {
		r.Row(x.Name, x.Role, number(x.PID), x.GRPC, "http://"+x.HTTP, x.Raft)
	}
	for _, h := range s.Hosts {
		r.Row(h.Name, "member", number(h.PID), "", "", "")
	}
}

// watch waits for the end, which is also that of the last process, and says which processes end before.
func (d *developing) watch(ctx context.Context, c *localcluster.Cluster) {
	ended := make(chan *localcluster.Process)
	for _, p := range slices.Concat(c.Servers, c.Hosts) {
		go func() {
			select {
			case <-p.Done():
				select {
				case ended <- p:
				case <-ctx.Done():
				}
			case <-ctx.Done():
			}
		}()
	}
	for range len(c.Servers) + len(c.Hosts) {
		select {
		case p := <-ended:
			d.say("%s ended. Start it again with the same command line:\n  %s", p.Name, p.Command())
		case <-ctx.Done():
			return
		}
	}
}

// place is the directory that the commands below dev mean.
func (d *developing) place() string {
	if d.dir != "" {
		return d.dir
	}
	if s := localcluster.Running(); s != nil {
		return s.Directory
	}
	return localcluster.DefaultDir()
}

func (d *developing) stop() error {
	dir := d.place()
	ran, err := localcluster.Stop(dir)
	if err != nil {
		return none(err)
	}
	if !ran {
		d.say("the cluster in %s did not run", dir)
	}
	return d.printer.Print(struct {
		Stopped string `json:"stopped"`
	}{dir}, func(r *output.Rows) { r.Line("stopped %s", dir) })
}

func (d *developing) reset() error {
	dir := d.place()
	if err := localcluster.Reset(dir); err != nil {
		return none(err)
	}
	return d.printer.Print(struct {
		Removed string `json:"removed"`
	}{dir}, func(r *output.Rows) { r.Line("removed %s", dir) })
}

func none(err error) error {
	if errors.Is(err, localcluster.ErrNone) {
		return &statusError{status: exitNotThere, err: err, next: "berth dev starts one"}
	}
	return err
}

func (d *developing) status(ctx context.Context, _ []string) error {
	s, err := localcluster.Load(d.place())
	if err != nil {
		return none(err)
	}
	for i := range s.Servers {
		s.Servers[i].Role = ""
	}
	if s.Runs() {
		err = d.roles(ctx, s)
	}
	if perr := d.printer.Print(devState{s.Servers, s.Hosts}, func(r *output.Rows) { devTable(r, s) }); perr != nil {
		return perr
	}
	if err != nil {
		d.say("who leads is not known: %v", err)
	}
	if !s.Complete() {
		return &statusError{status: exitCheck}
	}
	return nil
}

// statusPatience is how long dev status waits for who leads. Not shorter: an election on a busy machine takes as long.
const statusPatience = 6 * time.Second

// roles asks the cluster what its servers do.
func (d *developing) roles(ctx context.Context, s *localcluster.State) error {
	c, err := lookupclient.Open(lookupclient.Config{Servers: s.Addresses()})
	if err != nil {
		return err
	}
	resp, err := localcluster.StatusWithin(ctx, statusPatience, c)
	if err == nil {
		s.SetRoles(resp)
	}
	return errors.Join(err, c.Close())
}
