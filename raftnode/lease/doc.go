// Package lease is the lease protocol of a cluster as arithmetic and state: who may promise what to whom, and until when.
// It reads no clock, waits for nothing and sends nothing. Instants come in as arguments, decisions come out; package
// raftnode drives it with a clock, with the log and with the network.
//
// The rules have the names that they have in raftnode/DESIGN.md. This package holds those of the leader's tenure (S1, S3,
// S6) and of the members' leases as the leader keeps them (M2 to M4). The member's own side is in package lookupclient.
//
// A [Tenure] is what one leadership knows and promises: Begin makes it when its Start is committed, and Barrier says up to
// which log index removals are visible to everybody. [Members] is its table of the members' leases:
//
//	m := lease.NewMembers(begun, maxTTL, alive)
//	ok := m.Answer(inc, isAlive, t0) // a keepalive, after a pulse proposed at t0 has committed
//	due := m.Expire(now)             // marks them, and their expiry may be proposed
//
// # Time
//
// An [Instant] is read from one clock that counts pauses and is never set. No two clocks are compared: a lease that is
// granted for d is counted by its holder from when it asked, and by its granter for d times 1+ρ from a moment after
// that ([Stretch]), so that it has ended for the holder before it has for the granter, as long as no two clocks' rates
// differ by more than the factor 1+ρ. ρ is 1/4: chrony alone may slew two clocks apart by 1.18.
package lease
