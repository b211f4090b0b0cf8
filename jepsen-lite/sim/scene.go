package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// scene is some faults, at a moment and shortly after, that a promise of the lease protocol is there for: somebody who holds a
// lease is cut off, for shorter or longer than it lasts, from those who wait for its end, and can be reached by those who ask it;
// and meanwhile the leader changes, or does not.
func (p *Plan) scene(r *rand.Rand, at time.Duration) []Fault {
	switch r.IntN(16) {
	case 0, 1:
		return p.holderAlone(r, at)
	case 2, 3, 4:
		return p.leaderAlone(r, at)
	case 5, 6:
		return p.alone(r, at, fmt.Sprint("m", r.IntN(p.Members)+1))
	case 7, 8:
		return p.alone(r, at, fmt.Sprint("l", r.IntN(p.Lockers)+1))
	case 9:
		return p.holderBehind(r, at)
	case 10, 11:
		return p.memberLate(r, at)
	case 12:
		return p.leaderDeaf(r, at)
	case 13:
		return p.leaderMute(r, at, r.IntN(2) == 0)
	case 14:
		return p.provedLate(r, at, fmt.Sprint("m", r.IntN(p.Members)+1))
	}
	return p.provedLate(r, at, fmt.Sprint("l", r.IntN(p.Lockers)+1))
}

// opening is what a run begins with, while everything is well: the scenes that need that the most, one after the other by the seed.
type opening uint64

const (
	deaf opening = iota
	lagging
	memberProvedLate
	behind
	mute
	followed
	openings
)

// opens are the faults of an opening.
func (p *Plan) opens(r *rand.Rand, o opening, at time.Duration) []Fault {
	switch o {
	case lagging:
		return p.holderLags(r, at)
	case memberProvedLate:
		host := fmt.Sprint("m", r.IntN(p.Members)+1)
		gather := Fault{Kind: Gather, At: at, For: 2 * time.Second, Hosts: []string{host}}
		return append([]Fault{gather}, p.provedLate(r, at+gather.For, host)...)
	case behind:
		return p.holderBehind(r, at)
	case mute:
		once := p.leaderMute(r, at, false)
		return append(once, p.leaderMute(r, over(once)+2*time.Second, true)...)
	case followed:
		return p.leaderFollowed(r, at)
	}
	deposed := p.leaderDeposed(r, at)
	return append(deposed, p.leaderDeaf(r, over(deposed)+time.Second)...)
}

// within draws a time, to the millisecond.
func within(r *rand.Rand, from, to time.Duration) time.Duration {
	return (from + time.Duration(r.Int64N(int64(to-from)))).Round(time.Millisecond)
}

// holderAlone cuts a server off that has a read lease. Often it is the patient one, whose clock may be the slow one.
func (p *Plan) holderAlone(r *rand.Rand, at time.Duration) []Fault {
	one := Fault{Kind: Strand, At: at.Round(time.Millisecond), For: within(r, time.Second, 9*time.Second), Hosts: []string{followerNow}, Delay: late(r, 150*time.Millisecond)}
	if r.IntN(4) == 0 {
		return p.andTheLeader(r, one)
	}
	away := Fault{Kind: Transfer, At: one.At, Hosts: []string{impatientNow}}
	one.At += within(r, 500*time.Millisecond, 4*time.Second)
	one.Hosts = []string{p.Patient}
	return append([]Fault{away}, p.andTheLeader(r, one)...)
}

// holderBehind has a server with a read lease learn late of what is committed, about as late as a holder may: where leases are
// short it has none, now and then, and is granted one for what it does not have yet.
func (p *Plan) holderBehind(r *rand.Rand, at time.Duration) []Fault {
	one := Fault{
		Kind: SlowDisk, At: at.Round(time.Millisecond), For: within(r, 6*time.Second, 14*time.Second), Hosts: []string{followerNow},
		Delay: within(r, 80*time.Millisecond, 240*time.Millisecond),
	}
	if p.ReadLease > 0 {
		one.Delay, one.Read = within(r, 130*time.Millisecond, 200*time.Millisecond), true
	}
	return []Fault{one}
}

