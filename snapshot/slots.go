package snapshot

import (
	"encoding/binary"

	"github.com/seed13d31b7f/berth/placement"
)

// A slot stands for one incarnation of a member in the records of the index: four bytes instead of a name, and one
// place to write when a member dies. Slots are numbered by each server for itself; nothing that is replicated depends
// on the numbers. A slot is used again only when no record names it.
type slot struct {
	member  *placement.Member // nil while the slot is free
	settled uint32            // records that name it, by phase
	pending uint32
	digest  uint64 // sum of the digests of those records
	hidden  bool   // the incarnation ended at or below the barrier: its records mean nothing any more
}

const slotChunk = 64

// slots is an immutable array of slots; set writes only to chunks of its generation.
type slots struct {
	count   int
	chunks  []*slotChunkOf
	rootGen uint64
}

type slotChunkOf struct {
	gen  uint64
	slot [slotChunk]slot
}

// at returns a slot, which must not be changed.
func (s *slots) at(i uint32) *slot { return &s.chunks[i/slotChunk].slot[i%slotChunk] }

// edit returns a slot to write to.
func (s *slots) edit(gen uint64, i uint32) *slot {
	s.own(gen)
	c := s.chunks[i/slotChunk]
	if c.gen != gen {
		next := *c
		next.gen = gen
		c = &next
		s.chunks[i/slotChunk] = c
	}
	return &c.slot[i%slotChunk]
}

// add makes one more slot.
func (s *slots) add(gen uint64) uint32 {
	s.own(gen)
	if s.count%slotChunk == 0 {
		s.chunks = append(s.chunks, &slotChunkOf{gen: gen})
	}
	s.count++
	return uint32(s.count - 1)
}

func (s *slots) own(gen uint64) {
	if s.rootGen != gen {
		s.chunks = append(make([]*slotChunkOf, 0, len(s.chunks)+1), s.chunks...)
		s.rootGen = gen
	}
}

func incarnationKey(inc placement.Incarnation) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(inc))
	return string(b[:])
}
