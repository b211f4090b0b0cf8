package snapshot

import (
	"encoding/binary"
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// record is one record of a page: two numbers, and then 16 bytes of a packed UUID or the bytes of another key.
//
//	flags u8 · reason u8 · kind u16 · slot u32 │ epoch or removed u64 │ 16 bytes, or the key to the end of the record
type record []byte

const (
	recordHeaderBytes = 16
	packedRecordBytes = recordHeaderBytes + 16
)

// Bits of a record's first number. In a stored value the kind and flagPacked are zero: they belong to the key.
const (
	flagPhase    = 0b0000_0011 // placement.Phase
	flagDraining = 0b0000_0100
	flagPacked   = 0b0000_1000
	flagAttempt  = 4 // shift, 4 bits
	shiftReason  = 8
	shiftKind    = 16
	shiftSlot    = 32
	keyBits      = flagPacked | 0xffff<<shiftKind
)

// stored is what a record says of its key: an entry that names its owner by slot.
type stored struct {
	bits   uint64 // flags, reason and slot, where a record has them
	number uint64 // the epoch, or for a tombstone the index of the removal
}

// storedEntry is what the index keeps of an entry whose owner has the slot. A tombstone has no owner.
func storedEntry(e placement.Entry, slot uint32) stored {
	if e.Phase == placement.Tombstone {
		return stored{bits: uint64(e.Phase), number: e.Removed}
	}
	s := stored{
		bits:   uint64(e.Phase) | uint64(e.Attempt)<<flagAttempt | uint64(e.Reason)<<shiftReason | uint64(slot)<<shiftSlot,
		number: uint64(e.Epoch),
	}
	if e.Draining {
		s.bits |= flagDraining
	}
	return s
}

func (s stored) phase() placement.Phase   { return placement.Phase(s.bits & flagPhase) }
func (s stored) draining() bool           { return s.bits&flagDraining != 0 }
func (s stored) attempt() uint8           { return uint8(s.bits) >> flagAttempt }
func (s stored) reason() placement.Reason { return placement.Reason(s.bits >> shiftReason) }
func (s stored) slot() uint32             { return uint32(s.bits >> shiftSlot) }

func (s stored) withSlot(slot uint32) stored {
	s.bits = s.bits&(1<<shiftSlot-1) | uint64(slot)<<shiftSlot
	return s
}

func (r record) value() stored {
	return stored{binary.LittleEndian.Uint64(r) &^ keyBits, binary.LittleEndian.Uint64(r[8:])}
}

// set overwrites what the record says of its key.
func (r record) set(s stored) {
	binary.LittleEndian.PutUint64(r, binary.LittleEndian.Uint64(r)&keyBits|s.bits)
	binary.LittleEndian.PutUint64(r[8:], s.number)
}

// init writes a whole record, which is as long as the key says.
func (r record) init(k *key, s stored) {
	head := s.bits | uint64(k.kind)<<shiftKind
	if k.packed {
		head |= flagPacked
		k.uuid.put(r[recordHeaderBytes:])
	} else {
		copy(r[recordHeaderBytes:], k.text)
	}
	binary.LittleEndian.PutUint64(r, head)
	binary.LittleEndian.PutUint64(r[8:], s.number)
}

// key is the record's key, whose text points into the record.
func (r record) key() key {
	k := key{kind: KindNumber(binary.LittleEndian.Uint16(r[2:])), packed: r.packed()}
	if b := r[recordHeaderBytes:]; k.packed {
		k.uuid = uuidOf(b)
	} else {
		k.text = unsafe.String(unsafe.SliceData(b), len(b))
	}
	return k
}

func (r record) packed() bool { return r[0]&flagPacked != 0 }

func (r record) has(k *key) bool {
	if KindNumber(binary.LittleEndian.Uint16(r[2:])) != k.kind || r.packed() != k.packed {
		return false
	}
	b := r[recordHeaderBytes:]
	if k.packed {
		return uuidOf(b) == k.uuid
	}
	return string(b) == k.text
}
