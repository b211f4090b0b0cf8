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
//	internal/gateway, internal/peerv1   generated: JSON for the API, and the calls between servers
//
// A program that is a server does little more than this:
//
//	n, err := raftnode.Open(raftnode.Config{Name: "s1", DataDir: "/var/lib/berth", Join: peers, Expect: 3})
//	if err != nil {
//		return err // a *RefusedError says what to do
//	}
//	defer n.Close(context.Background())
//	return n.Wait() // ErrReopen: open it again with the same Config
//
// Restore makes the data directory of a new cluster's first server from a snapshot file.
//
// With Config.TracerProvider the API's calls are traced, down to the log entries that carry them; Node.Metrics is what is
// measured.
//
// DESIGN.md has the decisions: how Raft is hosted, what a tenure may promise, how servers find each other.
//
// # Goroutines
//
//	accept        port: connections of other servers              ends with Close
//	discover      asks the others who they are                    ends with Close
//	run           forms or joins the cluster, then registers      ends with Close
//	tenure        one per tenure: leader.Driver, promotions       ends with the tenure
//	serve ×4      gRPC on its port and for the JSON gateway, gRPC between servers, HTTP; ends with Close
//	health        keeps the gRPC health service                   ends with Close
//	read          one while reads of this server ask the leader   ends when none does
//	end           closes the parts in order when the server ends  the last one
//
// # Locks
//
// Node.mu guards what changes as the cluster forms; it is never held while calling out. The packages below have locks of
// their own and call nothing of Node with one held, but for port.Host, whose methods take Node.mu alone.
package raftnode
