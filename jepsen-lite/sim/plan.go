package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Plan is everything that a seed decides about a run before it begins.
type Plan struct {
	Seed uint64
	// Servers, Members, Clients and Lockers are how many there are; the hosts are called s1, m1, c1 and l1.
	Servers, Members, Clients, Lockers int
	// Spares is how many servers are added at most, each for another one that is taken out; they are called on from the last one.
	Spares int
	// Length is how long there is work and there are faults.
	Length time.Duration
	// Rates are the rates of the clocks of servers, members and holders of locks, in percent of the true one: by host, and by
	// name of those beside a server. Any two differ by less than the bound of the lease protocol.
	Rates map[string]int64
	// Patient is a server that waits four times as long for the others as they do before it stands for election, or steps down: as
	// a leader it goes on believing in itself when there is another one already.
	Patient string
	// SnapshotEntries is after how many entries of the log a server keeps a snapshot in their place; zero for as many as servers
	// do, which is more than a run has.
	SnapshotEntries uint64
	// ReadLease is how long read leases last; zero for as long as servers have them. A short one is over, and granted anew, each
	// time that a holder is late.
	ReadLease time.Duration
	// Latency is how long a message takes at most, most of the time, and Tail how many times longer one of twenty takes.
	Latency time.Duration
	Tail    int
	Faults  []Fault
}

// Fault is something that goes wrong for a while.
type Fault struct {
	Kind Kind
	At   time.Duration
	For  time.Duration
	// Hosts are those it is about; leaderNow stands for the server that leads when it begins, followerNow for one that does not, and
	// impatientNow for the one that leads, or another if that is the patient one.
	Hosts []string
	// Side is on which side of a partition each host of the run is: 0, 1, or 2 for both.
	Side map[string]int
	// Delay is that of a slow link or a slow disk, or how far a clock jumps. Before a host is cut off it is that of its links, for slowFor: what it was
	// promised last came late. Zero for none.
	Delay time.Duration
	// Read has some read from the host all the time that the fault lasts.
	Read bool
}

