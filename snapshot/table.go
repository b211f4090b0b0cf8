package snapshot

import "math/bits"

const (
	chunkPages = 64 // a change copies one chunk of pointers, 512 bytes, and the array of chunks once a generation

	// pageTargetBytes is the mean size of a page's payload that splits and merges aim at. Not larger: each update
	// copies a page. Not smaller: each page costs a pointer, a header and a share of an allocator's size class.
	pageTargetBytes = 1400

	// bucketsMax bounds what a snapshot can make a reader allocate for nothing, 8 MiB, and is far above what
	// fits in memory.
	bucketsMax = 1 << 26
)

// table is the index: an immutable map from keys to records, by linear hashing (Litwin 1980). There are n buckets, each
// one page; the bucket of a hash follows from the hash and n alone, and n grows and shrinks by one, so nothing is ever
// rebuilt at once. A changed table shares with its former self every page that did not change.
//
// A table is a value. Its methods that change something write only to pages, chunks and the root of generation gen,
// which no published view holds.
type table struct {
	seed    uint64
	buckets int
	records int
	bytes   int64 // of all payloads
	root    []*chunk
	rootGen uint64
}

type chunk struct {
	gen  uint64
	page [chunkPages]*page
}

// bucket is the bucket of a hash among n.
func bucket(hash uint64, n int) int {
	mask := uint64(1)<<bits.Len(uint(n-1)) - 1
	if i := hash & mask; i < uint64(n) {
		return int(i)
	}
	return int(hash & (mask >> 1))
}

func (t *table) page(i int) *page {
	c := t.root[i/chunkPages]
	return c.page[i%chunkPages]
}

// get returns the record of a key, nil when there is none. It must not be changed.
func (t *table) get(hash uint64, k key) []byte {
	if t.buckets == 0 {
		return nil
	}
	p := t.page(bucket(hash, t.buckets))
	if i := p.find(tagOf(hash), k); i >= 0 {
		return p.record(i)
	}
	return nil
}

func tagOf(hash uint64) byte { return byte(hash >> 56) }

// setPage replaces the page of a bucket.
func (t *table) setPage(gen uint64, i int, p *page) {
	if t.rootGen != gen {
		t.root = append(make([]*chunk, 0, len(t.root)+1), t.root...)
		t.rootGen = gen
	}
	c := t.root[i/chunkPages]
	if c.gen != gen {
		next := *c
		next.gen = gen
		c = &next
		t.root[i/chunkPages] = c
	}
	if old := c.page[i%chunkPages]; old != nil {
		t.bytes -= int64(old.size)
		t.records -= int(old.count)
	}
	if p != nil {
		t.bytes += int64(p.size)
		t.records += int(p.count)
	}
	c.page[i%chunkPages] = p
}

// put sets the record of a key, and returns what it was before.
func (t *table) put(gen, hash uint64, k key, s stored) (old stored, existed bool) {
	if t.buckets == 0 {
		t.grow(gen)
	}
	b := bucket(hash, t.buckets)
	p := t.page(b)
	i := p.find(tagOf(hash), k)
	if i < 0 {
		t.setPage(gen, b, p.with(gen, tagOf(hash), k, s))
		if t.bytes > int64(t.buckets)*pageTargetBytes && t.buckets < bucketsMax {
			t.split(gen)
		}
		return stored{}, false
	}
	if p.gen != gen {
		p = p.clone(gen)
		t.setPage(gen, b, p)
	}
	r := p.record(i)
	old = recordValue(r)
	putValue(r, s)
	return old, true
}

// remove takes away the records of one bucket that drop wants, and returns how many there were.
func (t *table) remove(gen uint64, b int, drop func(record []byte) bool) int {
	p := t.page(b)
	if p == nil {
		return 0
	}
	n := 0
	q := p.filter(gen, func(r []byte) bool {
		if drop(r) {
			n++
			return false
		}
		return true
	})
	if n == 0 {
		return 0
	}
	t.setPage(gen, b, q)
	// A third of the target: an index that shrinks and grows by a few records does not split and merge each time.
	if t.buckets > 1 && t.bytes < int64(t.buckets)*pageTargetBytes/3 {
		t.merge(gen)
	}
	return n
}

// grow adds an empty bucket at the end.
func (t *table) grow(gen uint64) {
	if t.buckets%chunkPages == 0 {
		t.root = append(append(make([]*chunk, 0, len(t.root)+1), t.root...), &chunk{gen: gen})
		t.rootGen = gen
	}
	t.buckets++
}

// split adds a bucket and moves into it what belongs there, all of it from one other bucket.
func (t *table) split(gen uint64) {
	from := t.buckets &^ (1 << (bits.Len(uint(t.buckets)) - 1)) // the bucket whose records have their next bit in question
	t.grow(gen)
	to := t.buckets - 1
	p := t.page(from)
	if p == nil {
		return
	}
	stays := func(r []byte) bool { return bucket(recordKey(r).hash(t.seed), t.buckets) == from }
	t.setPage(gen, to, p.filter(gen, func(r []byte) bool { return !stays(r) }))
	t.setPage(gen, from, p.filter(gen, stays))
}

// merge takes away the last bucket; its records go back to where split took them from.
func (t *table) merge(gen uint64) {
	last := t.buckets - 1
	into := last &^ (1 << (bits.Len(uint(last)) - 1))
	a, b := t.page(into), t.page(last)
	t.setPage(gen, last, nil)
	t.setPage(gen, into, joinPages(gen, a, b))
	t.buckets--
	if t.buckets%chunkPages == 0 {
		t.root = t.root[: len(t.root)-1 : len(t.root)-1]
	}
}

func joinPages(gen uint64, pages ...*page) *page {
	var tags []byte
	var records [][]byte
	size := 0
	for _, p := range pages {
		if p == nil {
			continue
		}
		tags = append(tags, p.payload()[:p.count]...)
		for i := range int(p.count) {
			r := p.record(i)
			records, size = append(records, r), size+(len(r)+1)&^1
		}
	}
	return buildPage(gen, tags, records, size)
}
