package sim

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// closes adds, to two runs of three, a scene at its end, when everything else is over: some promises are broken in sight only where nothing
// else happens for long enough, for a new leader completes no removal at first. Everything before is as it is without.
func (p *Plan) closes(r *rand.Rand) {
	at := (max(p.Length, over(p.Faults)) + 3*time.Second).Round(time.Millisecond)
	switch r.IntN(6) {
	case 0:
		p.Faults = append(p.Faults, p.handedOver(r, at)...)
	case 1:
		p.Faults = append(p.Faults, p.estranged(r, at)...)
	case 2:
		p.Faults = append(p.Faults, p.contested(r, at)...)
	case 3:
		p.Faults = append(p.Faults, p.answeredLate(r, at)...)
	default:
		return
	}
	p.Length = over(p.Faults)
}

// handedOver has a member, or a holder of locks, be cut off for longer than its lease lasts, just before the leadership is handed over: the new
// leader does not know what the former one promised.
func (p *Plan) handedOver(r *rand.Rand, at time.Duration) (list []Fault) {
	host := fmt.Sprint("m", r.IntN(p.Members)+1)
	if r.IntN(2) == 0 {
		host = fmt.Sprint("l", r.IntN(p.Lockers)+1)
	} else {
		list = append(list, Fault{Kind: Gather, At: at, For: 2 * time.Second, Hosts: []string{host}})
		at += 2 * time.Second
	}
	away := Fault{Kind: Isolate, At: at, For: p.lasts(host) + within(r, time.Second, 3*time.Second), Hosts: []string{host}}
	over := Fault{Kind: Transfer, At: away.At + within(r, 20*time.Millisecond, 300*time.Millisecond)}
	return append(list, away, over)
}

// estranged has a leader that believes in itself for long be cut off from the other servers, and from nobody else, until what it promised last is over
// for its successor: members and holders of locks go on with it meanwhile.
func (p *Plan) estranged(r *rand.Rand, at time.Duration) []Fault {
	return []Fault{
		{Kind: Transfer, At: at, Hosts: []string{p.Patient}},
		{Kind: Strand, At: at + within(r, time.Second, 2*time.Second), For: within(r, 11*time.Second, 15*time.Second), Hosts: []string{leaderNow}},
	}
}

// contested has servers hear late from each other, so late that two of them may stand for election at once, when the leader is killed, and killed
// again.
func (p *Plan) contested(r *rand.Rand, at time.Duration) (list []Fault) {
	for _, s := range p.hosts("s", p.Servers) {
		list = append(list, Fault{Kind: Slow, At: at, For: 12 * time.Second, Hosts: []string{s}, Delay: within(r, 80*time.Millisecond, 200*time.Millisecond)})
	}
	for n := range 3 {
		list = append(list, Fault{Kind: Kill, At: at + time.Duration(1+4*n)*time.Second, For: within(r, 100*time.Millisecond, time.Second), Hosts: []string{leaderNow}})
	}
	return list
}

// answeredLate has a holder of locks, who keeps the one that it has since its links are slow, hear late from everybody, and be heard at once, until
// nothing that it says is heard: the answer to what it said last still comes, and from then on it hears nothing, for longer than its lease lasts.
// All of that has the time of one name of the locks, for nobody waits for the former ones.
func (p *Plan) answeredLate(r *rand.Rand, at time.Duration) []Fault {
	host := []string{fmt.Sprint("l", r.IntN(p.Lockers)+1)}
	slow := Fault{Kind: Slow, At: (at + useFor - 1).Truncate(useFor) + 1200*time.Millisecond, Delay: within(r, 10*time.Millisecond, 50*time.Millisecond), Hosts: host}
	lag := Fault{Kind: Lag, At: slow.At + within(r, 2500*time.Millisecond, 3500*time.Millisecond), Delay: within(r, 700*time.Millisecond, 900*time.Millisecond), Hosts: host}
	mute := Fault{Kind: OneWay, At: lag.At + within(r, 2200*time.Millisecond, 3*time.Second), Hosts: host}
	away := Fault{Kind: Isolate, At: mute.At + 2*lag.Delay + 4*p.Latency, For: p.lasts(host[0]) + within(r, time.Second, 3*time.Second), Hosts: host}
	slow.For, lag.For, mute.For = away.At-slow.At, away.At-lag.At, away.At+away.For-mute.At
	return []Fault{slow, lag, mute, away}
}

// lasts is how long a lease lasts at most, by the true clock, of somebody on a host.
func (p *Plan) lasts(host string) time.Duration {
	return ttl * 100 / time.Duration(p.Rates[host])
}
