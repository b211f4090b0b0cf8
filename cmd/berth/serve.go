package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed13d31b7f/berth/cmd/internal/output"
	"github.com/seed13d31b7f/berth/cmd/internal/telemetry"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode"
)

func (a *app) serveCommand() *cobra.Command {
	s := &serving{app: a}
	c := command("serve", "Run a server", cobra.NoArgs, func(ctx context.Context, _ []string) error { return s.run(ctx) })
	c.Long = `Run one server of a cluster. The command line is the same at every start, the first and the hundredth.

A server with an empty disk looks for the others at the addresses of --join. When --expect of them with empty disks see each
other they form a cluster, once; when there is a cluster, the server joins it. From then on its disk decides, and --join only
helps to find the others. A server keeps its --name and its --data-dir together for ever: a new disk needs a new name.

It ends by itself, with exit status 1 and what to do next, when it must not take part (a disk that the cluster does not know
under this name, another cluster's disk, a disk in use, removed from the cluster), and with exit status 70 when its disk
fails or stalls.`
	c.Example = `  berth serve --name s1 --data-dir /var/lib/berth
  berth serve --name s1 --data-dir /var/lib/berth --raft-addr s1.berth:7421 --grpc-addr s1.berth:7420 --http-addr s1.berth:7422 \
              --join s1.berth:7421,s2.berth:7421,s3.berth:7421 --expect 3 --insecure`
	f := c.Flags()
	f.StringVar(&s.config.Name, "name", "", "the server's name, which it keeps for ever (needed)")
	f.StringVar(&s.config.DataDir, "data-dir", "", "where it keeps its part of the state (needed)")
	f.StringVar(&s.config.RaftAddress, "raft-addr", "127.0.0.1:7421", "where it listens for other servers")
	f.StringVar(&s.config.GRPCAddress, "grpc-addr", "127.0.0.1:7420", "where it listens for gRPC")
	f.StringVar(&s.config.HTTPAddress, "http-addr", "127.0.0.1:7422", "where it listens for HTTP: JSON, health, metrics")
	f.StringVar(&s.config.Advertise, "advertise", "", "host by which others reach it (default: the one that it listens on)")
	f.StringSliceVar(&s.config.Join, "join", nil, "Raft addresses of servers of the cluster; its own may be among them")
	f.IntVar(&s.config.Expect, "expect", 0, "how many servers form a new cluster (default 1 without --join)")
	f.StringVar(&s.config.Timing, "timing", "lan", "how patient the servers are with each other: lan, local or wan; the same on all")
	f.DurationVar(&s.config.MemberTTL, "member-ttl", raftnode.MemberTTLDefault, "how long the lease of a member lasts")
	f.DurationVar(&s.config.ActivationTimeout, "activation-timeout", raftnode.ActivationTimeoutDefault, "how long a member may take to confirm an activation")
	f.DurationVar(&s.config.ReadLease, "read-lease", raftnode.ReadLeaseDefault, "how long the read lease of a server lasts, by which it answers look-ups alone")
	f.StringVar(&s.leases, "read-leases", "on", "on or off: without them each look-up asks the leader; off where a paused machine's clock may stop")
	f.BoolVar(&s.config.Insecure, "insecure", false, "listen on other addresses than this machine's own, without encryption")
	otlpFlag(f, &s.otlp)
	f.StringVar(&s.level, "log-level", "info", "trace, debug, info, warn or error")
	f.StringVar(&s.format, "log-format", "text", "text or json, on standard error")
	untilEOF(f, &s.eof)
	f.Uint64Var(&s.config.Seams.SnapshotEntries, "snapshot-entries", 0, "after how many log entries a snapshot is due (tests)")
	_ = f.MarkHidden("snapshot-entries")
	return c
}

