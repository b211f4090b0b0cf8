package snapshot

import "math/bits"

const (
	// A change copies one chunk of pointers to pages and one branch of pointers to chunks, unless a change of the same
	// generation has done so: 136 and 520 bytes. Not more: that would cost more than the page. Not fewer: each level is
	// a load on the path of a look-up.
	chunkPages   = 1 << chunkBits
	chunkBits    = 4
	branchChunks = 1 << branchBits
	branchBits   = 6
	branchPages  = chunkPages * branchChunks

	// pageTargetBytes is the mean size of a page that splits and merges aim at, about seven UUIDs. Not larger: each update
	// copies a page, and a look-up finds tags and record in neighbouring lines of the cache. Not smaller: each page costs
	// a pointer, a head and a share of an allocator's size class.
	pageTargetBytes = 256

	// bucketsMax bounds what a snapshot can make a reader allocate for nothing, 1 MiB, and is far above what
	// fits in memory.
	bucketsMax = 1 << 28
)

// table is the index: an immutable map from keys to records, by linear hashing (Litwin 1980). There are n buckets, each
// one page; the bucket of a hash follows from the hash and n alone, and n grows and shrinks by one, so nothing is ever
// rebuilt at once. A changed table shares with its former self every page that did not change.
//
// A table is a value. Its methods that change something write only to pages, chunks, branches and the root of generation
// gen, which no published view holds.
type table struct {
	seed    uint64
	buckets int
	mask    uint64 // of the bits of a hash that say its bucket; see bucketMask
	records int
	bytes   int64 // of all pages
	root    []*branch
	rootGen uint64
}

type branch struct {
	gen   uint64
	chunk [branchChunks]*chunk
}

type chunk struct {
	gen  uint64
	page [chunkPages]*page
}

// emptyChunk and emptyBranch stand for all that have no pages. They belong to no generation, so they are copied before
// they are written.
var (
	emptyChunk  = &chunk{}
	emptyBranch = func() *branch {
		b := &branch{}
		for i := range b.chunk {
			b.chunk[i] = emptyChunk
		}
		return b
	}()
)

// bucketMask has the bits of a hash that tell n buckets apart: one more than needed, while n is no power of two.
func bucketMask(n int) uint64 { return 1<<bits.Len(uint(n-1)) - 1 }

// bucket is the bucket of a hash: its low bits, or one bit less where there is no such bucket yet.
func (t *table) bucket(hash uint64) int {
	i := hash & t.mask
	// Nobody can foresee which of the two it is, so it is no branch: all bits are set when i is a bucket, none otherwise.
	exists := uint64(int64(i-uint64(t.buckets)) >> 63)
	return int(i & (exists | t.mask>>1))
}

func (t *table) setBuckets(n int) { t.buckets, t.mask = n, bucketMask(n) }

func (t *table) page(i int) *page { return t.chunk(i).page[uint(i)%chunkPages] }

// chunk is the one that holds the page of a bucket.
func (t *table) chunk(i int) *chunk {
	return t.root[uint(i)/branchPages].chunk[uint(i)/chunkPages%branchChunks]
}

// get returns the page of a key and where in it the record is; zero when there is none.
func (t *table) get(hash uint64, k *key) (*page, int) {
	if t.buckets == 0 {
		return nil, 0
	}
	p := t.page(t.bucket(hash))
	return p, p.find(tagOf(hash), k)
}

func tagOf(hash uint64) byte { return byte(hash >> 56) }

// place is where the page of a bucket stands, to be written to.
func (t *table) place(gen uint64, i int) **page {
	if t.rootGen != gen {
		t.root = append(make([]*branch, 0, len(t.root)+1), t.root...)
		t.rootGen = gen
	}
	b := t.root[i/branchPages]
	if b.gen != gen {
		next := *b
		next.gen = gen
		b = &next
		t.root[i/branchPages] = b
	}
	c := b.chunk[i/chunkPages%branchChunks]
	if c.gen != gen {
		next := *c
		next.gen = gen
		c = &next
		b.chunk[i/chunkPages%branchChunks] = c
	}
	return &c.page[i%chunkPages]
}

// setPage replaces the page of a bucket.
func (t *table) setPage(gen uint64, i int, p *page) {
	at := t.place(gen, i)
	if old := *at; old != nil {
		t.bytes -= int64(old.size())
		t.records -= old.count()
	}
	if p != nil {
		t.bytes += int64(p.size())
		t.records += p.count()
	}
	*at = p
}

// put sets the record of a key, of which get may have said the page and where in it, and returns where it is now; nil
// and zero when that is to be asked of get.
func (t *table) put(gen, hash uint64, k *key, s stored, was *page, at int) (*page, int) {
	if t.buckets == 0 {
		t.grow(gen)
	}
	b := t.bucket(hash)
	p := t.page(b)
	if p != was || at == 0 {
		at = p.find(tagOf(hash), k)
	}
	if at == 0 {
		t.setPage(gen, b, p.with(gen, tagOf(hash), k, s))
		if t.full() {
			t.split(gen)
		}
		return nil, 0
	}
	if p.gen() != gen {
		p = p.clone(gen)
		*t.place(gen, b) = p
	}
	p.set(at, s)
	return p, at
}

// full says that the pages are larger than they should be.
func (t *table) full() bool {
	return t.bytes > int64(t.buckets)*pageTargetBytes && t.buckets < bucketsMax
}

// remove takes away the records of one bucket that drop wants, and returns how many there were.
func (t *table) remove(gen uint64, b int, drop func(record) bool) int {
	p := t.page(b)
	if p == nil {
		return 0
	}
	var room [64]bool
	keep, n := room[:0], 0
	for i := range p.count() {
		dropped := drop(p.record(i))
		keep = append(keep, !dropped)
		if dropped {
			n++
		}
	}
	if n == 0 {
		return 0
	}
	t.setPage(gen, b, p.only(gen, keep))
	// A third of the target: an index that shrinks and grows by a few records does not split and merge each time.
	if t.buckets > 1 && t.bytes < int64(t.buckets)*pageTargetBytes/3 {
		t.merge(gen)
	}
	return n
}

// grow adds an empty bucket at the end.
func (t *table) grow(gen uint64) {
	if t.buckets%branchPages == 0 {
		t.root = append(append(make([]*branch, 0, len(t.root)+1), t.root...), emptyBranch)
		t.rootGen = gen
	}
	t.setBuckets(t.buckets + 1)
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
	var room [2][64]bool
	stay, move := room[0][:0], room[1][:0]
	for i := range p.count() {
		k := p.record(i).key()
		stays := t.bucket(k.hash(t.seed)) == from
		stay, move = append(stay, stays), append(move, !stays)
	}
	t.setPage(gen, to, p.only(gen, move))
	t.setPage(gen, from, p.only(gen, stay))
}

// merge takes away the last bucket; its records go back to where split took them from.
func (t *table) merge(gen uint64) {
	last := t.buckets - 1
	into := last &^ (1 << (bits.Len(uint(last)) - 1))
	a, b := t.page(into), t.page(last)
	t.setPage(gen, last, nil)
	t.setPage(gen, into, joinPages(gen, a, b))
	t.setBuckets(t.buckets - 1)
	if t.buckets%branchPages == 0 {
		t.root = t.root[: len(t.root)-1 : len(t.root)-1]
	}
}
