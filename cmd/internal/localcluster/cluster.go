package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed13d31b7f/berth/lookupclient"
	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
)

// PortAny has a cluster choose ports that nobody uses.
const PortAny = 0

// Limits of a local cluster.
const (
	ServersMax = 9
	HostsMax   = 100
)

// Config says what a local cluster is to be.
type Config struct {
	// Dir is where it lives; made when it is not there. A cluster that it has is started again.
	Dir string
	// Servers and Hosts say how many there are. The servers of a cluster that is there must be as many.
	Servers, Hosts int
	// Kinds are what the demo members host.
	Kinds []string
	// Port is the first port, or PortAny. With FixedPort a taken port is an error; otherwise others are used.
	Port      int
	FixedPort bool
	// Ephemeral has Stop remove the directory.
	Ephemeral bool
	// OTLP is where the processes send traces and metrics; empty leaves it to the environment.
	OTLP string
	// Detach lets the processes outlive this one.
	Detach bool
	// Note gets what people should know. May be nil.
	Note func(format string, args ...any)
}

func (c *Config) note(format string, args ...any) {
	if c.Note != nil {
		c.Note(format, args...)
	}
}

// Cluster is a local cluster that this process started.
type Cluster struct {
	// Servers and Hosts are its processes, in the order of State's.
	Servers, Hosts []*Process

	mu    sync.Mutex
	state *State
	// The processes read pipe's other end, and end when this process does, however it does.
	pipe, inherited *os.File
}

// ErrRuns: the cluster of the directory runs already.
var ErrRuns = errors.New("the cluster runs already")

// ErrNotOurs: the directory has something else in it.
var ErrNotOurs = errors.New("the directory has other things in it than a local cluster")

// Start starts a cluster and waits until it is ready: every server in its place, every member joined. When it fails,
// nothing runs, and what is on the disk stays.
func Start(ctx context.Context, config Config) (_ *Cluster, err error) {
	if config.Servers < 1 || config.Servers > ServersMax || config.Hosts < 0 || config.Hosts > HostsMax {
		return nil, fmt.Errorf("a local cluster has 1 to %d servers and 0 to %d hosts", ServersMax, HostsMax)
	}
	s, err := config.prepare()
	if err != nil {
		return nil, err
	}
	c := &Cluster{state: s}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	if err := c.launch(&config); err != nil {
		return nil, err
	}
	return c, c.awaitReady(ctx, config.Hosts)
}

// prepare finds out what the cluster consists of.
func (c *Config) prepare() (*State, error) {
	s, err := Load(c.Dir)
	switch {
	case errors.Is(err, ErrNone):
		if list, err := os.ReadDir(c.Dir); err == nil && len(list) > 0 {
			return nil, fmt.Errorf("%w: %s", ErrNotOurs, c.Dir)
		}
		s = &State{Directory: c.Dir, Ephemeral: c.Ephemeral, Servers: make([]Server, c.Servers)}
		for i := range s.Servers {
			s.Servers[i].Name = fmt.Sprintf("s%d", i+1)
		}
	case err != nil:
		return nil, err
	case s.Runs():
		return s, fmt.Errorf("%w, in %s", ErrRuns, c.Dir)
	case len(s.Servers) != c.Servers:
		return nil, fmt.Errorf("the cluster in %s has %d servers, not %d: start it with as many, or choose another directory", c.Dir, len(s.Servers), c.Servers)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := c.choosePorts(s); err != nil {
		return nil, err
	}
	berth, err := binary()
	if err != nil {
		return nil, err
	}
	var raft []string
	for _, x := range s.Servers {
		raft = append(raft, x.Raft)
	}
	var both []string // flags that servers and members have
	if c.OTLP != "" {
		both = []string{"--otlp-endpoint", c.OTLP}
	}
	for i := range s.Servers {
		x := &s.Servers[i]
		x.Args = append([]string{berth, "serve", "--name", x.Name, "--data-dir", filepath.Join(s.Directory, x.Name),
			"--raft-addr", x.Raft, "--grpc-addr", x.GRPC, "--http-addr", x.HTTP,
			"--join", strings.Join(raft, ","), "--expect", fmt.Sprint(len(s.Servers))}, both...)
	}
	s.Kinds, s.Hosts = c.Kinds, nil
	for i := range c.Hosts {
		name := fmt.Sprintf("host-%d", i+1)
		s.Hosts = append(s.Hosts, Host{Name: name, Args: append([]string{berth, "host", "--name", name,
			"--server", strings.Join(s.Addresses(), ","), "--kinds", strings.Join(c.Kinds, ",")}, both...)})
	}
	return s, nil
}

// launch starts the processes.
func (c *Cluster) launch(config *Config) error {
	if !config.Detach {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		c.inherited, c.pipe = r, w
	}
	process := func(name string, args []string) *Process {
		return &Process{Name: name, Args: args, log: filepath.Join(c.state.Directory, name+".log"), pipe: c.inherited}
	}
	for i := range c.state.Servers {
		x := &c.state.Servers[i]
		p := process(x.Name, x.Args)
		if err := p.start(); err != nil {
			return err
		}
		c.Servers, x.PID = append(c.Servers, p), p.PID()
	}
	for i := range c.state.Hosts {
		h := &c.state.Hosts[i]
		p := process(h.Name, h.Args)
		if err := p.start(); err != nil {
			return err
		}
		c.Hosts, h.PID = append(c.Hosts, p), p.PID()
	}
	return c.state.save()
}

const (
	// readyTimeout is how long a cluster may take to form, or to come up again.
	readyTimeout = time.Minute
	stopPatience = 20 * time.Second
)

// awaitReady waits until every server and every member takes part.
func (c *Cluster) awaitReady(ctx context.Context, hosts int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("the cluster was not ready within %v; the logs are in %s", readyTimeout, c.state.Directory))
	defer cancel()
	client, err := c.Client()
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	for {
		resp, err := Status(ctx, client)
		if err == nil && c.ready(resp, hosts) {
			return c.saveRoles(resp)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := c.ended(); err != nil {
			return err
		}
	}
}

// look is how long an answer is waited for that is asked for again.
const look = 2 * time.Second

// Status asks a cluster how it is, once, for 2 s.
func Status(ctx context.Context, client *lookupclient.Client) (*apiv1.StatusResponse, error) {
	return StatusWithin(ctx, look, client)
}

// StatusWithin does so for a time that is given, as long as it takes to elect a leader, on a busy machine too.
func StatusWithin(ctx context.Context, patience time.Duration, client *lookupclient.Client) (*apiv1.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return apiv1.NewClusterClient(client.Conn()).Status(ctx, &apiv1.StatusRequest{})
}

func (c *Cluster) ready(resp *apiv1.StatusResponse, hosts int) bool {
	for _, x := range resp.Servers {
		if !x.Reachable || x.GrpcAddress == "" || x.Role == apiv1.Role_NONVOTER {
			return false
		}
	}
	return len(resp.Servers) >= len(c.state.Servers) && int(resp.MembersLive) >= hosts
}

// ended says which process has ended that should run.
func (c *Cluster) ended() error {
	for _, p := range slices.Concat(c.Servers, c.Hosts) {
		if p.ended() {
			return p.endError()
		}
	}
	return nil
}

func (c *Cluster) saveRoles(resp *apiv1.StatusResponse) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.SetRoles(resp)
	return c.state.save()
}

