package snapshot

import (
	"encoding/binary"
	"math/bits"
)

const uuidTextBytes = 36

// uuid is the 16 bytes of a UUID as two little-endian numbers.
type uuid struct{ lo, hi uint64 }

// packUUID reads s and says whether it is a UUID in the one form that unpackUUID writes: 8-4-4-4-12 digits in lower case.
// It takes eight digits at a time, since it is on the path of every look-up.
func packUUID(s string) (uuid, bool) {
	if len(s) != uuidTextBytes || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return uuid{}, false
	}
	a, badA := unhex8(text8(s))
	b, badB := unhex8(uint64(text4(s[9:])) | uint64(text4(s[14:]))<<32)
	c, badC := unhex8(uint64(text4(s[19:])) | uint64(text4(s[24:]))<<32)
	d, badD := unhex8(text8(s[28:]))
	return uuid{a | b<<32, c | d<<32}, badA|badB|badC|badD == 0
}

// unhex8 reads eight hexadecimal digits, the first in the lowest byte, as four bytes. bad is zero when all of them are
// digits in lower case.
func unhex8(w uint64) (x, bad uint64) {
	const each = 0x0101010101010101
	letters := w >> 6 & each                    // 1 where bit 6 says that it is a letter
	x = w&(0x0f*each) + letters*9               // 0 to 15 for digits, up to 24 for what is none
	over := (x + 6*each) >> 4 & each            // 1 where it is over 9
	bad = (x + '0'*each + over*('a'-'9'-1)) ^ w // what the digit looks like, against what stands there
	bad |= x & (0xf0 * each)
	x = (x<<4 | x>>8) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return (x | x>>16) & 0xffffffff, bad
}

func text8(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func text4(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

// uuidDigits are the places of the pairs of digits in the text form.
var uuidDigits = [16]int{0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34}

func unpackUUID(u uuid) string {
	s := u.text()
	return string(s[:])
}

func (u uuid) text() (s [uuidTextBytes]byte) {
	const digits = "0123456789abcdef"
	var b [16]byte
	u.put(b[:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	for i, at := range uuidDigits {
		s[at], s[at+1] = digits[b[i]>>4], digits[b[i]&15]
	}
	return s
}

// put writes the 16 bytes.
func (u uuid) put(b []byte) {
	binary.LittleEndian.PutUint64(b, u.lo)
	binary.LittleEndian.PutUint64(b[8:], u.hi)
}

// uuidOf reads 16 bytes.
func uuidOf(b []byte) uuid {
	return uuid{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

// hash is XXH3 with a seed over the 16 bytes, written out: it is the same as xxh3.HashSeed, without the choice between
// lengths.
func (u uuid) hash(seed uint64) uint64 {
	const secret24, secret32, secret40, secret48 = 0x1f67b3b7a4a44072, 0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8
	lo := u.lo ^ (secret24 ^ secret32 + seed)
	hi := u.hi ^ (secret40 ^ secret48 - seed)
	high, low := bits.Mul64(lo, hi)
	x := 16 + bits.ReverseBytes64(lo) + hi + (high ^ low)
	x = (x ^ x>>37) * 0x165667919e3779f9
	return x ^ x>>32
}
