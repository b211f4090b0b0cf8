// Package leader is the work of one tenure beside deciding: it keeps the members' leases, asks owners to activate and to
// stop, gives up on those that do not answer, and pushes the barrier over removals.
//
// A Driver lives as long as its tenure. The state machine tells it what changed (a feed of changes, or the whole view
// when some were lost), it acts, and what comes of it goes back as commands, each tied to the epoch that it is about. It
// keeps nothing that matters: the next tenure's driver finds all of it in the state.
//
// Attach gives a member's session, a queue of Orders to activate and to stop, which are added again whenever the member
// comes back; Keepalive answers for its lease after a pulse; Watch tells a waiting call that an identity may have changed.
//
// # Goroutines
//
// Run has one for the feed and one for the clock, and one for each proposal that is on its way. All end with the tenure.
//
// The Driver's lock may be held while a Session's is taken, and while nothing else is.
package leader
