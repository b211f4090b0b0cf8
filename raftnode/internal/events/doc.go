// Package events keeps what happened lately on one server, in memory: what became of placements, members, locks, kinds and the
// block list, in the order of the log. Each server makes it of the entries that it applies, so it begins anew with the process, at the
// snapshot that the process began with, and is filled by what is replayed behind it.
//
// The goroutine that applies entries adds to a Ring; anybody reads. Adding costs the same however much there is, and the
// memory is bounded: the oldest events make room. Who reads them one after the other keeps a place (Reading), which holds
// nothing, and is told when the events there have made room.
package events
