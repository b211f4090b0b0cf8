// Package raftnodetest is what tests of servers run on: a network in memory whose links can be cut and delayed one way
// or both, and disks that stall. All of it works in the virtual time of testing/synctest.
package raftnodetest
