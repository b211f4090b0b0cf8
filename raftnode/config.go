package raftnode

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
	"github.com/seed13d31b7f/berth/raftnode/internal/port"
	"github.com/seed13d31b7f/berth/raftnode/lease"
)

// Defaults of a Config.
const (
	// MemberTTLDefault is how long a member's lease lasts. Not smaller: a failover, in which no lease is renewed, takes
	// up to two seconds. Not larger: a dead member's placements wait for it, and a quarter longer.
	MemberTTLDefault = 5 * time.Second
	// ReadLeaseDefault is how long a read lease lasts. Not shorter: what a holder has left when a leader dies, more than half of
	// it, has to reach over the failover. Not longer: so long, and a quarter, removals wait for a server that died.
	ReadLeaseDefault = 3 * time.Second
	// ActivationTimeoutDefault is how long a member may take to confirm an activation.
	ActivationTimeoutDefault = 5 * time.Second
)

// ServersMax is the largest number of servers that a cluster is formed of.
const ServersMax = 9

// Config says what a server is to be. The zero value of a field is its default.
type Config struct {
	// Name is the server's name, which it keeps for ever: letters, digits, '.', '_' and '-'. Needed.
	Name string
	// DataDir is where it keeps its part of the state; made when it is not there. Needed.
	DataDir string
	// RaftAddress is where it listens for other servers, host:port. Default 127.0.0.1:7421.
	RaftAddress string
	// GRPCAddress is where it listens for gRPC. Default 127.0.0.1:7420.
	GRPCAddress string
	// HTTPAddress is where it listens for HTTP: JSON, health, metrics. Default 127.0.0.1:7422.
	HTTPAddress string
	// Advertise is the host by which others reach it; host names work, and are better than addresses. Default: the host
	// that it listens on, or the machine's name when it listens on all.
	Advertise string
	// Join are Raft addresses of servers of the cluster, this one may be among them. They are where the search for the
	// others begins, at each start.
	Join []string
	// Expect is how many servers form a new cluster, 1 to ServersMax; a server with an empty disk waits until it sees as
	// many. Default: 1 when Join is empty; otherwise none, and the server waits for a cluster to join.
	Expect int
	// Timing is lan (the default), local or wan: how patient the servers are with each other. The same on all.
	Timing string
	// MemberTTL is how long a member's lease lasts, at least 1 s. Default MemberTTLDefault.
	MemberTTL time.Duration
	// ActivationTimeout is how long a member may take to confirm an activation, at least 100 ms. Default
	// ActivationTimeoutDefault.
	ActivationTimeout time.Duration
	// ReadLease is how long the read leases last that this server grants when it leads, 100 ms to one minute. A removal
	// waits for so long, and a quarter, when a server that has one does not answer, and after each change of the leader.
	// Default ReadLeaseDefault.
	ReadLease time.Duration
	// NoReadLeases has this server grant none and ask for none: each look-up asks the leader. Needed where the clock of a
	// whole machine may stop while it is paused, or goes back with a snapshot of its memory.
	NoReadLeases bool
	// Insecure allows to listen, without encryption, on other addresses than those of this machine alone.
	Insecure bool
	// Version is what the server says of its binary. Default "devel".
	Version string
	// TracerProvider gets the spans of the API's calls, from the server that is asked to the state machine of the leader, as far
	// as the client's trace is sampled. Default: nothing is traced, also where there is a global provider.
	TracerProvider trace.TracerProvider
	// Logger gets the log. Default: none.
	Logger hclog.Logger

	// Seams are for tests and simulations; leave them alone otherwise.
	Seams Seams
}

// Network is how a server listens and how it reaches others.
type Network = port.Network

// Seams are where a test or a simulation puts something else in the place of the world. The zero value is the world.
type Seams struct {
	// Network takes the place of TCP, on all three ports.
	Network Network
	// Now takes the place of the clock of leases.
	Now func() lease.Instant
	// Intercept is called for each of Raft's messages to another server, and again before its answer is taken; it may
	// wait, and an error takes the place of the message or of the answer.
	Intercept func(to, message string, answered bool) error
	// Write is called before each write to the log and to the vote; it may wait, as a disk that hangs does, and an error
	// takes the write's place.
	Write func(what string) error
	// FeatureLevel takes the place of what this version understands, as a later version would have it.
	FeatureLevel uint32
	// SnapshotEntries is after how many entries of the log a snapshot is due, of which a quarter stays behind it. Zero stands
	// for what servers do.
	SnapshotEntries uint64
	// KeepProcess has a broken disk end the Node alone, and not the process.
	KeepProcess bool
}

