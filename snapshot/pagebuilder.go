package snapshot

// pageBuilder fills the buckets of an empty table from records that come bucket by bucket.
type pageBuilder struct {
	t      *table
	gen    uint64
	layout table // of as many buckets, and nothing in them

	now   int // the bucket being filled
	tags  []byte
	room  []byte // the records, one after the other
	ends  []int  // of each record in room
	mixed bool
}

func newPageBuilder(t *table, gen uint64, buckets int) pageBuilder {
	b := pageBuilder{t: t, gen: gen}
	b.layout.setBuckets(buckets)
	return b
}

// add takes one record. It returns what is wrong with it, or nothing. k is copied.
func (b *pageBuilder) add(hash uint64, k *key, s stored) string {
	if b.layout.buckets == 0 {
		return "there are placements, but no buckets"
	}
	i := b.layout.bucket(hash)
	if i < b.now {
		return "a placement stands in the wrong bucket"
	}
	if i > b.now {
		b.flush()
		b.now = i
	}
	tag := tagOf(hash)
	for j, other := range b.tags {
		if other == tag && b.record(j).has(k) {
			return "a placement stands twice"
		}
	}
	at, size := len(b.room), k.size()
	if recordsAt(len(b.tags)+1, true)+at+size > pageBytesMax {
		return "a bucket is larger than a page"
	}
	b.room = append(b.room, make([]byte, size)...)
	record(b.room[at:]).init(k, s)
	b.tags = append(b.tags, tag)
	b.ends = append(b.ends, len(b.room))
	b.mixed = b.mixed || !k.packed
	return ""
}

func (b *pageBuilder) record(i int) record {
	from := 0
	if i > 0 {
		from = b.ends[i-1]
	}
	return b.room[from:b.ends[i]]
}

func (b *pageBuilder) flush() {
	if len(b.tags) == 0 {
		return
	}
	b.grow(b.now + 1)
	f := startPage(b.gen, len(b.tags), b.mixed, len(b.room))
	for i, tag := range b.tags {
		f.add(tag, b.record(i))
	}
	b.t.setPage(b.gen, b.now, f.page)
	b.tags, b.room, b.ends, b.mixed = b.tags[:0], b.room[:0], b.ends[:0], false
}

// grow makes room for n buckets.
func (b *pageBuilder) grow(n int) {
	t := b.t
	t.rootGen = b.gen
	for len(t.root)*branchPages < n {
		t.root = append(t.root, emptyBranch)
	}
	t.setBuckets(max(t.buckets, n))
}

// finish makes the buckets as many as were announced, and then as many as this version would have made: the file may be of
// one that had larger pages.
func (b *pageBuilder) finish() {
	b.flush()
	b.grow(b.layout.buckets)
	for b.t.full() {
		b.t.split(b.gen)
	}
}
