// Package lease is the lease protocol of a cluster as arithmetic and state: who may promise what to whom, and until when.
// It reads no clock, waits for nothing and sends nothing. Instants come in as arguments, decisions come out; package
// raftnode drives it with a clock, with the log and with the network.
//
// The rules have the names that they have in raftnode/DESIGN.md. This package holds the leader's (S1, S3 to S6, S8; M2 to M4),
// the holders' of read leases (H1 to H5) and what members and sessions reckon with (M2, M5). S2, S7 and M6 are kept by those
// who drive it.
//
// A [Tenure] is what one leadership knows and promises: Begin makes it when its Start is committed, Grant and Ack keep its
// table of read leases, and Barrier says up to which log index removals are visible to everybody:
//
//	t := lease.Begin(lease.Started{…}, now)
//	g, refusal := t.Grant(request, t0, index, now) // after a pulse proposed at t0, behind the request, has committed
//	t.Ack(holder, published, now)                  // the holder shows everybody what it has published
//	b := t.Barrier(now, index, term)               // goes into the next batch
//
// A [Holder] is the other side, and what it is granted is a [Lease]:
//
//	nonce, ok := h.Request(now)      // before it is sent
//	l, ok := h.Granted(g)            // l is published; it serves a state when it says so
//	ok = l.Serves(view.Index, now)   // view, then l, then now, all read after the read arrived
//
// [Members] is a tenure's table of the members' leases, [Sessions] that of the sessions', and [Kept] a member's own side:
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