// withDefaults fills in what is not set.
func (c Config) withDefaults() Config {
	set := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	set(&c.RaftAddress, "127.0.0.1:7421")
	set(&c.GRPCAddress, "127.0.0.1:7420")
	set(&c.HTTPAddress, "127.0.0.1:7422")
	set(&c.Timing, "lan")
	set(&c.Version, "devel")
	if c.Expect == 0 && len(c.Join) == 0 {
		c.Expect = 1
	}
	if c.MemberTTL == 0 {
		c.MemberTTL = MemberTTLDefault
	}
	if c.ReadLease == 0 {
		c.ReadLease = ReadLeaseDefault
	}
	if c.ActivationTimeout == 0 {
		c.ActivationTimeout = ActivationTimeoutDefault
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Seams.Network == nil {
		c.Seams.Network = port.TCP{}
	}
	if c.Seams.Now == nil {
		c.Seams.Now = bootClock
	}
	if c.Seams.FeatureLevel == 0 {
		c.Seams.FeatureLevel = fsm.FeatureLevel
	}
	return c
}

// FieldError is a field of a Config that breaks a rule.
type FieldError struct {
	// Field is the field's name in Config.
	Field, Value string
	// Rule is what it breaks, and where it helps, what to do.
	Rule string
}

// Error has all three.
func (e *FieldError) Error() string {
	return fmt.Sprintf("config: %s %.80q: %s", e.Field, e.Value, e.Rule)
}

// Validate reports every fault of the Config at once, each a *FieldError, joined. It does not touch the disk or the
// network.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(field string, value any, rule string, args ...any) {
		errs = append(errs, &FieldError{Field: field, Value: fmt.Sprint(value), Rule: fmt.Sprintf(rule, args...)})
	}
	var bad *placement.MemberError
	if errors.As(placement.MemberID(c.Name).Validate(), &bad) { // the rules of servers' names are those of members'
		fault("Name", c.Name, "%s", bad.Rule)
	}
	if c.DataDir == "" {
		fault("DataDir", c.DataDir, "it is needed")
	}
	for _, a := range []struct{ field, address string }{{"RaftAddress", c.RaftAddress}, {"GRPCAddress", c.GRPCAddress}, {"HTTPAddress", c.HTTPAddress}} {
		host, _, err := net.SplitHostPort(a.address)
		switch {
		case err != nil:
			fault(a.field, a.address, "want host:port")
		case !c.Insecure && !local(host):
			fault(a.field, a.address, "it can be reached from other machines, and this version has no encryption: listen on 127.0.0.1, or accept it with --insecure")
		}
	}
	for _, j := range c.Join {
		if host, p, err := net.SplitHostPort(j); err != nil || host == "" || p == "" {
			fault("Join", j, "want host:port, the Raft address of a server")
		}
	}
	if c.Expect < 0 || c.Expect > ServersMax {
		fault("Expect", c.Expect, "1 to %d servers form a cluster", ServersMax)
	}
	if c.Expect > 1 && len(c.Join) == 0 {
		fault("Expect", c.Expect, "without Join the others cannot be found")
	}
	if _, err := group.TimingNamed(c.Timing); err != nil {
		fault("Timing", c.Timing, "there are lan, local and wan")
	}
	if c.MemberTTL < time.Second || c.MemberTTL > time.Hour {
		fault("MemberTTL", c.MemberTTL, "1s to 1h is allowed: below, a failover costs every member its lease")
	}
	if c.ReadLease < 100*time.Millisecond || c.ReadLease > time.Minute {
		fault("ReadLease", c.ReadLease, "100ms to 1m is allowed: a removal waits for so long when a server does not answer")
	}
	if c.ActivationTimeout < 100*time.Millisecond || c.ActivationTimeout > time.Hour {
		fault("ActivationTimeout", c.ActivationTimeout, "100ms to 1h is allowed")
	}
	return errors.Join(errs...)
}

// local says whether a host is this machine alone.
func local(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func (c *Config) timing() group.Timing {
	t, _ := group.TimingNamed(c.Timing) // validated
	return t
}

// advertised is where others reach what listens on an address.
func (c *Config) advertised(listening net.Addr) string {
	host, p, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	switch ip := net.ParseIP(host); {
	case c.Advertise != "":
		host = c.Advertise
	case host == "" || ip != nil && ip.IsUnspecified():
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return net.JoinHostPort(host, p)
}

// advertisedFor keeps the host as it was given: a name stays a name.
func (c *Config) advertisedFor(given string, listening net.Addr) string {
	host, _, err := net.SplitHostPort(given)
	if err != nil || c.Advertise != "" || host == "" || net.ParseIP(host) != nil {
		return c.advertised(listening)
	}
	_, p, err := net.SplitHostPort(listening.String())
	if err != nil {
		return given
	}
	return net.JoinHostPort(strings.TrimSpace(host), p)
}

// readLease is how long the read leases of this server's tenures last; zero when it grants none.
func (c *Config) readLease() time.Duration {
	if c.NoReadLeases {
		return 0
	}
	return c.ReadLease
}
