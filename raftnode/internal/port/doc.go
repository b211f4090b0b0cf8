// Package port is the one TCP port on which the servers of a cluster talk to each other: Raft's own messages, the calls
// that servers make to each other (gRPC), and the exchange by which servers find out about each other before there is
// a cluster.
//
// Every connection begins with a greeting and its reply, in which both ends say who they are: cluster, server,
// incarnation of the disk. A connection that reaches another server than was meant, or comes from another cluster, from
// a disk that was wiped, or from a server that was removed, is refused with a reason before Raft or gRPC see a byte.
// Servers are therefore dialled by name, and where a name is found may change at any time.
//
// Open listens. Raft is the port's part for Raft, a stream layer whose addresses are names; Peer is the listener for gRPC,
// and DialPeer its way out; Hello asks an address who is there. The server behind the port is its Host.
//
//	greeting, reply:  "BRTH" │ version u8 = 1 │ kind u8 │ length u16, big-endian │ JSON, length bytes
//
// # Goroutines
//
// One accepts connections; each new connection has one until its greeting is done. Close ends them all, closes every
// connection that was made or accepted, and waits.
package port
