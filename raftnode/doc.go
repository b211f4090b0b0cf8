// Package raftnode is one berth server, as a library: it keeps the cluster's state with the others, and answers the API.
//
// Open starts a server from a Config and returns at once; the server finds the others, forms the cluster with them or
// takes part in it again, and serves. The same Config is right for every start. Wait returns when the server has ended,
// by Close or by itself; the error says why, and what to do.
//
// # Parts
//
//	Node            this package: finds the others, wires the parts, and ends them in order
//	lease           the lease protocol, pure
//	raftnodetest    a network and disks for tests, in virtual time
//	internal/storage   the data directory
//	internal/port      the port between servers
//	internal/group     hashicorp/raft, hosted safely; commands and tenures
//	internal/leader    the work of a tenure: members' leases, activations, the barrier
//	internal/api       the API's calls
//
// # Goroutines
//
//	accept        port: connections of other servers              ends with Close
//	discover      asks the others who they are                    ends with Close
//	run           forms or joins the cluster, then registers      ends with Close
//	tenure        one per tenure: leader.Driver, promotions       ends with the tenure
//	serve ×3      gRPC, gRPC between servers, HTTP                ends with Close
//	read          one while reads of this server ask the leader   ends when none does
//
// # Locks
//
// Node.mu guards what changes as the cluster forms; it is never held while calling out. The packages below have locks of
// their own and call nothing of Node with one held, but for port.Host, whose methods take Node.mu alone.
package raftnode
