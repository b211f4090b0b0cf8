// Package group hosts hashicorp/raft: one server's part in the Raft group, from the bytes of a proposal to the published
// view. Everything that the library is known to do wrong is answered here and in package storage; raftnode/DESIGN.md has
// the list, each with its test.
//
// Open takes part in the group; Propose and ProposeAll propose commands while this server has a Tenure; Pulse proves it;
// View and Await read what this server has published.
//
// # Invariants
//
//   - Raft's state changes on Raft's own goroutine alone: there is no heartbeat fast path.
//   - What a future of the library says is waited for where shutting down cannot strand it.
//   - Errors and stalls of the disk end the server.
//   - Leadership is a Tenure: it begins with a committed Start and is named by its term. What is promised to anybody
//     follows a batch that was proposed after the request arrived and committed in that term. The library's own
//     VerifyLeader, State, LastContact and leader lease prove nothing and are asked for hints only.
//   - At most two batches are in flight.
//   - One leadership transfer per term and target, and only to a server that has everything.
//
// # Parts
//
//	transport   the library's network transport, made safe
//	machine     the library's FSM around fsm.Machine: applies, publishes, feeds
//	batcher     commands and pulses into log entries, and the three outcomes
//	tenure      from a hint of leadership to a Start, and the end
//	tracing     the spans of commands, when somebody traces them
//	membership  servers come as non-voters, are promoted when they have caught up, and go
//
// # Goroutines
//
// Beside the library's own: two batch workers, one watcher of leadership, one that asks for snapshots when they are due, and
// one that wakes those who read events, for the life of a Group; one for each leadership transfer that is waited for, and one for each message with entries. Those
// that OnTenure starts are its caller's.
//
// # Locks
//
// The batcher's may be held while a Tenure's or a call's is taken. The Feed's and the waiters' are taken on the library's
// FSM goroutine and held for moments. None is held while something is waited for.
package group
