package group

import (
	"fmt"
	"time"
)

// Timing is how patient a group is. All servers of a cluster should have the same.
type Timing struct {
	// Election is how long a server hears nothing from its leader before it stands for election: between one and two
	// times this long, as the library draws it. A leader that does not reach a majority for as long steps down. Not
	// shorter than the longest write to the disk that is tolerated, since heartbeats wait behind it.
	Election time.Duration
	// Commit is how long an idle follower may be behind in knowing what is committed.
	Commit time.Duration
	// Transport bounds each message and its answer; a heartbeat and its answer are bounded by Election, if that is shorter.
	Transport time.Duration
	// Stall is how long a write to the disk may take before the server ends itself.
	Stall time.Duration
}

// The profiles.
var (
	// LAN is for servers in one building: a new leader is at work 1.0 s after the old one died, at the median.
	LAN = Timing{Election: 500 * time.Millisecond, Commit: 10 * time.Millisecond, Transport: 3 * time.Second, Stall: 5 * time.Second}
	// Local is for servers on one machine.
	Local = Timing{Election: 300 * time.Millisecond, Commit: 5 * time.Millisecond, Transport: 2 * time.Second, Stall: 5 * time.Second}
	// WAN is for servers tens of milliseconds apart.
	WAN = Timing{Election: 2 * time.Second, Commit: 50 * time.Millisecond, Transport: 10 * time.Second, Stall: 10 * time.Second}
)

// TimingNamed returns the profile lan, local or wan.
func TimingNamed(name string) (Timing, error) {
	switch name {
	case "lan":
		return LAN, nil
	case "local":
		return Local, nil
	case "wan":
		return WAN, nil
	}
	return Timing{}, fmt.Errorf("timing %q: there are lan, local and wan", name)
}