// holderLags has a server hear late from the others, about as late as a holder may, and be heard at once: a short lease comes late
// then, and now and then it is over before there is another one. It is the patient server, whose clock may be the slow one.
func (p *Plan) holderLags(r *rand.Rand, at time.Duration) []Fault {
	return []Fault{
		{Kind: Transfer, At: at.Round(time.Millisecond), Hosts: []string{impatientNow}},
		{
			Kind: Lag, At: at.Round(time.Millisecond) + time.Second, For: within(r, 6*time.Second, 12*time.Second), Hosts: []string{p.Patient},
			Delay: within(r, 60*time.Millisecond, 100*time.Millisecond), Read: true,
		},
	}
}

// ttl is how long the leases of members and of sessions last here.
const ttl = 5 * time.Second

// provedLate has a leader prove late that it leads, since its disk is slow, so that the answer to a member or a session comes long
// after the proof that its time is counted from. Then nothing that its host says is heard, the answer to what it said last still
// comes, and from then on it hears nothing, for longer than its lease lasts.
func (p *Plan) provedLate(r *rand.Rand, at time.Duration, host string) []Fault {
	slow := Fault{Kind: SlowDisk, At: at.Round(time.Millisecond), Hosts: []string{leaderNow}, Delay: within(r, 250*time.Millisecond, 480*time.Millisecond)}
	mute := Fault{Kind: OneWay, At: slow.At + within(r, 2500*time.Millisecond, 3500*time.Millisecond), Hosts: []string{host}}
	slow.For = mute.At + 2*slow.Delay - slow.At // until what is under way is proved
	away := Fault{Kind: Isolate, At: mute.At + 2*slow.Delay + 4*p.Latency, Hosts: []string{host}}
	away.For = p.lasts(host) + within(r, 500*time.Millisecond, 3*time.Second)
	mute.For = away.At + away.For - mute.At
	return []Fault{slow, mute, away}
}

// leaderDeposed has the patient server lead, and cuts it off from the others, which soon have another leader, while some read from it:
// it answers as long as its read lease lasts.
func (p *Plan) leaderDeposed(r *rand.Rand, at time.Duration) []Fault {
	return []Fault{
		{Kind: Transfer, At: at.Round(time.Millisecond), Hosts: []string{p.Patient}},
		{
			Kind: Strand, At: at.Round(time.Millisecond) + within(r, time.Second, 2*time.Second), For: within(r, 4*time.Second, 6*time.Second),
			Hosts: []string{leaderNow}, Read: true,
		},
	}
}

// leaderFollowed has the patient server lead, and cuts it off together with a member and a holder of locks, for longer than what it promises
// them lasts: it goes on answering them for a while when there is another leader already, which they do not hear of. Those who wait for
// what they have are with that one.
func (p *Plan) leaderFollowed(r *rand.Rand, at time.Duration) []Fault {
	member, locker := fmt.Sprint("m", r.IntN(p.Members)+1), fmt.Sprint("l", r.IntN(p.Lockers)+1)
	away := Fault{Kind: Transfer, At: at.Round(time.Millisecond), Hosts: []string{p.Patient}}
	gather := Fault{Kind: Gather, At: away.At + time.Second, For: 2 * time.Second, Hosts: []string{member}}
	cut := Fault{Kind: Partition, At: gather.At + gather.For + within(r, 0, time.Second), Side: map[string]int{}}
	cut.For = max(p.lasts(member), p.lasts(locker)) + within(r, 2*time.Second, 4*time.Second)
	for _, h := range p.all() {
		cut.Side[h] = 1
	}
	cut.Side[member], cut.Side[locker], cut.Side[leaderNow] = 0, 0, 0
	return []Fault{away, gather, cut}
}

// leaderDeaf has a leader hear nothing any more from the other servers, which hear it: they have what was on its way to them, and it
// never learns that they do. Another one is elected, and carries that out. Some ask it for changes just before.
func (p *Plan) leaderDeaf(r *rand.Rand, at time.Duration) []Fault {
	return []Fault{{
		Kind: Deaf, At: at.Round(time.Millisecond), For: within(r, 5*time.Second, 9*time.Second), Hosts: []string{leaderNow},
		Delay: within(r, 30*time.Millisecond, 120*time.Millisecond),
	}}
}