// These stand for a server.
const (
	leaderNow    = "leader"
	followerNow  = "follower"
	impatientNow = "impatient"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults.
const (
	// Partition cuts all links between the hosts of two sides; some hosts are on both.
	Partition Kind = "partition"
	// OneWay cuts the links from one host to the servers, and not back.
	OneWay Kind = "one-way"
	// Deaf cuts the links from the other servers to a server, and not back.
	Deaf Kind = "deaf"
	// Isolate cuts a host off from all others.
	Isolate Kind = "isolate"
	// Strand cuts a server off from the other servers, and from nobody else.
	Strand Kind = "strand"
	// Kill ends a server without a word, and starts it again on its disk.
	Kill Kind = "kill"
	// KillAll does that to all servers.
	KillAll Kind = "kill-all"
	// Hold keeps everything that a host sends and is sent until the end, as when its process is stopped: its clock goes on.
	Hold Kind = "hold"
	// Reset breaks all connections of a host.
	Reset Kind = "reset"
	// Slow makes everything from and to a host take longer.
	Slow Kind = "slow"
	// Lag makes everything to a host take longer, and nothing from it.
	Lag Kind = "lag"
	// SlowDisk makes each write of a server take longer.
	SlowDisk Kind = "slow-disk"
	// Transfer hands the leadership over, to a server or to any.
	Transfer Kind = "transfer"
	// Replace adds a server, and takes another one out.
	Replace Kind = "replace"
	// Crash ends a member without a word, and starts it again.
	Crash Kind = "crash"
	// Shuffle has identities go to a member and away from it, again and again.
	Shuffle Kind = "shuffle"
	// Gather has the identities that are kept go to a member.
	Gather Kind = "gather"
	// Block puts a member on the block list, and BlockIdentity one of the identities in use, until the end.
	Block         Kind = "block"
	BlockIdentity Kind = "block-identity"
	// Jump has the clock of a host jump ahead by Delay, as if its machine had been suspended, and others' not. A leader's does not: what
	// it granted it would take to be over.
	Jump Kind = "jump"
)

// slowFor is how long the links of a host are slow before it is cut off.
const slowFor = 3 * time.Second

// String is the fault in a line.
func (f Fault) String() string {
	s := fmt.Sprintf("%v +%v %s", f.At, f.For, f.Kind)
	if len(f.Hosts) > 0 {
		s += " " + strings.Join(f.Hosts, ",")
	}
	for side := range 3 {
		var hosts []string
		for h, x := range f.Side {
			if x == side {
				hosts = append(hosts, h)
			}
		}
		if len(hosts) > 0 {
			slices.Sort(hosts)
			s += " " + []string{"here ", "there ", "on both sides "}[side] + strings.Join(hosts, ",")
		}
	}
	if f.Delay > 0 {
		s += fmt.Sprint(" by ", f.Delay)
	}
	return s
}

// lasts is how long a fault lasts from its beginning on.
func (f *Fault) lasts() time.Duration {
	if f.cutsOff() && f.Delay > 0 {
		return slowFor + f.For
	}
	return f.For
}

// cutsOff says whether the fault cuts one host off, in one direction at least. Its links may be slow before.
func (f *Fault) cutsOff() bool { return slices.Contains([]Kind{Isolate, Strand, Deaf, OneWay}, f.Kind) }

// LengthDefault is the length of a run.
const LengthDefault = time.Minute

// PlanOf makes the plan of a seed. It depends on the seed alone.
func PlanOf(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := Plan{Seed: seed, Servers: 3, Members: 2 + r.IntN(2), Clients: 3, Lockers: 2, Length: LengthDefault, Rates: map[string]int64{}}
	if r.IntN(4) == 0 {
		p.Servers = 5
	}
	p.Patient = fmt.Sprint("s", r.IntN(p.Servers)+1)
	begins := opening(seed) % openings
	p.rates(r, begins)
	if r.IntN(3) == 0 && begins != deaf { // what was told then is held against the whole log
		p.SnapshotEntries = 100 + r.Uint64N(400)
	}
	p.Latency = []time.Duration{100 * time.Microsecond, 2 * time.Millisecond, 10 * time.Millisecond, 40 * time.Millisecond}[r.IntN(4)]
	p.Tail = []int{1, 10, 30}[r.IntN(3)]
	if begins == behind || begins == lagging {
		p.ReadLease = within(r, 250*time.Millisecond, 500*time.Millisecond)
		p.Latency = min(p.Latency, 10*time.Millisecond) // or nobody has a lease that is so short
	}
	if begins == followed {
		p.Latency = min(p.Latency, 2*time.Millisecond) // what the one leader still answers and what the other one begins is not far apart
	}
	// A run has a few kinds of faults, so that each has time to meet what it goes with, and quiet moments.
	all := []Kind{Partition, OneWay, Isolate, Strand, Kill, KillAll, Hold, Reset, Slow, SlowDisk, Transfer, Crash}
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	kinds := all[:2+r.IntN(4)]
	p.Faults = p.opens(r, begins, 2*time.Second)
	begun := over(p.Faults)
	for at := begun + within(r, 0, 3*time.Second); at < p.Length; {
		if r.IntN(3) == 0 {
			p.Faults = append(p.Faults, p.fault(r, kinds[r.IntN(len(kinds))], at))
		} else {
			scene := p.scene(r, at)
			p.Faults = append(p.Faults, scene...)
			if r.IntN(3) > 0 { // nothing else begins while it lasts
				at = over(scene)
			}
		}
		at += time.Duration(r.Int64N(int64(6 * time.Second)))
	}
	p.jumps(p.random("jumps"), begun)
	p.changes(p.random("changes"), begun)
	p.blocks(p.random("blocks"), begun)
	p.closes(p.random("end"))
	return p
}

// jumps adds what clocks do beside going at their rates, in one run of three, from some moment on. Everything else is
// as it is without.
func (p *Plan) jumps(r *rand.Rand, from time.Duration) {
	if r.IntN(3) > 0 {
		return
	}
	hosts := append(slices.Concat(p.hosts("m", p.Members), p.hosts("l", p.Lockers)), followerNow, followerNow)
	for range 1 + r.IntN(3) {
		p.Faults = append(p.Faults, Fault{
			Kind: Jump, At: within(r, from, p.Length), Hosts: []string{hosts[r.IntN(len(hosts))]}, Delay: within(r, 100*time.Millisecond, 20*time.Second),
		})
	}
}

// Until is the plan of a run that is over sooner, without the faults that begin later. Zero changes nothing.
func (p Plan) Until(length time.Duration) Plan {
	if length > 0 && length < p.Length {
		p.Length = length
		p.Faults = slices.DeleteFunc(slices.Clone(p.Faults), func(f Fault) bool { return f.At >= length })
	}
	return p
}

// over is when the last of some faults ends.
func over(faults []Fault) (at time.Duration) {
	for _, f := range faults {
		at = max(at, f.At+f.lasts())
	}
	return at
}

// rates draws the clocks' rates. Many are at one end of what is allowed: there leases are the longest for one who holds them, or
// the shortest for one who waits for them. In two runs of three the servers' are fast and the others' slow, which is the worst
// for members and holders of locks, and in most of those the patient server's is slow, which is the worst for read leases; in all
// runs with an opening that is about that.
func (p *Plan) rates(r *rand.Rand, o opening) {
	all := o == lagging || o == memberProvedLate || o == followed
	slowest := r.Int64N(80) + 60 // in percent
	if o == followed {
		slowest = max(slowest, 120) // members ask often
	}
	most := slowest/4 - 1
	worst, slow := r.IntN(3) > 0 || all, r.IntN(3) > 0 || all
	for _, h := range slices.Concat(p.hosts("s", p.Servers), p.hosts("m", p.Members), p.hosts("l", p.Lockers), p.hosts("locker-s", p.Servers)) {
		p.Rates[h] = slowest + []int64{0, most, r.Int64N(most + 1)}[r.IntN(3)]
		if server := h[0] == 's'; worst && server && !(slow && h == p.Patient) {
			p.Rates[h] = slowest + most
		} else if worst {
			p.Rates[h] = slowest
		}
	}
}

func (p *Plan) hosts(letter string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(letter, i+1))
	}
	return out
}

