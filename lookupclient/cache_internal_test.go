package lookupclient

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
)

func cached(i int, epoch placement.Epoch, index uint64) Placement {
	return Placement{
		Identity: placement.Identity{Kind: "cart", Key: fmt.Sprint("customer-", i)}, Phase: placement.Settled, Epoch: epoch, Index: index,
		Member: placement.MemberID(fmt.Sprint("m", epoch%7)), Address: fmt.Sprint("10.0.0.", epoch%7, ":9000"), Level: Leased,
	}
}

func TestCache_OlderAnswers_DoNotCount(t *testing.T) {
	c := newCache(4)
	want := func(what string, i int, epoch placement.Epoch) {
		t.Helper()
		if p, ok := c.get(cached(i, 0, 0).Identity); ok != (epoch != 0) || p.Epoch != epoch {
			t.Errorf("%s: %d, %t, want %d", what, p.Epoch, ok, epoch)
		}
	}
	c.put(cached(1, 5, 10))
	want("before the watch has begun", 1, 0)
	c.clear(10)
	c.put(cached(1, 5, 9))
	want("as of before the watch", 1, 0)
	c.put(cached(1, 5, 10))
	want("remembered", 1, 5)
	c.put(cached(1, 4, 12))
	want("a smaller epoch", 1, 5)
	moved := cached(1, 5, 9)
	moved.Address = "old:1"
	c.put(moved)
	if p, _ := c.get(moved.Identity); p.Address == "old:1" {
		t.Error("an answer as of an earlier index took the place of a later one")
	}
	c.put(cached(1, 6, 13))
	want("a larger epoch", 1, 6)
	c.ended(cached(1, 0, 0).Identity, 13)
	want("what is told later than it was looked up", 1, 6)
	c.ended(cached(1, 0, 0).Identity, 14)
	want("ended", 1, 0)
	c.put(cached(1, 6, 13))
	want("an answer that came after the end and is of before it", 1, 0)
	c.put(cached(1, 7, 15))
	c.forget(cached(1, 0, 0).Identity, 6)
	want("another epoch was met", 1, 7)
	c.forget(cached(1, 0, 0).Identity, 7)
	want("forgotten", 1, 0)
	c.put(cached(1, 7, 15))
	c.put(cached(2, 8, 15)) // of the member m1
	c.memberEnded("m0", 16)
	want("of a member that ended", 1, 0)
	want("of another member", 2, 8)
	c.put(cached(3, 14, 15)) // m0, looked up before it ended
	want("of a member that ended, late", 3, 0)
	stale := cached(4, 9, 20)
	stale.Level = Stale
	c.put(stale)
	want("a stale answer", 4, 0)
	pending := cached(4, 9, 20)
	pending.Phase = placement.Pending
	c.put(pending)
	want("not settled", 4, 0)
	p, _ := c.get(cached(2, 0, 0).Identity)
	if want := (Placement{
		Identity: cached(2, 0, 0).Identity, Phase: placement.Settled, Member: "m1", Address: "10.0.0.1:9000", Epoch: 8, Index: 15, Level: Stale, Age: -1, Cached: true,
	}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
}

// A cache never has more than its limit, and keeps what is asked for.
func TestCache_Full_KeepsWhatIsAskedFor(t *testing.T) {
	for _, limit := range []int{1, 7, cacheSplit, 5000} {
		c := newCache(limit)
		c.clear(1)
		for i := range 4 * limit {
			c.put(cached(i, placement.Epoch(i+1), 1))
			if limit > 1 {
				c.get(cached(0, 0, 0).Identity)
			}
		}
		if n := c.size(); n > limit || n < limit*9/10 {
			t.Errorf("%d of %d are remembered", n, limit)
		}
		if _, ok := c.get(cached(0, 0, 0).Identity); ok != (limit > 1) {
			t.Errorf("limit %d: what was asked for all the time is remembered: %t", limit, ok)
		}
		if _, ok := c.get(cached(4*limit-1, 0, 0).Identity); !ok {
			t.Errorf("limit %d: the newest is not remembered", limit)
		}
	}
}

// Whatever comes in whatever order, what is remembered was put, has not ended since, and is not older than what was seen before.
func TestCache_AgreesWithTheModel(t *testing.T) {
	seed := uint64(rand.Int64())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	c := newCache(cacheSplit)
	c.clear(0)
	type known struct {
		epoch placement.Epoch
		index uint64
	}
	put, end := map[int]map[known]bool{}, map[int]uint64{}
	index := uint64(1)
	for range underrace.Rounds(200_000, 30_000) {
		i := rng.IntN(2 * cacheSplit)
		id := cached(i, 0, 0).Identity
		index += uint64(rng.IntN(2))
		switch rng.IntN(8) {
		case 0:
			c.ended(id, index)
			end[i] = index
		case 1:
			c.forget(id, 0)
		case 2:
			if rng.IntN(200) == 0 {
				c.memberEnded("m3", index)
				for j, all := range put {
					for k := range all {
						if k.epoch%7 == 3 && k.index < index {
							delete(all, k)
						}
					}
					put[j] = all
				}
			}
		case 3, 4, 5:
			k := known{placement.Epoch(rng.Uint64N(index) + 1), index - min(index-1, uint64(rng.IntN(20)))}
			c.put(cached(i, k.epoch, k.index))
			if put[i] == nil {
				put[i] = map[known]bool{}
			}
			put[i][k] = true
		default:
			p, ok := c.get(id)
			if ok && (!put[i][known{p.Epoch, p.Index}] || p.Index < end[i]) {
				t.Fatalf("%v is remembered as %+v, it ended at %d", id, p, end[i])
			}
		}
		if n := c.size(); n > cacheSplit {
			t.Fatalf("%d are remembered", n)
		}
	}
}

func BenchmarkCache_Hit(b *testing.B) {
	c := newCache(1_000_000)
	c.clear(1)
	ids := make([]placement.Identity, 1<<16)
	for i := range 1_000_000 {
		p := cached(i, placement.Epoch(i+1), 1)
		c.put(p)
		if i < len(ids) {
			ids[i] = p.Identity
		}
	}
	b.ReportAllocs()
	hits, n := 0, 0
	for b.Loop() {
		if _, ok := c.get(ids[n&(len(ids)-1)]); ok {
			hits++
		}
		n++
	}
	b.ReportMetric(float64(hits)/float64(n), "hits/op")
}

// BenchmarkCache_Million fills a cache of a million identities.
func BenchmarkCache_Million(b *testing.B) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	for b.Loop() {
		before := heap()
		c := newCache(1_000_000)
		c.clear(1)
		for i := range 1_100_000 {
			c.put(cached(i, placement.Epoch(i+1), 1))
		}
		b.ReportMetric(float64(heap()-before)/1e6, "MB")
		b.ReportMetric(float64(c.size()), "identities")
		runtime.KeepAlive(c)
	}
}
