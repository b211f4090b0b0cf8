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
		var tab, more table
		tab.setBuckets(n)
		more.setBuckets(n + 1)
		for h := range uint64(2048) {
			i := tab.bucket(h)
			if i < 0 || i >= n {
				t.Fatalf("hash %d is in bucket %d of %d", h, i, n)
			}
			// When the buckets are one more, a hash stays or moves to the new one.
			if j := more.bucket(h); j != i && j != n {
				t.Fatalf("bucket %d of %d becomes %d of %d", i, n, j, n+1)
			}
		}
	}
}

func testKey(i int) key {
	switch i % 4 {
	case 0:
		return key{kind: KindNumber(i % 7), text: fmt.Sprintf("key-%d", i)}
	case 1:
		return key{kind: KindNumber(i % 7), text: fmt.Sprintf("%s-%d", strings.Repeat("long", i%100), i)}
	}
	return key{kind: 3, packed: true, uuid: uuid{uint64(i), uint64(i) << 32}}
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
	var seen [keys]struct {
		page *page
		at   int
	}
	for round := range 12 {
		shrink := round >= 6
		for range 2000 {
			i := rng.IntN(keys)
			k := testKey(i)
			h := k.hash(tab.seed)
			if shrink && rng.IntN(10) < 8 {
				n := 0
				if tab.buckets > 0 {
					n = tab.remove(gen, tab.bucket(h), func(r record) bool { return r.has(&k) })
				}
				if _, ok := want[i]; ok != (n == 1) {
					t.Fatalf("remove of key %d took away %d records, want it there: %t", i, n, ok)
				}
				delete(want, i)
				continue
			}
			s := storedEntry(placement.Entry{Phase: placement.Settled, Epoch: placement.Epoch(rng.Uint64()), Reason: 1, Attempt: uint8(rng.IntN(16)), Draining: rng.IntN(2) == 0}, rng.Uint32N(5))
			p, at := tab.get(h, &k)
			if was, ok := want[i]; ok != (at != 0) || ok && was != p.value(at) {
				t.Fatalf("key %d is there: %t, want %+v, %t", i, at != 0, was, ok)
			}
			switch rng.IntN(4) {
			case 0:
				p, at = nil, 0 // nobody has looked
			case 1:
				p, at = seen[i].page, seen[i].at // somebody has looked, and other keys were put since
			}
			p, at = tab.put(gen, h, &k, s, p, at)
			if p != nil && (p.find(tagOf(h), &k) != at || p.value(at) != s) {
				t.Fatalf("key %d is said to be at %d", i, at)
			}
			want[i] = s
			seen[i].page, seen[i].at = tab.get(h, &k)
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
				records += pg.count()
				bytes += int64(pg.size())
			}
		}
		if records != len(p.want) || p.table.records != records || p.table.bytes != bytes {
			t.Fatalf("generation %d holds %d records in %d bytes and says %d in %d, want %d", n, records, bytes, p.table.records, p.table.bytes, len(p.want))
		}
		for i := range keys {
			k := testKey(i)
			pg, at := p.table.get(k.hash(p.table.seed), &k)
			s, ok := p.want[i]
			if ok != (at != 0) {
				t.Fatalf("generation %d: key %d is there: %t, want %t", n, i, at != 0, ok)
			}
			if ok && pg.value(at) != s {
				t.Fatalf("generation %d: key %d is %+v, want %+v", n, i, pg.value(at), s)
			}
		}
	}
	if last := past[len(past)-1].table; last.buckets >= past[5].table.buckets {
		t.Errorf("the table has %d buckets after shrinking, %d before", last.buckets, past[5].table.buckets)
	}
}

// A file says how many buckets its writer had; the reader has as many as it would have made itself.
func TestPageBuilder_FewLargeBuckets_AreSplit(t *testing.T) {
	var from table
	from.seed = 5
	const keys, buckets = 5000, 20
	var by [buckets][]int
	var layout table
	layout.setBuckets(buckets)
	for i := range keys {
		k := testKey(i)
		b := layout.bucket(k.hash(from.seed))
		by[b] = append(by[b], i)
	}
	b := newPageBuilder(&from, 1, buckets)
	for _, some := range by {
		for _, i := range some {
			k := testKey(i)
			if what := b.add(k.hash(from.seed), &k, storedEntry(placement.Entry{Phase: placement.Settled, Epoch: placement.Epoch(i)}, 0)); what != "" {
				t.Fatalf("key %d: %s", i, what)
			}
		}
	}
	b.finish()
	if from.full() || from.buckets <= buckets || from.records != keys {
		t.Errorf("%d records in %d bytes and %d buckets", from.records, from.bytes, from.buckets)
	}
	for i := range keys {
		k := testKey(i)
		if p, at := from.get(k.hash(from.seed), &k); at == 0 || p.value(at).number != uint64(i) {
			t.Fatalf("key %d is gone", i)
		}
	}
}