// all are all hosts of the run.
func (p *Plan) all() []string {
	return slices.Concat(p.hosts("s", p.Servers+p.Spares), p.hosts("m", p.Members), p.hosts("c", p.Clients), p.hosts("l", p.Lockers))
}

func (p *Plan) fault(r *rand.Rand, k Kind, at time.Duration) Fault {
	f := Fault{Kind: k, At: at.Round(time.Millisecond), For: (200*time.Millisecond + time.Duration(r.Int64N(int64(12*time.Second)))).Round(time.Millisecond)}
	server := func() string {
		if r.IntN(2) == 0 {
			return leaderNow
		}
		return fmt.Sprint("s", r.IntN(p.Servers)+1)
	}
	anyone := func() string {
		if r.IntN(2) == 0 {
			return server()
		}
		return append(p.hosts("m", p.Members), p.hosts("l", p.Lockers)...)[r.IntN(p.Members+p.Lockers)]
	}
	switch k {
	case Partition:
		f.Side = map[string]int{}
		for _, h := range p.all() {
			f.Side[h] = r.IntN(2)
			if r.IntN(6) == 0 {
				f.Side[h] = 2
			}
		}
	case Kill, SlowDisk, Strand:
		f.Hosts = []string{server()}
	case Crash:
		f.Hosts = []string{fmt.Sprint("m", r.IntN(p.Members)+1)}
	case OneWay, Isolate, Hold, Reset, Slow:
		f.Hosts = []string{anyone()}
	}
	switch k {
	case Slow:
		f.Delay = time.Duration(1+r.IntN(800)) * time.Millisecond
	case SlowDisk:
		f.Delay = time.Duration(1+r.IntN(400)) * time.Millisecond
	case Reset, Transfer:
		f.For = 0
	case KillAll:
		f.For = min(f.For, 3*time.Second)
	}
	return f
}
