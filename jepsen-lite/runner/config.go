package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
)

// Limits of a run.
const (
	DurationMin = 2 * time.Second
	DurationMax = 24 * time.Hour
	// memberTTL and sessionTTL are short, so that leases run out within a fault.
	memberTTL  = 2 * time.Second
	sessionTTL = 2 * time.Second
	// clientsMax bounds the clients; identities are shared by few of them.
	clientsMax = 64
)

// Config says what is to be run. The zero value of a field is its default.
type Config struct {
	Scenario Scenario
	// Seed is where all choices come from.
	Seed uint64
	// Duration is how long faults come and go. Default 15 s.
	Duration time.Duration
	// Tier is 2 or 3. Default: the least in which the scenario can be run.
	Tier int
	// Network is how hosts are joined in tier 3. Default: by TAP devices where there are any, and otherwise by pairs of veth devices.
	Network switchnet.Kind
	// Root is the folder that gets the run's folder. Needed.
	Root string
	// Binary is the berth that runs, and Command how it is told to be a member, a lock holder, a client or a disk of the test: the words
	// between the binary and "member", "locker", "asker" and "disk". Needed; a scenario about clocks builds a berth of its own, of Source, instead.
	Binary  string
	Command []string
	// Source is the directory of berth's source, from which a berth is built whose clocks can be skewed, when a scenario is about
	// clocks; empty where there is none.
	Source string
	// Members, Lockers and Clients are how many there are; clients within the process of the test. Askers are processes in which clients ask as well.
	// Defaults 3, 2, 8 and 1.
	Members, Lockers, Clients, Askers int
	// Rest is how long a client rests between two operations, at the mean. Default 15 ms.
	Rest time.Duration
	// Mutant is the name of the fault that was put into the binary on purpose; empty for none.
	Mutant string
	// Again is the command that repeats the run.
	Again string
	// Version and Commit are those of the binary.
	Version, Commit string
	// Note gets what people should know while it runs. May be nil.
	Note func(format string, args ...any)
}

func (c *Config) withDefaults() {
	number := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	number(&c.Members, 3)
	number(&c.Lockers, 2)
	number(&c.Clients, 8)
	number(&c.Askers, 1)
	number(&c.Tier, c.Scenario.Tier())
	if c.Duration == 0 {
		c.Duration = 15 * time.Second
	}
	if c.Rest == 0 {
		c.Rest = 15 * time.Millisecond
	}
	if c.Note == nil {
		c.Note = func(string, ...any) {}
	}
}

// Validate reports every fault of the Config at once.
func (c Config) Validate() error {
	c.withDefaults()
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.Scenario.Name == "" || c.Scenario.Servers < 1 || c.Scenario.Servers > 9, "scenario %q has %d servers: 1 to 9 are allowed", c.Scenario.Name, c.Scenario.Servers)
	fault(c.Duration < DurationMin || c.Duration > DurationMax, "duration %v: %v to %v is allowed", c.Duration, DurationMin, DurationMax)
	if least := nemesis.Certain(c.Scenario.Faults); len(c.Scenario.Breaks) > 0 {
		fault(c.Duration < least, "duration %v: %s needs %v, or nothing may happen that has to be found", c.Duration, c.Scenario.Name, least)
	}
	fault(c.Tier != 2 && c.Tier != 3, "tier %d: 2 and 3 can be run here", c.Tier)
	fault(c.Tier < c.Scenario.Tier(), "scenario %s needs tier %d: its faults are of the network", c.Scenario.Name, c.Scenario.Tier())
	fault(c.Network != "" && c.Network != switchnet.TAP && c.Network != switchnet.Veth, "network %q: %s and %s are there", c.Network, switchnet.TAP, switchnet.Veth)
	fault(c.Root == "", "the folder for the run is missing")
	fault(c.Binary == "", "the binary is missing")
	fault(c.Members < 1 || c.Members > 9, "%d members: 1 to 9 are allowed", c.Members)
	fault(c.Lockers < 0 || c.Lockers > 9, "%d lock holders: at most 9 are allowed", c.Lockers)
	fault(c.Scenario.Unfenced && c.Lockers < 2, "%d lock holders: %s needs two, one that loses a lock and one that gets it", c.Lockers, c.Scenario.Name)
	fault(c.Askers < 1 || c.Askers > 3, "%d processes of clients: 1 to 3 are allowed", c.Askers)
	fault(c.Clients < 1 || c.Clients > clientsMax, "%d clients: 1 to %d are allowed", c.Clients, clientsMax)
	return errors.Join(errs...)
}

// UnavailableError: the run needs something that this machine, or this user, has not.
type UnavailableError struct{ Err error }

// Error says what.
func (e *UnavailableError) Error() string { return "it cannot be run here: " + e.Err.Error() }

// Unwrap returns the reason.
func (e *UnavailableError) Unwrap() error { return e.Err }
