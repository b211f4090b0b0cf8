// Package lookuptest is a berth cluster in the process of a test, with faults on demand: for tests of programs that use
// lookupclient.
//
//	func TestCart(t *testing.T) {
//		c := lookuptest.Start(t, lookuptest.Config{Members: []lookupclient.MemberConfig{
//			{Name: "shop-1", Kinds: map[string]lookupclient.Kind{"cart": {Run: runCart}}},
//		}})
//		p, _, err := c.Client().Place(ctx, placement.Identity{Kind: "cart", Key: "42"})
//		c.CutMember("shop-1") // its activations end by its own clock; then the cart can be placed elsewhere
//		c.Kill(c.WaitLeader())
//		…
//	}
//
// The servers are real ones, with Raft and data directories, on a network in memory. Its hosts are the servers, named s1, s2 …,
// the clients, and the members by their names. Links between hosts are cut and healed; a server is killed and started
// again on its data.
//
// # Virtual time
//
// Within a bubble of testing/synctest the same cluster works in virtual time: leases end, elections pass and backoffs wait
// without taking any, and a test that waits an hour for an expiry is done at once. Start it within the bubble. What reads a clock
// of its own is told about the cluster's: give [Cluster.Now] to SessionConfig.Now and MemberConfig.Now; members that this
// package joins have it.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := lookuptest.Start(t, lookuptest.Config{})
//		s, err := c.Client().OpenSession(ctx, lookupclient.SessionConfig{Holder: "ci", Now: c.Now})
//		…
//	})
//
// What neither shows: the speed of disks and networks, and processes that are really stopped; for that there is berth dev.
package lookuptest
