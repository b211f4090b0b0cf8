package runner

import (
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/nemesis"
)

// Scenario is a kind of run.
type Scenario struct {
	// Name is what it is asked for by, and About what it does, for people.
	Name, About string
	// Servers is how many there are.
	Servers int
	// Faults is the menu, and Together has two of them at a time.
	Faults   []nemesis.Fault
	Together bool
	// Breaks are the checkers of what the faults break on purpose: a run in which none of them finds anything is one that failed, and so is
	// one in which another one does. None when all promises are to be kept.
	Breaks []string
	// Unfenced has the guarded resource accept every write, and lock holders write without a look at whether they still hold the lock.
	Unfenced bool
	// Stale has clients take what the asked server has, however old, for the newest.
	Stale bool
	// Readers has one more client for each server, which asks that one alone, looks up, and does nothing else.
	Readers bool
	// ReadLease is how long read leases last. Zero: the servers' own default.
	ReadLease time.Duration
	// Restore has a new cluster be made, in the end, of the newest state that was saved.
	Restore bool
	// Compact has the servers make a snapshot every few hundred entries, and throw their logs away.
	Compact bool
}

// Tier is the least tier in which the scenario can be run: 3 when the network has to fail, otherwise 2.
func (s *Scenario) Tier() int {
	for _, f := range s.Faults {
		if f.Network() {
			return 3
		}
	}
	return 2
}

// shapes says whether the scenario needs links that can be more than cut.
func (s *Scenario) shapes() bool { return slices.ContainsFunc(s.Faults, nemesis.Fault.Shapes) }

// disks says whether the scenario needs disks that fail on demand.
func (s *Scenario) disks() bool {
	for _, f := range s.Faults {
		if f.Disk() {
			return true
		}
	}
	return false
}

// Clocks says whether the scenario needs clocks that can be skewed: a berth is built for it then, and the Binary is not run.
func (s *Scenario) Clocks() bool {
	for _, f := range s.Faults {
		if f.Clock() {
			return true
		}
	}
	return false
}

// spares is how many servers may be added in a run, or begin a new cluster.
func (s *Scenario) spares() int {
	if s.Restore {
		return 1 + s.added()
	}
	return s.added()
}

// added is how many servers may be added to the cluster.
func (s *Scenario) added() int {
	for _, f := range s.Faults {
		if f.Adds() {
			return sparesMax
		}
	}
	return 0
}

// sparesMax bounds the servers that are added. What is due beyond that is left out, and said.
const sparesMax = 12

const (
	ms = time.Millisecond
	// longest is longer than every lease of a run: a member's is 2 s, a session's 2 s, and a quarter more each.
	longest = 3500 * ms
)

func fault(kind nemesis.Kind, target nemesis.Target, least, most time.Duration) nemesis.Fault {
	return nemesis.Fault{Kind: kind, Target: target, Least: least, Most: most}
}

