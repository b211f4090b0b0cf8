package lease

// rule is a rule of the protocol, or a part of one, that can be switched off to see what it is for. Those that this package
// keeps are switched off in its own source: see edits.
type rule uint64

// The rules of read leases.
const (
	fromSend      rule = 1 << iota // H1: the holder counts from when it sent the request, not from when the grant arrived
	otherNonce                     // H2: only the answer to the outstanding request counts
	pulseCommit                    // S2: a promise needs a commit in the own term
	pulseSound                     // S2: ... and not acknowledgements that may have been sent before
	pulseTerm                      // S2: ... in the tenure's own term, and not in any in which this server leads
	pulseAfter                     // S2: ... that was proposed after the request was received
	startFirst                     // S1: a tenure begins with its Start, not with the election
	startClean                     // S1: ... with empty tables
	wait                           // S3: a tenure waits for the leases of former ones
	waitStretched                  // S3: ... stretched
	waitLongest                    // S3: ... for the longest ever announced, not its own
	recordStretch                  // S4: a record lasts stretched
	recordFirst                    // S4: ... and is there before the grant is sent
	floorIndex                     // S4: the floor of a new holder is what the leader has published
	floorBarrier                   // S4: ... and not below the barrier, when that index was loaded before
	lowByAck                       // S5: a live record's low rises by acknowledgements alone
	incarnations                   // S5: records and acknowledgements are of one incarnation
	ackPublished                   // H4: what is acknowledged is published
	barrierLows                    // S6: the barrier passes no live holder's low
	barrierOwn                     // S6: ... nor what the leader has published
	barrierTerm                    // S6: ... and moves in the own term alone
	reveal                         // S7: a removal is acknowledged when the barrier has passed it
	mask                           // F3: every other answer that a fresh tombstone gives is "unsettled"
	placeBarrier                   // F3: no Place on a tombstone above the batch's barrier
	absentByPulse                  // S8: "absent" is never said under a lease
	ownFloor                       // S8: the floor of the leader's own lease is its Start
	readLoaded                     // H3: the floor is compared with the index of the very state that answers
	readClock                      // H3: the clock is read after the request arrived
)

// The rules of members' leases.
const (
	keepFromSend   rule = 1 << (iota + 32) // M2: the member counts from when it sent the keepalive
	keepPulse                              // M2: a keepalive is answered after a pulse
	keepPulseAfter                         // M2: ... that was proposed after it was received
	keepNonce                              // M2: only the answer to the outstanding keepalive counts
	keepAlive                              // M3: who is not alive is refused
	keepMark                               // M4: who is marked to expire is refused
	fullTTL                                // M4: a tenure grants everybody the full time
	longestTTL                             // M4: ... the longest ever announced, not its own
	stretchedTTL                           // M4: ... stretched
	fence                                  // F1: an Expire acts in the term that it was made for alone
	membersStart                           // S1: a tenure begins with its Start
	confirmOwn                             // M5: a Confirm's answer counts for the incarnation that sent it
	rejoinDrops                            // M1: who joins again drops what it held
	stopFirst                              // M6: an activation has stopped before it is released
	ownerOnly                              // F5: only its owner, or the owner's end, ends a settled placement
)

// switched are the rules that are off.
var switched rule

func off(r rule) bool { return switched&r != 0 }

// pick is a when the rule is off, and b when it is on.
func pick[T any](r rule, a, b T) T {
	if off(r) {
		return a
	}
	return b
}
