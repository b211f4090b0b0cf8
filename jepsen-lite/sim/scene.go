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
	lasts := func(from, to time.Duration) time.Duration {
		return (from + time.Duration(r.Int64N(int64(to-from)))).Round(time.Millisecond)
	}
	one := Fault{At: at.Round(time.Millisecond), For: lasts(time.Second, 9*time.Second)}
	switch r.IntN(5) {
	case 0: // a server with a read lease
		one.Kind, one.Hosts = Strand, []string{followerNow}
	case 1: // a leader, who goes on believing in itself for a while
		one.Kind, one.Hosts = Strand, []string{leaderNow}
	case 2: // and with it some who keep their leases with it
		one.Kind, one.Side, one.For = Partition, p.withLeader(r), lasts(2*time.Second, 18*time.Second)
	case 3: // a member
		one.Kind, one.Hosts, one.For = Isolate, []string{fmt.Sprint("m", r.IntN(p.Members)+1)}, lasts(3*time.Second, 18*time.Second)
	case 4: // a holder of locks
		one.Kind, one.Hosts, one.For = Isolate, []string{fmt.Sprint("l", r.IntN(p.Lockers)+1)}, lasts(3*time.Second, 18*time.Second)
	}
	var list []Fault
	if leads := one.Kind == Partition || one.Hosts[0] == leaderNow; leads && p.Patient != "" && r.IntN(4) > 0 {
		// It leads only when it is made to: the others stand for election before it does.
		list = append(list, Fault{Kind: Transfer, At: one.At, Hosts: []string{p.Patient}})
		one.At += lasts(500*time.Millisecond, 2*time.Second)
	}
	list = append(list, one)
	after := Fault{At: one.At + lasts(0, 2*time.Second), Hosts: []string{leaderNow}}
	switch r.IntN(4) {
	case 0:
		after.Kind, after.Hosts = Transfer, nil
	case 1:
		after.Kind, after.For = Kill, lasts(50*time.Millisecond, 600*time.Millisecond)
	case 2:
		after.Kind, after.For = Strand, lasts(500*time.Millisecond, 4*time.Second)
	default:
		return list
	}
	return append(list, after)
}

// withLeader puts the leader, and some of those who are no servers, on one side, and everybody else on the other.
func (p *Plan) withLeader(r *rand.Rand) map[string]int {
	side := map[string]int{}
	for _, h := range p.all() {
		side[h] = 1
		if h[0] != 's' {
			side[h] = r.IntN(3)
		}
	}
	side[leaderNow] = 0
	return side
}