var (
	partitions = []nemesis.Fault{
		fault(nemesis.Halve, nemesis.None, 800*ms, longest),
		fault(nemesis.Cut, nemesis.Leader, 800*ms, longest),
		fault(nemesis.CutPeers, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Cut, nemesis.Member, 800*ms, longest),
		fault(nemesis.Cut, nemesis.Locker, 800*ms, longest),
		fault(nemesis.Cut, nemesis.Client, 800*ms, longest),
		fault(nemesis.Cut, nemesis.Minority, 800*ms, longest),
	}
	oneWay = []nemesis.Fault{
		fault(nemesis.Mute, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Deaf, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Mute, nemesis.Follower, 800*ms, longest),
		fault(nemesis.Deaf, nemesis.Member, 800*ms, longest),
		fault(nemesis.Mute, nemesis.Member, 800*ms, longest),
		fault(nemesis.Deaf, nemesis.Clients, 1000*ms, 2000*ms),
	}
	bridges  = []nemesis.Fault{fault(nemesis.Bridge, nemesis.None, 2*time.Second, longest), fault(nemesis.CutPeers, nemesis.Minority, 2*time.Second, longest)}
	badLinks = []nemesis.Fault{
		fault(nemesis.Flap, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Flap, nemesis.Member, 800*ms, longest),
		fault(nemesis.Lose, nemesis.Everyone, 800*ms, longest),
		fault(nemesis.Lose, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Slow, nemesis.Everyone, 800*ms, longest),
		fault(nemesis.Slow, nemesis.Leader, 800*ms, longest),
		fault(nemesis.Throttle, nemesis.Follower, 800*ms, longest),
	}
	crashes = []nemesis.Fault{
		fault(nemesis.Kill, nemesis.Leader, 200*ms, 2500*ms),
		fault(nemesis.Kill, nemesis.Follower, 200*ms, 2500*ms),
		fault(nemesis.Kill, nemesis.Servers, 100*ms, 1000*ms),
		fault(nemesis.Kill, nemesis.Member, 100*ms, longest),
		fault(nemesis.Kill, nemesis.Locker, 100*ms, 1000*ms),
		fault(nemesis.Kill, nemesis.Client, 100*ms, 1000*ms),
	}
	pausesOfOwners = []nemesis.Fault{
		fault(nemesis.Pause, nemesis.Member, 2700*ms, longest),
		fault(nemesis.Pause, nemesis.Locker, 2700*ms, longest),
	}
	pauses = append([]nemesis.Fault{
		fault(nemesis.Pause, nemesis.Leader, 500*ms, longest),
		fault(nemesis.Pause, nemesis.Follower, 500*ms, longest),
		fault(nemesis.Pause, nemesis.Client, 2700*ms, longest),
	}, pausesOfOwners...)
	changes = []nemesis.Fault{
		fault(nemesis.Replace, nemesis.Follower, 500*ms, 1000*ms),
		fault(nemesis.Replace, nemesis.Leader, 500*ms, 1000*ms),
		fault(nemesis.Transfer, nemesis.None, 1500*ms, 2500*ms),
		fault(nemesis.Restart, nemesis.Server, 100*ms, 500*ms),
	}
	blocks = []nemesis.Fault{
		fault(nemesis.Block, nemesis.Member, 800*ms, longest),
		fault(nemesis.BlockIdentity, nemesis.None, 500*ms, 2500*ms),
		fault(nemesis.Kill, nemesis.Leader, 200*ms, 1000*ms),
	}
	damages = []nemesis.Fault{fault(nemesis.Damage, nemesis.Follower, 500*ms, 1000*ms), fault(nemesis.Kill, nemesis.Leader, 200*ms, 1000*ms)}
	powers  = []nemesis.Fault{
		fault(nemesis.PowerLoss, nemesis.Servers, 100*ms, 500*ms),
		fault(nemesis.PowerLoss, nemesis.Leader, 100*ms, 1500*ms),
		fault(nemesis.TornLoss, nemesis.Servers, 100*ms, 500*ms),
		fault(nemesis.PowerLoss, nemesis.Follower, 100*ms, 1500*ms),
	}
	clocks = []nemesis.Fault{
		fault(nemesis.Drift, nemesis.Everyone, 2*time.Second, longest),
		fault(nemesis.WallJump, nemesis.Everyone, 500*ms, 1000*ms),
		fault(nemesis.Forward, nemesis.Member, 500*ms, 1000*ms),
		fault(nemesis.Forward, nemesis.Locker, 500*ms, 1000*ms),
	}
	badDisks = []nemesis.Fault{
		fault(nemesis.FullDisk, nemesis.Leader, 1000*ms, 2500*ms),
		fault(nemesis.BadDisk, nemesis.Leader, 1000*ms, 2500*ms),
		fault(nemesis.SlowDisk, nemesis.Leader, 800*ms, longest),
		fault(nemesis.FullDisk, nemesis.Follower, 1000*ms, 2500*ms),
		fault(nemesis.SlowDisk, nemesis.Servers, 800*ms, longest),
		fault(nemesis.BadReads, nemesis.Follower, 1000*ms, 2500*ms),
		fault(nemesis.BadReads, nemesis.Leader, 1000*ms, 2500*ms),
	}
)

// beyond is a fault that breaks a promise, and so has to be found: it outlasts what the servers wait for until somebody's lease is over, also when
// they elect another leader meanwhile, which waits anew.
func beyond(kind nemesis.Kind, target nemesis.Target) nemesis.Fault {
	return fault(kind, target, 6500*ms, 7*time.Second)
}

// stale are the checkers that look whether answers go back in time.
var stale = []string{"order", "linearizable"}

