// Package fsm is the replicated state machine: log entries in, the state of the cluster and the answers out.
//
// # The contract of determinism
//
// Every server applies the same entries in the same order, so every server must come to the same state, on every
// processor, whether it applied them now or after a restart, one by one or from a snapshot in their middle. A Machine
// therefore reads no clock, draws no random number, starts no goroutine, does no I/O and lets no map's order reach a
// result. Time comes in with each batch; choices that look random are hashes.
//
// A command that cannot be carried out is refused: it gets a [placement.Verdict] and changes nothing. An entry that
// cannot be decoded, or that breaks an invariant, is an error of Apply, and the server must stop: going on would make
// a state that other servers do not have. That is why commands are validated before they are proposed (Encode), and
// why a new command is written to the log only when every server understands it.
//
// # The rules
//
// The machine keeps the rules F1 to F5 of the lease protocol:
//
//   - F1: a batch acts only in the term that it was made for; otherwise all of it answers WrongTerm.
//   - F2: the barrier of a batch is taken first. Removals that it passed are Absent from then on.
//   - F3: whatever meets a removal above the barrier has no effect and answers Unsettled.
//   - F4: what a settled entry answers never changes in place.
//   - F5: only its owner's Release, or the owner's end, removes a settled entry. Evict sets a flag.
//
// Beside them: epochs grow with the log position and are never reused, also not over a recovery; results that changed
// something are remembered by request, so that a retry is not carried out twice; and the end of a member is one
// small change, whatever it owned.
//
// # Using it
//
// A proposer makes the entry's bytes: [Encode] validates one command and encodes it, [AppendEntry] makes a batch of
// commands for a term, and [EncodeStart] the entry that begins a tenure. The driver (package raftnode) calls Apply for each
// committed entry, in the order of the log, and then makes what Publish returns everybody's:
//
//	m := fsm.New(snapshot.Empty())
//	out, err := m.Apply(index, term, data) // an error: stop the server
//	view := m.Publish()
//
// Output carries the answers for whoever proposed, and, when Machine.Observed is set, what changed for whoever must act
// on it: send an activation request, wake a waiter. The machine itself does nothing but compute.
//
// The wire form is commandpb/command.proto. DESIGN.md has the decisions, and the test of each rule.
package fsm
