// Package sim runs whole clusters in virtual time: real servers, with Raft and their files, real members, clients and holders of
// locks, on a network in memory, with everything that goes wrong decided by a seed. A minute of a cluster's life takes a second or
// so. What everybody saw is written down as a history, and judged by package check.
//
//	go test ./jepsen-lite/sim                 a seed that was not run before, and says which
//	make sim SEEDS=100 FIRST=1                many, so that a seed decides everything; what fails is made smaller
//
// A Plan is what the seed decides beforehand: how many there are, how fast each one's clock runs, within the bound of the lease
// protocol, how long messages take, and the faults: partitions, cuts in one direction, hosts cut off, servers cut off from the other
// servers alone, killed servers, one or all, members that crash, hosts whose messages are held while their clocks go on, broken
// connections, slow links and slow disks, clocks that jump ahead, leadership that is handed over, servers that are replaced,
// identities that are moved to and fro, members and identities on the block list. Most come together, as scenes that leases are
// there for, and each run begins with a scene of its own. When all is over everything must work again, on every server, and the
// servers must agree.
//
// With plain go test the seed decides what is done and when; in which order goroutines run that can run is left to chance, so a
// seed that failed may pass. Build makes the same tests with a Go whose runtime has no chance left in it, by go build -overlay
// of a few lines: then one seed gives one trace, to each message and its moment and to each time that chance was asked, whatever
// else the machine does. One process runs one seed. make determinism shows it, by runs of a seed in several processes.
//
// What such a program must not do is what brings chance back: collect garbage, lock a goroutine to its thread, or wait for what is
// outside of the bubble. An object that is one place further on the heap is enough for another trace, since maps of pointers are in
// the order of where these point.
//
// # What it does not show
//
// Data races, the kernel's TCP and its disks, and real speed: the other fault tests are for those. A killed server is closed behind
// a network that is cut; what its disk had not synced is not lost here (package lossyfs). Messages of one connection wait for each
// other, as TCP has them.
package sim
