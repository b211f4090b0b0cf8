package snapshot

// pageBuilder fills the buckets of an empty table from records that come bucket by bucket.
type pageBuilder struct {
	t       *table
	gen     uint64
	buckets int

	now     int // the bucket being filled
	tags    []byte
	records [][]byte
	size    int
	room    []byte // what records point into
}

// add takes one record. It returns what is wrong with it, or nothing. k is copied.
func (b *pageBuilder) add(hash uint64, k key, s stored) string {
	if b.buckets == 0 {
		return "there are placements, but no buckets"
	}
	i := bucket(hash, b.buckets)
	if i < b.now {
		return "a placement stands in the wrong bucket"
	}
	if i > b.now {
		b.flush()
		b.now = i
	}
	for j, tag := range b.tags {
		if tag == tagOf(hash) && recordHasKey(b.records[j], k) {
			return "a placement stands twice"
		}
	}
	size := recordSize(k)
	if recordsAt(len(b.tags)+1)+b.size+size > pagePayloadBytesMax {
		return "a bucket is larger than a page"
	}
	if len(b.room)+size > cap(b.room) {
		b.room = make([]byte, 0, max(64<<10, size)) // the records so far stay in the room before
	}
	at := len(b.room)
	b.room = b.room[:at+size]
	r := b.room[at:]
	clear(r)
	putRecord(r, k, s)
	b.tags = append(b.tags, tagOf(hash))
	b.records = append(b.records, r[:recordBytes(r)])
	b.size += size
	return ""
}

func (b *pageBuilder) flush() {
	if len(b.tags) == 0 {
		return
	}
	b.grow(b.now + 1)
	b.t.setPage(b.gen, b.now, buildPage(b.gen, b.tags, b.records, b.size))
	b.tags, b.records, b.size, b.room = b.tags[:0], b.records[:0], 0, b.room[:0]
}

// grow makes room for n buckets.
func (b *pageBuilder) grow(n int) {
	t := b.t
	t.rootGen = b.gen
	for len(t.root)*chunkPages < n {
		t.root = append(t.root, emptyChunk)
	}
	t.buckets = max(t.buckets, n)
}

// emptyChunk stands for any chunk without pages. It belongs to no generation, so it is copied before it is written.
var emptyChunk = &chunk{}

func (b *pageBuilder) finish() {
	b.flush()
	b.grow(b.buckets)
}
