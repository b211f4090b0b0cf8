package snapshot

import (
	"cmp"
	"encoding/binary"
	"slices"

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
	kinds   *kindLoads
}

// kindLoads are the records that name a slot, counted by kind. An editor writes to those of its own generation alone.
type kindLoads struct {
	gen  uint64
	list []kindLoad // ascending by kind
}

type kindLoad struct {
	kind KindNumber
	n    uint32
}

// count adds to, or takes from, the records of a kind.
func (s *slot) count(gen uint64, kind KindNumber, by int) {
	if s.kinds == nil || s.kinds.gen != gen {
		next := &kindLoads{gen: gen}
		if s.kinds != nil {
			next.list = slices.Clone(s.kinds.list)
		}
		s.kinds = next
	}
	i, ok := s.kinds.find(kind)
	if !ok {
		s.kinds.list = slices.Insert(s.kinds.list, i, kindLoad{kind: kind})
	}
	s.kinds.list[i].n += uint32(by)
	if s.kinds.list[i].n == 0 {
		s.kinds.list = slices.Delete(s.kinds.list, i, i+1)
	}
}

func (k *kindLoads) find(kind KindNumber) (int, bool) {
	return slices.BinarySearchFunc(k.list, kind, func(l kindLoad, kind KindNumber) int { return cmp.Compare(l.kind, kind) })
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