func menu(lists ...[]nemesis.Fault) []nemesis.Fault {
	var all []nemesis.Fault
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Scenarios are all there are, the quiet one first.
func Scenarios() []Scenario {
	return []Scenario{
		{Name: "steady", About: "no fault at all: what every other run begins with", Servers: 3},
		{Name: "crashes", About: "SIGKILL for the leader, followers, all servers at once, members, lock holders, clients", Servers: 3, Faults: crashes},
		{Name: "pauses", About: "SIGSTOP for the leader, followers, members, lock holders and clients, longer than every lease", Servers: 3, Faults: pauses},
		{Name: "pauses-of-owners", About: "SIGSTOP for members and lock holders alone, longer than every lease", Servers: 3, Faults: pausesOfOwners},
		{Name: "changes", About: "servers are added, removed and restarted in order, the leadership is handed over", Servers: 3, Faults: changes},
		{Name: "blocks", About: "members and identities are put on the block list and taken off it, and the leader is killed", Servers: 3, Faults: blocks},
		{Name: "restores", About: "crashes, and in the end a new cluster is made of the newest state that was saved meanwhile", Servers: 3, Faults: crashes, Restore: true},
		{Name: "damage", About: "bits of a log or a snapshot are flipped, files are cut off; who refuses to start is replaced", Servers: 3, Faults: damages, Compact: true},
		{Name: "compaction", About: "a snapshot every few hundred entries, and crashes", Servers: 3, Faults: menu(crashes, changes), Compact: true},
		{Name: "power-loss", About: "servers lose power, one or all, with all or some of what was not synced", Servers: 3, Faults: powers},
		{Name: "bad-disks", About: "disks are full, slow, or fail what is written, synced or read", Servers: 3, Faults: badDisks, Compact: true},
		{Name: "partitions", About: "the network is divided: halves, the leader alone, members, lock holders and clients alone", Servers: 3, Faults: partitions},
		{Name: "one-way", About: "links carry frames in one direction", Servers: 3, Faults: oneWay},
		{Name: "bridges", About: "two halves that see each other through one server alone", Servers: 5, Faults: bridges},
		{Name: "bad-links", About: "links flap, lose, delay, double and reorder frames, or are slow", Servers: 3, Faults: badLinks},
		{Name: "split-brain", About: "the leader is cut off, or stopped, and comes back", Servers: 3, Faults: []nemesis.Fault{
			fault(nemesis.CutPeers, nemesis.Leader, 2*time.Second, longest), fault(nemesis.Cut, nemesis.Leader, 2*time.Second, longest),
			fault(nemesis.Pause, nemesis.Leader, 2*time.Second, longest),
		}},
		{Name: "everything", About: "all faults of the network and of processes, two at a time", Servers: 5, Together: true,
			Faults: menu(partitions, oneWay, bridges, badLinks, crashes, pauses, changes)},
		{Name: "storm", About: "all faults of the network, of processes, of the cluster's servers and of disks, two at a time, with a snapshot every few hundred entries",
			Servers: 5, Together: true, Compact: true, Faults: menu(partitions, oneWay, bridges, badLinks, crashes, pauses, changes, powers, badDisks)},
		{Name: "clocks", About: "clocks go up to a tenth fast or slow, jump ahead, the time of day jumps; members and leaders are stopped meanwhile", Servers: 3,
			Together: true, Faults: menu(clocks, pauses)},
		{Name: "clocks-beyond", About: "clocks of members go at a tenth of their rate while they are cut off: two owners, which has to be found", Servers: 3,
			Breaks: []string{"owner"}, Faults: []nemesis.Fault{beyond(nemesis.Crawl, nemesis.Member)}},
		{Name: "server-clocks-beyond", About: "the clock of a server goes at a tenth of its rate while it is cut off: answers that are not true any more, which have to be found", Servers: 3,
			Readers: true, ReadLease: time.Second, Breaks: stale, Faults: []nemesis.Fault{beyond(nemesis.Crawl, nemesis.Follower)}},
		{Name: "locks-unfenced", About: "lock holders are stopped for longer than their lease, and write to what looks at no token: which has to be found", Servers: 3,
			Unfenced: true, Breaks: []string{"fence"}, Faults: []nemesis.Fault{beyond(nemesis.Pause, nemesis.Locker)}},
		{Name: "stale-lookups", About: "servers are cut off, and clients take what they have, however old, for the newest: which has to be found", Servers: 3,
			Readers: true, Stale: true, Breaks: stale, Faults: []nemesis.Fault{beyond(nemesis.CutPeers, nemesis.Follower), beyond(nemesis.CutPeers, nemesis.Leader)}},
		{Name: "turmoil", About: "crashes and pauses, two at a time", Servers: 3, Together: true, Faults: menu(crashes, pauses)},
	}
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, bool) {
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, true
		}
	}
	return Scenario{}, false
}
