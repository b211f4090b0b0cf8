// Package checktest makes histories that are right: those of a small cluster that exists only as a list of things to do at
// moments, with the real state machine in its middle. Checkers must accept them, whatever the seed; a history with one thing in
// it made wrong must be refused.
//
// The cluster keeps the promises by the plainest means. One list of entries is the log. A server shows the state after some of
// them, never less than the barrier needs, and answers alone for what is settled there. A member believes between the consent to
// its confirmation and the moment at which it gives up; when it is killed, the cluster waits before it says so. A client's answer
// may come late, or never.
//
//	world := checktest.Make(checktest.Config{Seed: 1, Ops: 1000})
//	h, err := history.FromEvents(world.Events)
package checktest