// untilEOF is the hidden flag of processes that must not outlive the one that started them.
func untilEOF(f *pflag.FlagSet, fd *int) {
	f.IntVar(fd, "until-eof", 0, "end when this file descriptor is at its end")
	_ = f.MarkHidden("until-eof")
}

// boundTo ends the context when the file descriptor is at its end; zero is none.
func boundTo(ctx context.Context, fd int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if fd > 0 {
		go func() {
			defer cancel()
			_, _ = io.Copy(io.Discard, os.NewFile(uintptr(fd), "starter"))
		}()
	}
	return ctx, cancel
}

// serving is one run of the command.
type serving struct {
	*app
	config        raftnode.Config
	level, format string
	leases, otlp  string
	eof           int
	telemetry     *telemetry.Telemetry
}

func (s *serving) run(ctx context.Context) error {
	ctx, cancel := boundTo(ctx, s.eof)
	defer cancel()
	level := hclog.LevelFromString(s.level)
	if level == hclog.NoLevel {
		return usage("--log-level %q: there are trace, debug, info, warn and error", s.level)
	}
	if s.format != "text" && s.format != "json" {
		return usage("--log-format %q: there are text and json", s.format)
	}
	if s.leases != "on" && s.leases != "off" {
		return usage("--read-leases %q: there are on and off", s.leases)
	}
	s.config.NoReadLeases = s.leases == "off"
	s.config.Logger = hclog.New(&hclog.LoggerOptions{Name: s.config.Name, Level: level, Output: s.err, JSONFormat: s.format == "json"})
	s.config.Version = thisVersion().Version
	var err error
	if s.telemetry, err = startTelemetry(s.otlp, "berth", s.config.Name, func(text string) { s.config.Logger.Warn(text) }); err != nil {
		return err
	}
	defer s.telemetry.Close()
	s.config.TracerProvider = s.telemetry.TracerProvider()
	for {
		err := s.once(ctx)
		if !errors.Is(err, raftnode.ErrReopen) {
			return err
		}
		s.config.Logger.Info("opening again", "reason", err)
	}
}

// closeTimeout bounds the handing over of a server that is told to end.
const closeTimeout = 10 * time.Second

// once runs the server until it is told to end, or ends by itself.
func (s *serving) once(ctx context.Context) error {
	node, err := raftnode.Open(s.config)
	if err != nil {
		return flagErrors(err)
	}
	s.telemetry.Measure(node.Metrics())
	self := &apiv1.ServerStatusResponse{
		Name: s.config.Name, Cluster: node.Cluster(), Version: s.config.Version,
		GrpcAddress: node.GRPCAddr(), HttpAddress: node.HTTPAddr(), RaftAddress: node.RaftAddr(),
	}
	err = s.printer.Print(self, func(r *output.Rows) {
		r.Line("%s listens: gRPC %s, HTTP %s, Raft %s", self.Name, self.GrpcAddress, self.HttpAddress, self.RaftAddress)
	})
	if err != nil {
		return errors.Join(err, node.Close(ctx))
	}
	select {
	case <-node.Done():
		return node.Wait()
	case <-ctx.Done():
	}
	s.config.Logger.Info("ending")
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return node.Close(end)
}

// flagErrors says with which flags the faults of a Config came in; other errors are as they are.
func flagErrors(err error) error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	flags := map[string]string{
		"Name": "name", "DataDir": "data-dir", "RaftAddress": "raft-addr", "GRPCAddress": "grpc-addr", "HTTPAddress": "http-addr",
		"Join": "join", "Expect": "expect", "Timing": "timing", "MemberTTL": "member-ttl", "ActivationTimeout": "activation-timeout",
		"ReadLease": "read-lease",
	}
	var out []error
	for _, e := range list.Unwrap() {
		var field *raftnode.FieldError
		if !errors.As(e, &field) {
			return err
		}
		out = append(out, fmt.Errorf("--%s %q: %s", flags[field.Field], field.Value, field.Rule))
	}
	return usage("%w", errors.Join(out...))
}
