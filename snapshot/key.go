package snapshot

import (
	"math/bits"
	"unsafe"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
)

// KindNumber stands for a kind in the index. Numbers are given in the order in which kinds become known and are
// replicated.
type KindNumber uint16

// key is an identity as the index stores it: the kind as its number, and a key that is a UUID in canonical lower-case
// form as its 16 bytes.
type key struct {
	kind   KindNumber
	packed bool
	bytes  []byte // not changed, and not kept by the index: it is copied into the page
}

const uuidTextBytes = 36

// makeKey packs the key of an identity. buf is room for a packed UUID, on the caller's stack.
func makeKey(kind KindNumber, text string, buf *[16]byte) key {
	if len(text) == uuidTextBytes && packUUID(buf, text) {
		return key{kind: kind, packed: true, bytes: buf[:]}
	}
	return key{kind: kind, bytes: unsafe.Slice(unsafe.StringData(text), len(text))}
}

// text is the key of the identity, unpacked.
func (k key) text() string {
	if !k.packed {
		return string(k.bytes)
	}
	return unpackUUID((*[16]byte)(k.bytes))
}

// hash spreads keys over the buckets of an index with the given seed.
func (k key) hash(seed uint64) uint64 {
	seed ^= uint64(k.kind) * 0x9e3779b97f4a7c15
	if k.packed {
		seed = bits.RotateLeft64(seed, 32) + 1
	}
	return xxh3.HashSeed(k.bytes, seed)
}

const hexDigits = "0123456789abcdef"

// unhex gives the value of a lower-case hexadecimal digit, and 0xff for all else.
var unhex = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range []byte(hexDigits) {
		t[c] = byte(i)
	}
	return t
}()

// uuidDigits are the places of the 32 digits in the text form 8-4-4-4-12.
var uuidDigits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

// packUUID reads the 36 bytes of s and says whether they are a UUID in the form that unpackUUID writes.
func packUUID(dst *[16]byte, s string) bool {
	if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	bad := byte(0)
	for i, at := range uuidDigits {
		hi, lo := unhex[s[at]], unhex[s[at+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo&15
	}
	return bad < 16
}

func unpackUUID(b *[16]byte) string {
	s := uuidText(b)
	return string(s[:])
}

func uuidText(b *[16]byte) (s [uuidTextBytes]byte) {
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	for i, at := range uuidDigits {
		s[at], s[at+1] = hexDigits[b[i]>>4], hexDigits[b[i]&15]
	}
	return s
}

// identity gives the stored key its names back.
func (v *View) identity(k key) placement.Identity {
	return placement.Identity{Kind: v.kindName(k.kind), Key: k.text()}
}
