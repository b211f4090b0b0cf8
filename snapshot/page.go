package snapshot

import (
	"bytes"
	"encoding/binary"
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// A page holds the records of one bucket in one block of memory without pointers, so the garbage collector never
// looks inside, and a copy is one memmove:
//
//	gen u64 · count u16 · unused u16 · size u32 │ tag × count │ pad to even │ offset u16 × count │ records
//	└────────────── 16 bytes ──────────────────┘└───────────────────── payload, size bytes ──────────────┘
//
// A tag is the top byte of a key's hash: a look-up compares all tags of the page at once and touches only the
// records whose tag is equal. An offset counts in units of two bytes from the start of the payload. A record is
//
//	flags u8 · reason u8 · kind u16 · slot u32 · epoch or removed u64 │ 16 bytes, or length u16 and bytes │ pad
//
// A page is written only while it belongs to the editor's current generation; published ones never change.
type page struct {
	gen   uint64
	count uint16
	_     uint16
	size  uint32
	// The payload follows.
}

const (
	pageHeaderBytes   = 16
	recordHeaderBytes = 16
	// A record's offset is a uint16 in units of two bytes.
	pagePayloadBytesMax = 2 * (1<<16 - 1)
)

// Bits of a record's flags.
const (
	flagPhase    = 0b0000_0011 // placement.Phase
	flagDraining = 0b0000_0100
	flagPacked   = 0b0000_1000
	flagAttempt  = 4 // shift
)

// stored is a record as the index keeps it: an entry that names its owner by slot.
type stored struct {
	phase    placement.Phase
	draining bool
	attempt  uint8
	reason   placement.Reason
	slot     uint32
	number   uint64 // the epoch, or for a tombstone the index of the removal
}

func newPage(gen uint64, count, size int) *page {
	if size > pagePayloadBytesMax {
		// The buckets are so many that this takes more equal hashes than 64 bits and a secret seed allow.
		panic("snapshot: a page of the index is over its largest size")
	}
	words := make([]uint64, (pageHeaderBytes+size+7)/8)
	p := (*page)(unsafe.Pointer(&words[0]))
	p.gen, p.count, p.size = gen, uint16(count), uint32(size)
	return p
}

func (p *page) payload() []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(p), pageHeaderBytes)), p.size)
}

func (p *page) clone(gen uint64) *page {
	q := newPage(gen, int(p.count), int(p.size))
	copy(q.payload(), p.payload())
	return q
}

// recordsAt is where the records of a page of n begin in the payload.
func recordsAt(n int) int { return (n+1)&^1 + 2*n }

func offsetAt(payload []byte, n, i int) int {
	return 2 * int(binary.LittleEndian.Uint16(payload[(n+1)&^1+2*i:]))
}

// find returns the number of the record with the key, -1 when there is none.
func (p *page) find(tag byte, k key) int {
	if p == nil {
		return -1
	}
	b, n := p.payload(), int(p.count)
	for from := 0; from < n; {
		i := bytes.IndexByte(b[from:n], tag)
		if i < 0 {
			return -1
		}
		i += from
		if recordHasKey(b[offsetAt(b, n, i):], k) {
			return i
		}
		from = i + 1
	}
	return -1
}

// record returns the bytes of the record, header and key.
func (p *page) record(i int) []byte {
	b := p.payload()
	r := b[offsetAt(b, int(p.count), i):]
	return r[:recordBytes(r)]
}

// with returns a page of generation gen that holds one more record. The page itself is unchanged.
func (p *page) with(gen uint64, tag byte, k key, s stored) *page {
	n, size := 0, 0
	var old []byte
	if p != nil {
		n, old = int(p.count), p.payload()
		size = len(old) - recordsAt(n)
	}
	from, to := recordsAt(n), recordsAt(n+1)
	add := recordSize(k)
	q := newPage(gen, n+1, to+size+add)
	b := q.payload()
	copy(b, old[:min(n, len(old))])
	b[n] = tag
	for i := range n {
		putOffset(b, n+1, i, offsetAt(old, n, i)-from+to)
	}
	copy(b[to:], old[min(from, len(old)):])
	putOffset(b, n+1, n, to+size)
	putRecord(b[to+size:], k, s)
	return q
}

