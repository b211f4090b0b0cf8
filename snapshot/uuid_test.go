package snapshot

import (
	"math/rand/v2"
	"testing"

	"github.com/zeebo/xxh3"
)

func TestPackUUID(t *testing.T) {
	const good = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	u, ok := packUUID(good)
	if !ok || unpackUUID(u) != good {
		t.Fatalf("%s packs to %x and back to %s", good, u, unpackUUID(u))
	}
	var b [16]byte
	u.put(b[:])
	if want := [16]byte{0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6}; b != want || uuidOf(b[:]) != u {
		t.Errorf("%s packs to %x, want %x", good, b, want)
	}
	for i := range good {
		for c := range 256 {
			other := good[:i] + string([]byte{byte(c)}) + good[i+1:]
			digit := c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
			if dash := good[i] == '-'; dash {
				digit = c == '-'
			}
			u, ok := packUUID(other)
			if ok != digit {
				t.Errorf("%q was packed: %t, want %t", other, ok, digit)
			}
			if ok && unpackUUID(u) != other {
				t.Errorf("%q comes back as %q", other, unpackUUID(u))
			}
		}
	}
}

func TestUUID_Hash_IsXXH3(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		u, seed := uuid{rng.Uint64(), rng.Uint64()}, rng.Uint64()
		var b [16]byte
		u.put(b[:])
		if got, want := u.hash(seed), xxh3.HashSeed(b[:], seed); got != want {
			t.Fatalf("hash of %x with seed %#x: %#x, want %#x", b, seed, got, want)
		}
	}
}

func BenchmarkPackUUID(b *testing.B) {
	s := uuidIdentity(1).Key
	for b.Loop() {
		packUUID(s)
	}
}
