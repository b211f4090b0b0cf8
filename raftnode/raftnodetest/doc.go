// Package raftnodetest is what tests of servers run on: a network in memory whose links can be cut and delayed one way
// or both, and disks that stall. All of it works in the virtual time of testing/synctest: a test makes everything within
// one bubble, an hour of a cluster's life takes a moment, and a goroutine that is left behind fails the test.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := raftnodetest.NewCluster(t, 3, nil)
//		defer c.Close()
//		l := c.Leader(nil)
//		l.Isolate(true)          // from the other servers, not from clients
//		next := c.Leader(l)      // waits for another one
//		conn := c.Dial("client", next)
//		…
//	})
//
// The types are [Cluster] with its [Server]s, which can be stopped, killed, isolated and started again on their disks;
// [Network] and [Host], also for clients and members on hosts of their own; and [Disk], a log that is slow, fails or
// stalls, for tests below the Node. Servers have real data directories and real Raft; the clock of leases is [Now].
//
// What virtual time does not show: the speed of disks and processors, and clocks that run at different rates.
package raftnodetest