// filter returns a page of generation gen that holds the records that keep wants, nil when it wants none.
func (p *page) filter(gen uint64, keep func(record []byte) bool) *page {
	var kept [][]byte
	var tags []byte
	size := 0
	b, n := p.payload(), int(p.count)
	for i := range n {
		if r := p.record(i); keep(r) {
			kept, tags, size = append(kept, r), append(tags, b[i]), size+(len(r)+1)&^1
		}
	}
	return buildPage(gen, tags, kept, size)
}

// buildPage makes a page of whole records. size is the sum of their lengths, each rounded up to even.
func buildPage(gen uint64, tags []byte, records [][]byte, size int) *page {
	n := len(records)
	if n == 0 {
		return nil
	}
	q := newPage(gen, n, recordsAt(n)+size)
	b := q.payload()
	copy(b, tags)
	at := recordsAt(n)
	for i, r := range records {
		putOffset(b, n, i, at)
		copy(b[at:], r)
		at += (len(r) + 1) &^ 1
	}
	return q
}

func putOffset(payload []byte, n, i, offset int) {
	binary.LittleEndian.PutUint16(payload[(n+1)&^1+2*i:], uint16(offset/2))
}

// recordSize is the room that a record with the key takes in a page.
func recordSize(k key) int {
	if k.packed {
		return recordHeaderBytes + 16
	}
	return (recordHeaderBytes + 2 + len(k.bytes) + 1) &^ 1
}

// recordBytes is the length of the record that starts r, without padding.
func recordBytes(r []byte) int {
	if r[0]&flagPacked != 0 {
		return recordHeaderBytes + 16
	}
	return recordHeaderBytes + 2 + int(binary.LittleEndian.Uint16(r[recordHeaderBytes:]))
}

func recordHasKey(r []byte, k key) bool {
	if KindNumber(binary.LittleEndian.Uint16(r[2:])) != k.kind || r[0]&flagPacked != 0 != k.packed {
		return false
	}
	if k.packed {
		return [16]byte(r[recordHeaderBytes:]) == [16]byte(k.bytes)
	}
	n := int(binary.LittleEndian.Uint16(r[recordHeaderBytes:]))
	return n == len(k.bytes) && string(r[recordHeaderBytes+2:recordHeaderBytes+2+n]) == string(k.bytes)
}

func recordKey(r []byte) key {
	k := key{kind: KindNumber(binary.LittleEndian.Uint16(r[2:])), packed: r[0]&flagPacked != 0}
	if k.packed {
		k.bytes = r[recordHeaderBytes : recordHeaderBytes+16]
	} else {
		k.bytes = r[recordHeaderBytes+2 : recordBytes(r)]
	}
	return k
}

func recordValue(r []byte) stored {
	return stored{
		phase:    placement.Phase(r[0] & flagPhase),
		draining: r[0]&flagDraining != 0,
		attempt:  r[0] >> flagAttempt,
		reason:   placement.Reason(r[1]),
		slot:     binary.LittleEndian.Uint32(r[4:]),
		number:   binary.LittleEndian.Uint64(r[8:]),
	}
}

// putValue overwrites what the record says of its key.
func putValue(r []byte, s stored) {
	r[0] = r[0]&flagPacked | byte(s.phase) | s.attempt<<flagAttempt
	if s.draining {
		r[0] |= flagDraining
	}
	r[1] = byte(s.reason)
	binary.LittleEndian.PutUint32(r[4:], s.slot)
	binary.LittleEndian.PutUint64(r[8:], s.number)
}

func putRecord(r []byte, k key, s stored) {
	r[0] = 0
	if k.packed {
		r[0] = flagPacked
	}
	binary.LittleEndian.PutUint16(r[2:], uint16(k.kind))
	putValue(r, s)
	if k.packed {
		copy(r[recordHeaderBytes:], k.bytes)
		return
	}
	binary.LittleEndian.PutUint16(r[recordHeaderBytes:], uint16(len(k.bytes)))
	copy(r[recordHeaderBytes+2:], k.bytes)
}
