package placement

// Phase is where a placement is in its life.
type Phase uint8

// The phases of a placement. The zero value is Absent.
const (
	// Absent: nobody owns the identity, and a Place will choose an owner.
	Absent Phase = iota
	// Pending: an owner is chosen and holds the activation lock, but has not confirmed yet.
	Pending
	// Settled: the owner confirmed. Only its own release, or its death, ends this phase.
	Settled
	// Tombstone: the placement was removed, and somebody may still rightfully answer Settled. Nothing can be
	// decided about the identity until the barrier reaches the removal.
	Tombstone
)

var phases = [...]string{"absent", "pending", "settled", "tombstone"}

// String is the phase's word in lower case.
func (p Phase) String() string {
	if int(p) < len(phases) {
		return phases[p]
	}
	return "unknown"
}

// AttemptsMax is the number of candidates that one placement may be offered to, so that an attempt fits four bits.
const AttemptsMax = 16

// Entry is what the cluster knows of one identity. The zero value is an Absent entry.
type Entry struct {
	// Phase says which of the other fields mean something.
	Phase Phase
	// Owner is the incarnation that owns a Pending or Settled entry.
	Owner Incarnation
	// Epoch is the fencing token of a Pending or Settled entry, made by the command that chose the owner.
	Epoch Epoch
	// Attempt is the number of candidates before Owner that failed to activate, 0 to AttemptsMax-1.
	Attempt uint8
	// Draining says that the owner was asked to stop and release a Settled entry. It changes no answer.
	Draining bool
	// Reason says how the owner of a Pending or Settled entry was chosen.
	Reason Reason
	// Removed is the log index of the removal that made a Tombstone.
	Removed uint64
}

// Reason says how the owner of a placement was chosen. The numbers are part of the log and of snapshots: a reason is
// never renumbered.
type Reason uint8

// The reasons of a choice.
const (
	// ReasonNone stands in entries that have no owner.
	ReasonNone Reason = 0
	// ReasonRendezvous: the highest rendezvous score among the eligible members.
	ReasonRendezvous Reason = 1
	// ReasonOnly: one member was eligible.
	ReasonOnly Reason = 2
	// ReasonNextCandidate: the candidates before this one failed to activate.
	ReasonNextCandidate Reason = 3
	// ReasonLeastLoaded: the least load for its weight among the eligible members.
	ReasonLeastLoaded Reason = 4
	// ReasonLocal: the request came from the member, or from near by.
	ReasonLocal Reason = 5
	// ReasonRandom: drawn by the position in the log.
	ReasonRandom Reason = 6
	// ReasonProtoActorGo: the highest score of protoactor-go.
	ReasonProtoActorGo Reason = 7
	// ReasonMoved: an operator moved the identity to the member.
	ReasonMoved Reason = 8
)

var reasons = [...]string{
	"none", "rendezvous", "only-eligible", "next-candidate", "least-loaded", "local", "random", "protoactor-go",
	"moved",
}

// String is the reason's word in lower case.
func (r Reason) String() string {
	if int(r) < len(reasons) {
		return reasons[r]
	}
	return "unknown"
}

// Seen gives the entry that everybody must see in place of a stored one, given what became of its owner and where the
// barrier stands. died is the log index at which the owner's incarnation ended, zero while it is alive; it is not
// looked at for entries without an owner.
//
// This is how the death of a member with a million placements is one small change: its entries stay as they are,
// and every look at them passes here: an entry whose owner died at r is Tombstone(r).
func (e Entry) Seen(died, barrier uint64) Entry {
	switch e.Phase {
	case Pending:
		// A Pending entry was never answered by a server on its own, so nobody has to be waited for.
		if died != 0 {
			return Entry{}
		}
	case Settled:
		if died != 0 {
			return tombstone(died, barrier)
		}
	case Tombstone:
		return tombstone(e.Removed, barrier)
	}
	return e
}

func tombstone(removed, barrier uint64) Entry {
	if removed <= barrier {
		return Entry{}
	}
	return Entry{Phase: Tombstone, Removed: removed}
}
