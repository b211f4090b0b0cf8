package snapshot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// checkScan compares scans with random filters, in pieces of random sizes, with what all placements say.
func checkScan(t *testing.T, v *View) {
	t.Helper()
	rng := rand.New(rand.NewPCG(v.Index, 3))
	for range 3 {
		f := Filter{
			Kind:      []string{"", "", "cart", "room", "stranger"}[rng.IntN(5)],
			Prefix:    []string{"", "", "key-1", "f81d4fae-7dec-11d0-a765-00000000000", "f81d", "f81d4fae-7dec-11d0-a765-000000000003x", "z"}[rng.IntN(7)],
			Member:    placement.MemberID([]string{"", "", "m1", "m2", "m9"}[rng.IntN(5)]),
			Phase:     []placement.Phase{0, 0, placement.Pending, placement.Settled, placement.Tombstone}[rng.IntN(5)],
			Unsettled: rng.IntN(4) == 0,
		}
		var want []Placement
		for p := range v.Placements() {
			if (f.Kind == "" || p.Identity.Kind == f.Kind) && strings.HasPrefix(p.Identity.Key, f.Prefix) &&
				(f.Member == "" || p.Owner != nil && p.Owner.ID == f.Member) && (f.Phase == 0 || p.Entry.Phase == f.Phase) &&
				(!f.Unsettled || p.Entry.Phase != placement.Settled) {
				want = append(want, p)
			}
		}
		var got []Placement
		for next, whole := Cursor(0), false; !whole; {
			size := 1 + rng.IntN(8)
			n := 0
			next, whole = v.Scan(f, next, 1+rng.IntN(60), func(p Placement) bool {
				if n == size {
					return false
				}
				n++
				got = append(got, p)
				return true
			})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("at index %d: a scan for %+v finds %v, want %v", v.Index, f, got, want)
		}
	}
}

// A scan that finds nothing ends all the same when its limit is reached, and goes on where it ended.
func TestScan_FilterThatWantsNothing_IsBounded(t *testing.T) {
	e := newTestEditor()
	e.Join(member("m1", 1))
	const n = 20_000
	for i := range n {
		e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprint(i)})
		e.Put(placement.Entry{Phase: placement.Settled, Owner: 1, Epoch: placement.Epoch(i + 1)})
	}
	v := e.Publish()
	const limit = 100
	scans := 0
	for next, whole := Cursor(0), false; !whole; scans++ {
		before := next
		if next, whole = v.Scan(Filter{Member: "m2"}, next, limit, func(Placement) bool { return true }); next <= before {
			t.Fatalf("a scan from %x ends at %x", before, next)
		}
	}
	if least, most := n/limit, (n+v.table.buckets)/limit+v.table.buckets; scans < least || scans > most {
		t.Errorf("%d scans of %d records, want %d to %d", scans, limit, least, most)
	}
	for limit := range 40 {
		n := 0
		if v.Scan(Filter{}, 0, limit, func(Placement) bool { n++; return true }); n > limit {
			t.Errorf("a scan of %d records finds %d", limit, n)
		}
	}
	// A bucket without records is work too.
	e = newTestEditor()
	e.v.table.buckets = 0
	for range 1000 {
		e.v.table.grow(e.gen)
	}
	scans = 0
	for next, whole := Cursor(0), false; !whole; scans++ {
		next, whole = e.v.Scan(Filter{}, next, limit, func(Placement) bool { return true })
	}
	if scans != 10 && scans != 11 {
		t.Errorf("%d scans of 1,000 buckets that are empty", scans)
	}
	// A cursor that was never given, as a stranger may send it, does no harm.
	for _, c := range []Cursor{1 << 63, ^Cursor(0), 0xffff, 12345 << 16} {
		v.Scan(Filter{}, c, limit, func(Placement) bool { return true })
	}
}

func BenchmarkScan(b *testing.B) {
	v := benchEditor().Publish()
	for _, f := range []struct {
		name string
		Filter
	}{{"nothing", Filter{Member: "m99"}}, {"prefix", Filter{Prefix: "zzz"}}, {"kind", Filter{Kind: "shipment", Phase: placement.Pending}}} {
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.Scan(f.Filter, 0, scanAll, func(Placement) bool { return true })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(*identities), "ns/record")
		})
	}
}

// What an incarnation owned when it ended is found in the view of that moment, in pieces of any size, and nothing else.
func TestScanEnded_FindsWhatItOwned(t *testing.T) {
	e := newTestEditor()
	for i := range 3 {
		e.Join(member(fmt.Sprint("m", i+1), placement.Incarnation(i+1)))
	}
	put := func(i int, entry placement.Entry) {
		e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprint(i)})
		e.Put(entry)
	}
	want := map[placement.Identity]placement.Entry{}
	for i := range 3000 {
		entry := placement.Entry{Phase: placement.Settled, Owner: placement.Incarnation(i%3 + 1), Epoch: placement.Epoch(i + 1), Reason: placement.ReasonRendezvous, Draining: i%7 == 0}
		if i%5 == 0 {
			entry.Phase, entry.Draining = placement.Pending, false
		}
		put(i, entry)
		if entry.Owner == 2 && i != 1 {
			want[placement.Identity{Kind: "cart", Key: fmt.Sprint(i)}] = entry
		}
	}
	put(1, placement.Entry{Phase: placement.Tombstone, Removed: e.View().Index}) // that one it gave up itself
	e.End(2, placement.MemberExpired)
	v := e.Publish()
	for _, size := range []int{1, 7, 10_000} {
		got := map[placement.Identity]placement.Entry{}
		for next, whole := Cursor(0), false; !whole; {
			n := 0
			next, whole = v.ScanEnded(2, next, 100+size, func(id placement.Identity, entry placement.Entry) bool {
				if n++; n > size {
					return false
				}
				got[id] = entry
				return true
			})
		}
		if !maps.Equal(got, want) {
			t.Errorf("in pieces of %d: %d are found, want %d", size, len(got), len(want))
		}
	}
	none := func(placement.Identity, placement.Entry) bool { t.Error("something is found"); return false }
	if _, whole := v.ScanEnded(9, 0, scanAll, none); !whole {
		t.Error("a scan for a stranger goes on")
	}
	e.SetPosition(v.Index+1, 1)
	e.SetBarrier(v.Index)
	if _, whole := e.Publish().ScanEnded(2, 0, scanAll, none); !whole {
		t.Error("a scan behind the barrier goes on")
	}
}
