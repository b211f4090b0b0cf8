// Package placement is the domain of berth: which identities there are, which members may host them, what
// phase a placement is in, and who is chosen as its owner. It holds values and functions from values to values;
// it reads no clock, starts no goroutine, does no I/O and uses no floating point, so that every replica on every
// processor decides the same.
//
// # Vocabulary
//
//   - An [Identity] is the name of one virtual actor: kind/key, for example cart/42.
//   - A [Member] is a process that hosts activations of some kinds. Each of its lives is an [Incarnation].
//   - An [Entry] is what the cluster knows of one identity: its [Phase], its owner and its [Epoch].
//   - An [Epoch] is a fencing token: a number that only grows and is never reused.
//   - A [Roster] is the set of members as of one log index.
//   - A [Strategy] picks the owner among the members that may host a kind. [KindSettings] name it.
//   - A [Session] is a lease that locks hang on. A [Claim] is its part in a lock: it holds the lock, or waits for it.
//   - A [Verdict] is the answer of a decision.
//   - [Locker], [Storage] and [Activator] are the contracts that adapters of actor frameworks build on; package
//     placementtest says whether an implementation keeps them.
//
// # Using it
//
// The state machine (package fsm) looks at an entry as everybody must see it, takes it through one step, and keeps what
// comes out. A step that is refused returns the entry as it was, and the verdict says why:
//
//	seen := entry.Seen(died, barrier)
//	next, verdict := seen.Place(epoch, false, func() placement.Choice {
//		q := placement.Query{Identity: id, Load: load}
//		return placement.Rendezvous{}.Choose(&q, roster.Eligible(nil, id.Kind))
//	})
//
// Texts from outside become names by [ParseIdentity], [MemberID.Validate] and [Member.Validate]. DESIGN.md has the
// decisions, and REQUIREMENTS.md traces every requirement of the product to code and test.
//
// # The laws
//
// A placement goes through four phases:
//
//	        Place                 Confirm                 Release, owner died at r
//	Absent ───────▶ Pending ───────────────────▶ Settled ─────────────────────────▶ Tombstone(r)
//	   ▲               │ Fail, Evict, Release, owner died                                │
//	   └───────────────┴───────────────────────────────◀─────────────────────────────────┘
//	                                                              barrier ≥ r
//
// One owner: a Pending or Settled entry names exactly one incarnation, and only that incarnation's own release
// or death takes a Settled entry from it. What a Settled entry answers never changes in place: another owner
// means a removal and a new Place, with a higher epoch. A Tombstone hides the removal from everybody until the
// barrier has passed it, since until then some server may rightfully still answer Settled.
//
// Time and liveness come in as arguments: whoever calls says which incarnations are alive and where the barrier
// stands.
package placement
