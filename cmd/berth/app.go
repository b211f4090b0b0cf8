package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/cmd/internal/localcluster"
	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/lookupclient"
)

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer

	printer output.Printer
	servers []string
	cluster string
	timeout time.Duration
	quiet   bool
	lasts   bool                 // the client is not for one question
	tracer  trace.TracerProvider // of the client; nil: nothing is traced

	terminal func(io.Writer) bool // for tests; nil looks
}

// run runs one command line and returns the process's exit status.
func (a *app) run(ctx context.Context, args []string) int {
	a.printer = output.Printer{Format: output.Table, Out: a.out}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	return a.report(ctx, root.ExecuteContext(ctx))
}

// root is the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "berth",
		Short: "Exactly one owner for each identity",
		Long: `berth decides which process runs which virtual actor: a small Raft group maps identities (kind/key) to members.

Begin with:  berth dev        three servers and three demo members on this machine
             berth place cart/42
             berth lookup cart/42

Every flag can be given in the environment: --data-dir is BERTH_DATA_DIR. A flag beats the environment.
Exit status: 0 done, 1 other error, 2 wrong usage, 3 not there, 4 cluster unavailable, 5 lost to somebody else,
6 not settled yet, 7 not allowed, 8 a check failed, 9 outcome unknown, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.PersistentFlags().VarP(&a.printer.Format, "output", "o", strings.Join(output.Formats(), "|"))
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error { return environment(c.Flags()) }
	root.AddGroup(
		&cobra.Group{ID: "use", Title: "Identities:"},
		&cobra.Group{ID: "look", Title: "The cluster:"},
		&cobra.Group{ID: "run", Title: "Running berth:"},
	)
	group := func(id string, cs ...*cobra.Command) {
		for _, c := range cs {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	group("use", a.placeCommand(), a.lookupCommand(), a.moveCommand(), a.removeCommand(), a.blockCommand(), a.unblockCommand(), a.listCommand(),
		a.watchCommand(), a.lockCommand())
	group("look", a.statusCommand(), a.memberCommand(), a.kindCommand(), a.planCommand(), a.rebalanceCommand(), a.serverCommand(), a.snapshotCommand(), a.explainCommand())
	group("run", a.devCommand(), a.demoCommand(), a.faultCommand(), a.serveCommand(), a.hostCommand(), a.checkCommand(), a.versionCommand())
	return root
}

// environment gives flags that are not on the command line the values of BERTH_ variables.
func environment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "BERTH_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := os.LookupEnv(name); ok && !f.Changed && f.Name != "help" {
			if err := flags.Set(f.Name, v); err != nil {
				errs = append(errs, usage("%s=%q: %v", name, v, err))
			}
		}
	})
	return errors.Join(errs...)
}

// command makes a command. What do returns is reported as an error of the command; anything that cobra finds before is
// wrong usage.
func command(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: args, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			if err := do(c.Context(), args); err != nil {
				return &ranError{err}
			}
			return nil
		},
	}
}

// groupCommand makes a command that only has others below it.
func groupCommand(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, DisableFlagsInUseLine: true,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath())
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(below...)
	return c
}

// asking gives a command the flags of those that ask a cluster.
func (a *app) asking(cs ...*cobra.Command) {
	for _, c := range cs {
		c.Flags().StringSliceVar(&a.servers, "server", nil, "gRPC addresses of servers of the cluster (default: the cluster of berth dev, or "+lookupclient.DefaultServer+")")
		c.Flags().StringVar(&a.cluster, "cluster", "", "id of the cluster that is expected there; another one refuses the call (default: any)")
		c.Flags().DurationVar(&a.timeout, "timeout", 10*time.Second, "how long a call may take, with all its retries")
	}
}

// giveUpAfter is how long a command goes on when nobody listens at any of the addresses.
const giveUpAfter = time.Second

// client is a client of the cluster that the flags, or a local cluster that runs, name.
func (a *app) client() (*lookupclient.Client, error) {
	if a.timeout <= 0 || a.timeout > time.Minute {
		return nil, usage("--timeout %v: more than 0 and at most 1m0s is allowed", a.timeout)
	}
	servers := a.servers
	if len(servers) == 0 {
		if local := localcluster.Running(); local != nil {
			servers = local.Addresses()
		}
	}
	c, err := lookupclient.Open(lookupclient.Config{Servers: servers, ServersOnly: !a.lasts, Cluster: a.cluster, Timeout: a.timeout, GiveUpAfter: giveUpAfter, TracerProvider: a.tracer})
	if err != nil {
		return nil, usage("%v", err)
	}
	return c, nil
}

// attend is ask for what lasts: it follows the cluster to servers that take the place of those that were named.
func (a *app) attend(f func(*lookupclient.Client) error) error {
	a.lasts = true
	return a.ask(f)
}

// ask runs f with a client of the servers that were named, and closes it.
func (a *app) ask(f func(*lookupclient.Client) error) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return errors.Join(f(c), c.Close())
}

// say prints what is no answer.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format+"\n", args...) }
