package snapshot

import (
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// expected are identities that Seek will be asked for, with what it would have to find out about them first.
type expected struct {
	next, n int // those that are left
	of      [lookupsAtOnce]struct {
		id   placement.Identity
		key  key
		hash uint64
	}
}

// Expect brings what Seek will need for each of the identities near by: the loads from memory, which are most of the cost
// of a change in a large index, are waited for together. It is told of 64 at most at a time, in the order in which Seek will
// be asked for them; it may be told of others too. It changes nothing, and need not be called. The texts must stay as they
// are until Expect or SetPosition is called again.
func (e *Editor) Expect(ids []placement.Identity) {
	ids = ids[:min(len(ids), lookupsAtOnce)]
	var g group
	x := &e.expected
	x.next, x.n = 0, 0
	for i, id := range ids {
		g.begin(&e.v, i, id)
		if g[i].chunk == nil {
			continue // its kind may be known by then
		}
		o := &x.of[x.n]
		o.id, o.key, o.hash = id, g[i].key, g[i].hash
		x.n++
	}
	g.load(len(ids))
	// A change copies all of the page and of the chunk.
	for i := range g[:len(ids)] {
		if l := &g[i]; l.page != nil {
			prefetchAll(unsafe.Pointer(*l.chunk), chunkBytes)
			prefetchAll(unsafe.Pointer(l.page), l.page.size())
		}
	}
}

const chunkBytes = int(unsafe.Sizeof(chunk{}))

// take sets key and hash to those of an identity that is expected, and says whether it is.
func (x *expected) take(id placement.Identity, k *key, hash *uint64) bool {
	for i := x.next; i < x.n; i++ {
		if o := &x.of[i]; o.id == id {
			*k, *hash = o.key, o.hash
			x.next = i + 1
			return true
		}
	}
	return false
}

// forget expects nothing any more.
func (x *expected) forget() { x.next, x.n = 0, 0 }
