package snapshot

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// A page holds the records of one bucket in one block of memory without pointers, so the garbage collector never
// looks inside, and a copy is one memmove. Most pages hold packed UUIDs alone, whose records have 32 bytes:
//
//	head u64 │ tag × count, pad to 32 │ record × count
//
// The sizes of such pages are sizes that Go's allocator has, at places that are multiples of 32: a record never lies across
// two lines of the cache. A page that holds another key is mixed, and says where each record begins, and where the last one
// ends, in bytes from the start of the page:
//
//	head u64 │ tag × count, pad to 8 │ offset u16 × (count + 1) │ records
//
// A tag is the top byte of a key's hash: a look-up compares eight tags at once and touches only the records whose tag is
// equal. The head is
//
//	bits 0–12 count · bit 13 mixed · bits 14–63 the generation that wrote the page
//
// A page is written only while it belongs to the editor's current generation; published ones never change. It is handled
// by a pointer to its head, since a slice for each page would take three words in place of one.
type page struct {
	head uint64
	// The rest follows.
}

const (
	pageHeadBytes = 8
	// Offsets have 16 bits.
	pageBytesMax = 1<<16 - 1

	headCount    = 1<<13 - 1
	headMixed    = 1 << 13
	headGenShift = 14
)

// offsetsAt is where the offsets of a mixed page of n records begin.
func offsetsAt(n int) int { return pageHeadBytes + (n+7)&^7 }

// recordsAt is where the records of a page of n begin.
func recordsAt(n int, mixed bool) int {
	if mixed {
		return offsetsAt(n) + 2*(n+1)
	}
	return packedAt(n)
}

// packedAt is recordsAt of a page that is not mixed.
func packedAt(n int) int { return (pageHeadBytes + n + 31) &^ 31 }

// newPage returns a page for n records that take so many bytes, which are to be written to it.
func newPage(gen uint64, n int, mixed bool, records int) *page {
	size := recordsAt(n, mixed) + records
	if size > pageBytesMax {
		// The buckets are so many that this takes more equal hashes than 64 bits and a secret seed allow.
		panic("snapshot: a page of the index is over its largest size")
	}
	words := make([]uint64, (size+7)/8)
	p := (*page)(unsafe.Pointer(&words[0]))
	p.head = gen<<headGenShift | uint64(n)
	if mixed {
		p.head |= headMixed
		p.putOffset(0, recordsAt(n, true))
	}
	return p
}

func (p *page) count() int  { return int(p.head & headCount) }
func (p *page) mixed() bool { return p.head&headMixed != 0 }
func (p *page) gen() uint64 { return p.head >> headGenShift }

// size is the length of the page in bytes.
func (p *page) size() int {
	n := p.count()
	if p.mixed() {
		return p.offset(n)
	}
	return packedAt(n) + n*packedRecordBytes
}

// bytes is a part of the page, which must have it.
func (p *page) bytes(at, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(p), at)), n)
}

// word is the eight bytes that begin at an offset.
func (p *page) word(at int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(p), at))[:])
}

func (p *page) half(at int) uint16 {
	return binary.LittleEndian.Uint16((*[2]byte)(unsafe.Add(unsafe.Pointer(p), at))[:])
}

// offset is where the i-th record of a mixed page begins, and the one before it ends.
func (p *page) offset(i int) int {
	return int(p.half(offsetsAt(p.count()) + 2*i))
}

func (p *page) putOffset(i, at int) {
	binary.LittleEndian.PutUint16(p.bytes(offsetsAt(p.count())+2*i, 2), uint16(at))
}

func (p *page) tags() []byte { return p.bytes(pageHeadBytes, p.count()) }

// record returns the i-th record, which must not be changed unless the page is of the editor's generation.
func (p *page) record(i int) record {
	if p.mixed() {
		at := p.offset(i)
		return p.bytes(at, p.offset(i+1)-at)
	}
	return p.bytes(packedAt(p.count())+i*packedRecordBytes, packedRecordBytes)
}

func (p *page) clone(gen uint64) *page {
	words := (p.size() + 7) / 8
	old := unsafe.Slice(&p.head, words)
	next := make([]uint64, len(old))
	copy(next, old)
	q := (*page)(unsafe.Pointer(&next[0]))
	q.head = gen<<headGenShift | p.head&(1<<headGenShift-1)
	return q
}

// tagged are the records with a tag among sixteen from the given one on, a bit for each, and perhaps others. There are no
// branches in it: what stands in a page is nothing that a processor can foresee, and it would wait for the page before it
// went on to the next look-up.
func (p *page) tagged(tag byte, from int) uint32 {
	const each = 0x0101010101010101
	all := each * uint64(tag)
	a := p.word(pageHeadBytes+from) ^ all
	b := p.word(pageHeadBytes+8+from) ^ all
	// The top bit of each byte that is zero, and perhaps of bytes above the first one.
	a, b = (a-each)&^a&(0x80*each), (b-each)&^b&(0x80*each)
	// Those bits side by side: each factor puts every bit at a place of its own.
	return (uint32(a>>7*0x0102040810204080>>56) | uint32(b>>7*0x0102040810204080>>48)&0xff00) & (1<<uint(p.count()-from) - 1)
}