// leaderAlone cuts a leader off, who goes on believing in itself for a while: from the other servers alone, or from all but some
// who keep their leases with it while a new leader waits for their end.
func (p *Plan) leaderAlone(r *rand.Rand, at time.Duration) (list []Fault) {
	one := Fault{Kind: Strand, At: at.Round(time.Millisecond), For: within(r, time.Second, 9*time.Second), Hosts: []string{leaderNow}}
	if r.IntN(3) > 0 {
		one = Fault{Kind: Partition, At: one.At, For: within(r, 5*time.Second, 14*time.Second), Side: p.withLeader(r)}
	} else if one.Delay = late(r, 150*time.Millisecond); r.IntN(2) == 0 {
		one.For = within(r, 700*time.Millisecond, 2*time.Second) // it comes back before it knows
	}
	if r.IntN(4) == 0 {
		return p.andTheLeader(r, one)
	}
	// It leads only when it is made to: the others stand for election before it does.
	list = append(list, Fault{Kind: Transfer, At: one.At, Hosts: []string{p.Patient}})
	one.At += within(r, time.Second, 3*time.Second)
	return append(list, one)
}

// alone cuts a member or a holder of locks off. Often the leader stays who it is: a new one completes no removal until the read
// leases of the former one are over, and by then so is what a member was promised, nearly.
func (p *Plan) alone(r *rand.Rand, at time.Duration, host string) []Fault {
	one := Fault{Kind: Isolate, At: at.Round(time.Millisecond), For: within(r, 4*time.Second, 14*time.Second), Hosts: []string{host}, Delay: late(r, 300*time.Millisecond)}
	return p.andTheLeader(r, one)
}

// memberLate has a member say nothing for a while, and hear everything, while identities go to it and away from it: what it
// confirms then and releases comes when it has been chosen anew.
func (p *Plan) memberLate(r *rand.Rand, at time.Duration) []Fault {
	one := Fault{Kind: OneWay, At: at.Round(time.Millisecond), For: within(r, time.Second, 4*time.Second), Hosts: []string{fmt.Sprint("m", r.IntN(p.Members)+1)}}
	return []Fault{one, {Kind: Shuffle, At: one.At, For: one.For + time.Second, Hosts: one.Hosts}}
}

// late is how slow the links of somebody are who is cut off then: about as much as given, or three times as much; zero for no
// slower than others.
func late(r *rand.Rand, least time.Duration) time.Duration {
	if r.IntN(3) == 0 {
		return 0
	}
	return within(r, least, 3*least)
}

// andTheLeader is a fault, and in one of two cases what ends a leadership shortly after somebody is cut off.
func (p *Plan) andTheLeader(r *rand.Rand, one Fault) []Fault {
	after := Fault{At: one.At + one.lasts() - one.For + within(r, 0, time.Second), Hosts: []string{leaderNow}}
	switch r.IntN(8) {
	case 0, 1:
		after.Kind, after.Hosts = Transfer, nil
	case 2:
		after.Kind, after.For = Kill, within(r, 50*time.Millisecond, 600*time.Millisecond)
	case 3:
		after.Kind, after.For = Strand, within(r, 500*time.Millisecond, 4*time.Second)
	default:
		return []Fault{one}
	}
	return []Fault{one, after}
}

// withLeader puts the leader, a member, and some others who are no servers, on one side, and everybody else on the other.
func (p *Plan) withLeader(r *rand.Rand) map[string]int {
	side := map[string]int{}
	for _, h := range p.all() {
		side[h] = 1
		if h[0] != 's' {
			side[h] = r.IntN(3)
		}
	}
	here := r.IntN(p.Members)
	side[fmt.Sprint("m", here+1)] = 0
	side[fmt.Sprint("m", (here+1)%p.Members+1)] = 1 // who takes over what the first has
	side[fmt.Sprint("c", r.IntN(p.Clients)+1)] = 1  // who asks for it
	side[leaderNow] = 0
	return side
}

// leaderMute has the other servers hear nothing any more from a leader: what is on its way to them comes when they have another one.
// A deaf one hears nothing from them either, and from the other one later still.
func (p *Plan) leaderMute(r *rand.Rand, at time.Duration, deaf bool) []Fault {
	mute := Fault{
		Kind: OneWay, At: at.Round(time.Millisecond), For: within(r, 1300*time.Millisecond, 2900*time.Millisecond), Hosts: []string{leaderNow},
		Delay: within(r, 30*time.Millisecond, 80*time.Millisecond),
	}
	if !deaf {
		return []Fault{mute}
	}
	mute.For = within(r, 4500*time.Millisecond, 6*time.Second)
	return []Fault{mute, {Kind: Deaf, At: mute.At + slowFor + 400*time.Millisecond, For: mute.For + 2*time.Second, Hosts: []string{leaderNow}}}
}
