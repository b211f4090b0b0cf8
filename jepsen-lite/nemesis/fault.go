package nemesis

import (
	"fmt"
	"time"
)

// Kind is what is done.
type Kind string

// The kinds of faults. Those above the line need a network whose links can be changed.
const (
	// Cut takes the target off the network, for all others.
	Cut Kind = "cut"
	// CutPeers takes a server off from the other servers alone: clients and members still reach it.
	CutPeers Kind = "cut-peers"
	// Mute has nothing come from the target, and Deaf nothing come to it.
	Mute Kind = "mute"
	Deaf Kind = "deaf"
	// Halve divides the servers into a majority and a minority, and everybody else among them.
	Halve Kind = "halve"
	// Bridge divides the servers into two halves that only one server sees both of.
	Bridge Kind = "bridge"
	// Flap cuts the target off and lets it back several times a second.
	Flap Kind = "flap"
	// Lose loses some of all frames, Slow delays, reorders and doubles them, Throttle lets few through.
	Lose     Kind = "lose"
	Slow     Kind = "slow"
	Throttle Kind = "throttle"

	// Kill is SIGKILL, and a start at the end. Pause is SIGSTOP, and SIGCONT at the end. Restart is a stop in order, and a
	// start at the end.
	Kill    Kind = "kill"
	Pause   Kind = "pause"
	Restart Kind = "restart"
	// Transfer hands the leadership over, again and again.
	Transfer Kind = "transfer"
	// Replace adds a server and takes the target out for good.
	Replace Kind = "replace"
	// Damage kills a server, flips bits in a file of its disk or cuts it off, and starts it. When it refuses to start, as it
	// should, it is replaced.
	Damage Kind = "damage"

	// Block puts the target, or one of the identities that clients ask about, on the block list, and takes it off at the end.
	Block         Kind = "block"
	BlockIdentity Kind = "block-identity"

	// The kinds from here on need disks that fail on demand. PowerLoss kills the target and takes from its disk what was not
	// synced, at the same moment; it is started at the end. TornLoss leaves a random part of that.
	PowerLoss Kind = "power-loss"
	TornLoss  Kind = "torn-loss"
	// FullDisk has no room on the disk, SlowDisk syncs slowly, BadDisk fails what is synced, or what is written. BadReads fails what is read, of
	// all files or of some: of a server that runs, or of one that is killed and started on such a disk. A server that ends of it is started at
	// the end.
	FullDisk Kind = "full-disk"
	SlowDisk Kind = "slow-disk"
	BadDisk  Kind = "bad-disk"
	BadReads Kind = "bad-reads"

	// The kinds from here on need processes whose clocks can be skewed. Drift has a clock go up to a tenth faster or slower, which
	// leases allow for; WallJump has the time of day jump by up to a day, which nothing may depend on; Forward has the clock of a
	// member or a holder jump ahead, as if it had been stopped. Crawl has it go at a tenth of its rate, with the target cut off, a
	// server from the other servers alone: no lease is safe from that.
	Drift    Kind = "drift"
	WallJump Kind = "wall-jump"
	Forward  Kind = "forward"
	Crawl    Kind = "crawl"
)

// Target says to whom it is done.
type Target string

// The targets.
const (
	Leader   Target = "leader"
	Follower Target = "follower"
	Server   Target = "server" // any one
	Minority Target = "minority"
	Servers  Target = "servers" // all
	Member   Target = "member"
	Locker   Target = "locker"
	Client   Target = "client"   // a process of clients
	Clients  Target = "clients"  // those of the test's own process
	Everyone Target = "everyone" // all processes
	None     Target = ""
)

// Fault is something on the menu of a scenario.
type Fault struct {
	Kind   Kind
	Target Target
	// Least and Most bound how long it lasts.
	Least, Most time.Duration
}

// String is what is done to whom.
func (f Fault) String() string {
	if f.Target == None {
		return string(f.Kind)
	}
	return fmt.Sprintf("%s %s", f.Kind, f.Target)
}

// Network says whether the fault needs links that can be changed.
func (f Fault) Network() bool {
	switch f.Kind {
	case Cut, CutPeers, Mute, Deaf, Halve, Bridge, Flap, Lose, Slow, Throttle, Crawl:
		return true
	}
	return false
}

// Shapes says whether the fault needs links that can be more than cut: slow, or lossy.
func (f Fault) Shapes() bool { return f.Kind == Lose || f.Kind == Slow || f.Kind == Throttle }

// Disk says whether the fault needs disks that fail on demand.
func (f Fault) Disk() bool {
	switch f.Kind {
	case PowerLoss, TornLoss, SlowDisk:
		return true
	}
	return f.Fails()
}

// Fails says whether the fault leaves the target without a disk that works, so that the server may end of it.
func (f Fault) Fails() bool { return f.Kind == FullDisk || f.Kind == BadDisk || f.Kind == BadReads }

// Clock says whether the fault needs clocks that can be skewed.
func (f Fault) Clock() bool {
	switch f.Kind {
	case Drift, WallJump, Forward, Crawl:
		return true
	}
	return false
}

// Adds says whether the fault adds servers to the cluster.
func (f Fault) Adds() bool { return f.Kind == Replace || f.Kind == Damage }

// Blocks says whether the fault puts somebody, or something, on the block list.
func (f Fault) Blocks() bool { return f.Kind == Block || f.Kind == BlockIdentity }

// Step is one fault of a run.
type Step struct {
	Fault
	// At is when it begins, counted from the beginning of the faults, and Lasts how long it lasts.
	At, Lasts time.Duration
	// Draw decides what is open: which follower, how much is lost.
	Draw uint64
}

// String is when what is done to whom, and how long.
func (s Step) String() string {
	return fmt.Sprintf("%6.2fs %s for %.2fs", s.At.Seconds(), s.Fault, s.Lasts.Seconds())
}
