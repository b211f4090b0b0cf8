//go:build !amd64 || purego || race

package snapshot

import "unsafe"

// There is no short way on this processor, nor where the race detector is to see what is read: package snapshot then does in
// Go what seek_amd64.go says of these functions.

func hashUUID(*byte, uint64) (u uuid, hash uint64, ok bool) { return u, 0, false }

func seekUUID(*table, *byte, uint64, KindNumber) (p *page, at int, u uuid, hash uint64) {
	return nil, seekNot, u, 0
}

// prefetch loads a byte and has no use for it, so nothing waits for it but the end of the instruction.
func prefetch(at unsafe.Pointer) { _ = *(*byte)(at) }

// prefetchAll leaves it to the processor, which sees that line follows line.
func prefetchAll(unsafe.Pointer, int) {}
