// Package events keeps what happened lately on one server, in memory: what became of placements, and which members ended,
// in the order of the log. Each server makes it of the entries that it applies, so it begins anew with the process, at the
// snapshot that the process began with, and is filled by what is replayed behind it.
//
// The goroutine that applies entries adds to a Ring; anybody reads. Adding costs the same however much there is, and the
// memory is bounded: the oldest events make room.
package events
