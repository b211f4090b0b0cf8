package snapshot

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

func TestBucket_EveryNumberOfBucketsCoversItsRange(t *testing.T) {
	for n := 1; n <= 300; n++ {
		for h := range uint64(2048) {
			i := bucket(h, n)
			if i < 0 || i >= n {
				t.Fatalf("bucket(%d, %d) = %d", h, n, i)
			}
			// When the buckets are one more, a hash stays or moves to the new one.
			if j := bucket(h, n+1); j != i && j != n {
				t.Fatalf("bucket(%d, %d) = %d, but bucket(%d, %d) = %d", h, n, i, h, n+1, j)
			}
		}
	}
}

func testKey(i int) key {
	switch i % 4 {
	case 0:
		return key{kind: KindNumber(i % 7), bytes: fmt.Appendf(nil, "key-%d", i)}
	case 1:
		return key{kind: KindNumber(i % 7), bytes: fmt.Appendf(nil, "%s-%d", strings.Repeat("long", i%100), i)}
	}
	var b [16]byte
	for j := range b {
		b[j] = byte(i >> (j % 4 * 8))
	}
	return key{kind: 3, packed: true, bytes: b[:]}
}

// The table against a map, over growing, changing, shrinking, and generations of which each must stay as it was.
func TestTable_AgreesWithAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	tab := table{seed: 42}
	want := map[int]stored{}
	type kept struct {
		table table
		want  map[int]stored
	}
	var past []kept
	gen := uint64(1)
	const keys = 4000
	for round := range 12 {
		shrink := round >= 6
		for range 2000 {
			i := rng.IntN(keys)
			k := testKey(i)
			h := k.hash(tab.seed)
			if shrink && rng.IntN(10) < 8 {
				n := 0
				if tab.buckets > 0 {
					n = tab.remove(gen, bucket(h, tab.buckets), func(r []byte) bool { return recordHasKey(r, k) })
				}
				if _, ok := want[i]; ok != (n == 1) {
					t.Fatalf("remove of key %d took away %d records, want it there: %t", i, n, ok)
				}
				delete(want, i)
				continue
			}
			s := stored{phase: placement.Settled, slot: uint32(rng.IntN(5)), number: rng.Uint64(), reason: 1, attempt: uint8(rng.IntN(16)), draining: rng.IntN(2) == 0}
			old, existed := tab.put(gen, h, k, s)
			if was, ok := want[i]; ok != existed || ok && was != old {
				t.Fatalf("put of key %d returned %+v, %t, want %+v, %t", i, old, existed, was, ok)
			}
			want[i] = s
		}
		copied := map[int]stored{}
		for i, s := range want {
			copied[i] = s
		}
		past = append(past, kept{tab, copied})
		gen++
	}
	for n, p := range past {
		records, bytes := 0, int64(0)
		for b := range p.table.buckets {
			if pg := p.table.page(b); pg != nil {
				records += int(pg.count)
				bytes += int64(pg.size)
			}
		}
		if records != len(p.want) || p.table.records != records || p.table.bytes != bytes {
			t.Fatalf("generation %d holds %d records in %d bytes and says %d in %d, want %d", n, records, bytes, p.table.records, p.table.bytes, len(p.want))
		}
		for i := range keys {
			k := testKey(i)
			r := p.table.get(k.hash(p.table.seed), k)
			s, ok := p.want[i]
			if ok != (r != nil) {
				t.Fatalf("generation %d: key %d is there: %t, want %t", n, i, r != nil, ok)
			}
			if ok && (recordValue(r) != s || string(recordKey(r).bytes) != string(k.bytes)) {
				t.Fatalf("generation %d: key %d is %+v, want %+v", n, i, recordValue(r), s)
			}
		}
	}
	if last := past[len(past)-1].table; last.buckets >= past[5].table.buckets {
		t.Errorf("the table has %d buckets after shrinking, %d before", last.buckets, past[5].table.buckets)
	}
}

func TestPackUUID(t *testing.T) {
	const good = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	var b [16]byte
	if !packUUID(&b, good) || unpackUUID(&b) != good {
		t.Fatalf("%s packs to %x and back to %s", good, b, unpackUUID(&b))
	}
	for i := range good {
		for _, c := range []byte("gGA-/:`{ \x00\xff") {
			bad := good[:i] + string([]byte{c}) + good[i+1:]
			if bad != good && packUUID(&b, bad) {
				t.Errorf("%q was packed", bad)
			}
		}
	}
}