// SetRoles notes what the servers do.
func (s *State) SetRoles(resp *apiv1.StatusResponse) {
	for i := range s.Servers {
		s.Servers[i].Role = ""
		for _, info := range resp.Servers {
			if info.Name == s.Servers[i].Name && info.Reachable {
				s.Servers[i].Role = strings.ToLower(info.Role.String())
			}
		}
	}
}

// Client returns a client of the cluster.
func (c *Cluster) Client() (*lookupclient.Client, error) {
	return lookupclient.Open(lookupclient.Config{Servers: c.state.Addresses()})
}

// State says what the cluster consists of.
func (c *Cluster) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := *c.state
	s.Servers, s.Hosts = slices.Clone(s.Servers), slices.Clone(s.Hosts)
	return s
}

// Server is a server's process by the server's name; nil when there is none.
func (c *Cluster) Server(name string) *Process {
	for _, p := range c.Servers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Restart starts a server that has ended again, with its command line.
func (c *Cluster) Restart(p *Process) error {
	if err := p.start(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.state.Servers {
		if c.state.Servers[i].Name == p.Name {
			c.state.Servers[i].PID = p.PID()
		}
	}
	return c.state.save()
}

// Stop ends the cluster in order, and removes it when it is ephemeral.
func (c *Cluster) Stop() error {
	c.stop()
	if s := c.State(); s.Ephemeral {
		return s.remove()
	}
	return nil
}

func (c *Cluster) stop() {
	endAll(c.Hosts, time.Now().Add(stopPatience))
	endAll(c.Servers, time.Now().Add(stopPatience))
	for _, f := range []*os.File{c.pipe, c.inherited} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// remove removes what a cluster has on the disk, and nothing else.
func (s *State) remove() error {
	var errs []error
	for _, x := range s.Servers {
		errs = append(errs, os.RemoveAll(filepath.Join(s.Directory, x.Name)))
	}
	logs, err := filepath.Glob(filepath.Join(s.Directory, "*.log*"))
	errs = append(errs, err)
	for _, l := range logs {
		errs = append(errs, os.Remove(l))
	}
	errs = append(errs, os.Remove(filepath.Join(s.Directory, stateFile)))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return os.Remove(s.Directory)
}

// Stop ends the cluster of a directory, whoever started it, and reports whether one ran.
func Stop(dir string) (ran bool, err error) {
	s, err := Load(dir)
	if err != nil {
		return false, err
	}
	ran = s.Runs()
	s.end(stopPatience)
	if s.Ephemeral {
		return ran, s.remove()
	}
	return ran, nil
}

// Reset ends the cluster of a directory and removes what it has on the disk.
func Reset(dir string) error {
	if _, err := Stop(dir); err != nil {
		return err
	}
	s, err := Load(dir)
	if errors.Is(err, ErrNone) {
		return nil // it was ephemeral
	}
	if err != nil {
		return err
	}
	return s.remove()
}