// find returns where the record with the key is, zero when there is none.
func (p *page) find(tag byte, k *key) int {
	if k.packed {
		return p.findUUID(tag, k.kind, k.uuid)
	}
	if p == nil || !p.mixed() {
		return 0
	}
	return p.findMixed(tag, k)
}

// findMixed is find in a page that is mixed.
func (p *page) findMixed(tag byte, k *key) int {
	for from := 0; from < p.count(); from += 16 {
		for tagged := p.tagged(tag, from); tagged != 0; tagged &= tagged - 1 {
			if i := from + bits.TrailingZeros32(tagged); p.record(i).has(k) {
				return p.offset(i)
			}
		}
	}
	return 0
}

// findUUID is find for a packed key.
func (p *page) findUUID(tag byte, kind KindNumber, u uuid) int {
	if p == nil {
		return 0
	}
	if p.mixed() {
		return p.findMixed(tag, &key{kind: kind, packed: true, uuid: u})
	}
	for from := 0; from < p.count(); from += 16 {
		for tagged := p.tagged(tag, from); tagged != 0; tagged &= tagged - 1 {
			at := packedAt(p.count()) + (from+bits.TrailingZeros32(tagged))*packedRecordBytes
			if p.word(at+recordHeaderBytes) == u.lo && p.word(at+recordHeaderBytes+8) == u.hi && KindNumber(p.half(at+2)) == kind {
				return at
			}
		}
	}
	return 0
}

// candidate is where the record is that probably has the key with the tag, when any has. It must not be asked of a page
// without records.
func (p *page) candidate(tag byte) int {
	i := bits.TrailingZeros32(p.tagged(tag, 0) | 1<<31)
	if i >= p.count() {
		i = 0
	}
	if p.mixed() {
		return p.offset(i)
	}
	return packedAt(p.count()) + i*packedRecordBytes
}

// value is what the record says of its key that begins at an offset.
func (p *page) value(at int) stored { return stored{p.word(at) &^ keyBits, p.word(at + 8)} }

// set overwrites what the record says of its key that begins at an offset.
func (p *page) set(at int, s stored) { record(p.bytes(at, recordHeaderBytes)).set(s) }

// with returns a page of generation gen that holds one more record. The page itself is unchanged.
func (p *page) with(gen uint64, tag byte, k *key, s stored) *page {
	if p == nil {
		f := startPage(gen, 1, !k.packed, k.size())
		f.next(tag, k.size()).init(k, s)
		return f.page
	}
	n := p.count()
	if k.packed && !p.mixed() {
		q := newPage(gen, n+1, false, (n+1)*packedRecordBytes)
		copy(q.tags(), p.tags())
		q.tags()[n] = tag
		copy(q.bytes(packedAt(n+1), n*packedRecordBytes), p.bytes(packedAt(n), n*packedRecordBytes))
		q.record(n).init(k, s)
		return q
	}
	f := startPage(gen, n+1, true, p.recordsBytes()+k.size())
	for i, tag := range p.tags() {
		f.add(tag, p.record(i))
	}
	f.next(tag, k.size()).init(k, s)
	return f.page
}

// recordsBytes is what all records take.
func (p *page) recordsBytes() int { return p.size() - recordsAt(p.count(), p.mixed()) }

// only returns a page of generation gen with those records that are to be kept, nil when there are none.
func (p *page) only(gen uint64, keep []bool) *page {
	n, size, mixed := 0, 0, false
	for i, keep := range keep {
		if keep {
			r := p.record(i)
			n, size, mixed = n+1, size+len(r), mixed || !r.packed()
		}
	}
	if n == 0 {
		return nil
	}
	f := startPage(gen, n, mixed, size)
	for i, tag := range p.tags() {
		if keep[i] {
			f.add(tag, p.record(i))
		}
	}
	return f.page
}

// joinPages returns a page of generation gen with the records of both, nil when there are none.
func joinPages(gen uint64, a, b *page) *page {
	n, size, mixed := 0, 0, false
	for _, p := range []*page{a, b} {
		if p != nil {
			n, size, mixed = n+p.count(), size+p.recordsBytes(), mixed || p.mixed()
		}
	}
	if n == 0 {
		return nil
	}
	f := startPage(gen, n, mixed, size)
	for _, p := range []*page{a, b} {
		if p == nil {
			continue
		}
		for i, tag := range p.tags() {
			f.add(tag, p.record(i))
		}
	}
	return f.page
}

// filler writes the records of a page one after the other.
type filler struct {
	page  *page
	i, at int
}

// startPage begins a page for n records that take so many bytes.
func startPage(gen uint64, n int, mixed bool, records int) filler {
	return filler{page: newPage(gen, n, mixed, records), at: recordsAt(n, mixed)}
}

// next is the room for the next record.
func (f *filler) next(tag byte, size int) record {
	f.page.tags()[f.i] = tag
	r := f.page.bytes(f.at, size)
	f.i++
	f.at += size
	if f.page.mixed() {
		f.page.putOffset(f.i, f.at)
	}
	return r
}

func (f *filler) add(tag byte, r record) { copy(f.next(tag, len(r)), r) }
