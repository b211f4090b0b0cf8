package placement

import "math/bits"

const (
	logSegmentBits = 10 // the table has 1024 segments: the error of a straight line within one is under 2^-22
	logFracBits    = 32 // results are in units of 2^-32
)

// log2Table holds log2(1 + i/1024) in units of 2^-32, for i from 0 to 1024.
var log2Table = makeLog2Table()

// negLog2 is -log2((u+1)/2^64) in units of 2^-32: from 0 for the largest u to 64<<32 for zero. It never grows as u
// grows, and it is computed in integers alone, so it is the same on every processor.
func negLog2(u uint64) uint64 {
	u |= 1 // log2(0) has no value, and one bit in 2^64 changes nothing that can be seen
	shift := bits.LeadingZeros64(u)
	m := u << shift << 1 // the fraction t of 1+t = u/2^(63-shift), in units of 2^-64
	i := m >> (64 - logSegmentBits)
	rest := m << logSegmentBits >> 32 // how far into the segment, in units of 2^-32
	lo, hi := log2Table[i], log2Table[i+1]
	frac := lo + (hi-lo)*rest>>logFracBits
	return uint64(shift+1)<<logFracBits - frac
}

// makeLog2Table computes each logarithm bit by bit, by squaring: if x*x >= 2 the next bit is one.
func makeLog2Table() (t [1<<logSegmentBits + 1]uint64) {
	for i := range t {
		x := uint64(1)<<63 + uint64(i)<<(63-logSegmentBits) // 1+i/1024 in units of 2^-63
		if i == len(t)-1 {
			t[i] = 1 << logFracBits
			continue
		}
		var log uint64
		for range logFracBits {
			hi, _ := bits.Mul64(x, x) // in units of 2^-62
			log <<= 1
			if hi >= 1<<63 {
				log |= 1
				x = hi
			} else {
				x = hi << 1
			}
		}
		t[i] = log
	}
	return t
}
