package snapshot

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// On a processor without a short way these tests hold that it is said so.

func TestHashUUID_IsPackUUIDAndHash(t *testing.T) {
	check := func(text string, seed uint64) {
		t.Helper()
		want, packed := packUUID(text)
		u, hash, ok := hashUUID(unsafe.StringData(text), seed)
		if short := shortWay(); ok != (packed && short) || ok && (u != want || hash != want.hash(seed)) {
			t.Fatalf("%q with seed %#x is %x, hash %#x, %t, want %x, %t", text, seed, u, hash, ok, want, packed)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		u, seed := uuid{rng.Uint64(), rng.Uint64()}, rng.Uint64()
		text := unpackUUID(u)
		check(text, seed)
		at, c := rng.IntN(len(text)), byte(rng.Uint32())
		check(text[:at]+string([]byte{c})+text[at+1:], seed)
	}
	const good = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	for at := range good {
		for c := range 256 {
			check(good[:at]+string([]byte{byte(c)})+good[at+1:], 7)
		}
	}
}

// shortWay says whether this processor has one.
func shortWay() bool {
	text := strings.Repeat("0", 8) + strings.Repeat("-0000", 3) + "-" + strings.Repeat("0", 12)
	_, _, ok := hashUUID(unsafe.StringData(text), 1)
	return ok
}

// The pages are of all sizes and kinds: few records, many, of one tag, beside texts, and none.
func TestSeekUUID_FindsWhatGetFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	said := map[int]int{}
	for _, c := range []struct{ buckets, keys, texts int }{{1, 1, 0}, {1, 16, 0}, {1, 17, 0}, {1, 60, 0}, {3, 30, 0}, {1, 5, 3}, {1000, 7000, 0}, {5000, 9000, 900}, {40_000, 1000, 0}} {
		tab := table{seed: rng.Uint64()}
		for range c.buckets {
			tab.grow(1)
		}
		add := func(k *key, n int) {
			h := k.hash(tab.seed)
			b := tab.bucket(h)
			tab.setPage(1, b, tab.page(b).with(1, tagOf(h), k, storedEntry(placement.Entry{Phase: placement.Settled, Epoch: placement.Epoch(n)}, 0)))
		}
		var keys []key
		for i := range c.keys {
			k := key{kind: KindNumber(1 + i%2), packed: true, uuid: uuid{rng.Uint64(), rng.Uint64()}}
			if i%3 > 0 {
				k.uuid = keys[len(keys)-1].uuid // another kind, or another end
				k.uuid.hi += uint64(i%3) - 1
			}
			if i%2 == 0 {
				add(&k, i+1)
			}
			keys = append(keys, k)
		}
		for i := range c.texts {
			k := testKey(3*i + 1)
			k = key{kind: 1, text: "text of " + k.original()}
			add(&k, i)
		}
		for _, k := range keys {
			text, seed := k.original(), packedSeed(tab.seed, k.kind)
			hash := k.hash(tab.seed)
			wantPage, want := tab.get(hash, &k)
			p, at, u, h := seekUUID(&tab, unsafe.StringData(text), seed, k.kind)
			said[min(at, 1)]++
			switch {
			case at == seekNot && !shortWay():
			case at == seekInPage && p == wantPage && (p.mixed() || p.count() > 16):
			case at >= 0 && p == wantPage && at == want:
			default:
				t.Fatalf("%+v: %s is at %d of %p, want %d of %p", c, text, at, p, want, wantPage)
			}
			if at != seekNot && (u != k.uuid || h != hash) {
				t.Fatalf("%s is %x, hash %#x", text, u, h)
			}
			bad := text[:20] + "G" + text[21:]
			if _, at, _, _ := seekUUID(&tab, unsafe.StringData(bad), seed, k.kind); at != seekNot {
				t.Fatalf("%s is at %d", bad, at)
			}
		}
	}
	for _, at := range []int{seekInPage, 0, 1} {
		if shortWay() && said[at] == 0 {
			t.Errorf("nothing was said to be at %d", at)
		}
	}
}

// Records that have the tag, and differ from the key in one part each, are passed over.
func TestSeekUUID_TellsKeysOfOneTagApart(t *testing.T) {
	k := key{kind: 3, packed: true, uuid: uuid{5, 6}}
	tab := table{seed: 9}
	tab.grow(1)
	hash := k.hash(tab.seed)
	for n, other := range []key{{kind: 4, uuid: k.uuid}, {kind: 3 + 256, uuid: k.uuid}, {kind: 3, uuid: uuid{4, 6}}, {kind: 3, uuid: uuid{5, 6 | 1<<63}}, k} {
		if n == 4 && shortWay() {
			if p, at, _, _ := seekUUID(&tab, unsafe.StringData(k.original()), packedSeed(tab.seed, k.kind), k.kind); at != 0 || p == nil {
				t.Errorf("a key that is not there is at %d", at)
			}
		}
		other.packed = true
		tab.setPage(1, 0, tab.page(0).with(1, tagOf(hash), &other, storedEntry(placement.Entry{Phase: placement.Settled, Epoch: placement.Epoch(n)}, 0)))
	}
	want := packedAt(5) + 4*packedRecordBytes
	if _, at, _, _ := seekUUID(&tab, unsafe.StringData(k.original()), packedSeed(tab.seed, k.kind), k.kind); at != want && shortWay() {
		t.Errorf("the key is at %d, want %d", at, want)
	}
}

// What stands behind the last record is not looked at, though its tag is still there.
func TestSeekUUID_LooksAtNoMoreThanThePageHas(t *testing.T) {
	k := key{kind: 3, packed: true, uuid: uuid{5, 6}}
	tab := table{seed: 9}
	tab.grow(1)
	hash := k.hash(tab.seed)
	p := pageOf(1, false, tagOf(hash)).with(1, tagOf(hash), &k, storedEntry(placement.Entry{Phase: placement.Settled}, 0))
	for _, want := range []int{packedAt(2) + packedRecordBytes, 0} {
		*tab.place(1, 0) = p
		if _, at, _, _ := seekUUID(&tab, unsafe.StringData(k.original()), packedSeed(tab.seed, k.kind), k.kind); at != want && shortWay() {
			t.Errorf("the second of %d records is at %d, want %d", p.count(), at, want)
		}
		p = p.clone(1)
		p.head--
	}
}
