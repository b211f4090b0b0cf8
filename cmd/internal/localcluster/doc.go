// Package localcluster runs a cluster on this machine: servers and demo members, each a process of its own, so that
// killing one is real.
//
// A cluster lives in a directory. cluster.json in it says which processes there are and where they listen; each server
// has a data directory below it, and each process a log. A directory can be started again and again: its servers find
// their state, at other ports when the old ones are taken.
//
// The processes are started from the berth binary itself. They watch a pipe from the process that started them, unless
// the cluster is to outlive it, and end when it does: nothing is left behind, however the starter dies.
package localcluster
