//go:build !purego && !race

package snapshot

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// vectors says that the processor has the instructions of seek_amd64.s, as all have that were made since 2008.
//
//lint:ignore U1000 it is read there
var vectors = cpu.X86.HasSSSE3 && cpu.X86.HasSSE41

// hashUUID is packUUID of a text of 36 bytes, and the hash of what it read. It is not ok when the text is no UUID, or there
// is no short way on this processor.
//
//go:noescape
func hashUUID(text *byte, seed uint64) (u uuid, hash uint64, ok bool)

// seekUUID is hashUUID, and finds the record with that key of a kind: its page, nil for none, and where in it, zero for
// nowhere, or one of the constants above it. The table must have buckets.
//
//go:noescape
func seekUUID(t *table, text *byte, seed uint64, kind KindNumber) (p *page, at int, u uuid, hash uint64)

// prefetch begins to load the line of the cache at an address, and does not wait for it.
//
//go:noescape
func prefetch(at unsafe.Pointer)

// prefetchAll is prefetch of each line of n bytes that begin at an address.
//
//go:noescape
func prefetchAll(at unsafe.Pointer, n int)
