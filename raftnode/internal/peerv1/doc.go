// Package peerv1 is what the servers of one cluster ask each other over the Raft port, generated from peer.proto: ReadIndex
// proves the leader's tenure, Progress says how far a server is, Register makes a server known. Who asks is known from the
// greeting of the connection (package port).
package peerv1
