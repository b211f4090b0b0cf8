package snapshot

import "github.com/seed13d31b7f/berth/placement"

// lookupsAtOnce is how many look-ups LookupBatch has under way at a time. Not fewer: a processor waits for ten to fifty
// loads from memory at once. Not more: what they have found so far is to stay in the nearest cache.
const lookupsAtOnce = 64

// LookupBatch is Lookup for each of the identities, and fills in their Entry and Owner. In a large index it takes a third
// of the time of as many single look-ups: most of that is waiting for memory, and here they wait together. It takes no
// lock and allocates nothing.
func (v *View) LookupBatch(of []Placement) {
	for len(of) > 0 {
		n := min(len(of), lookupsAtOnce)
		v.lookupGroup(of[:n])
		of = of[n:]
	}
}

// lookupGroup takes all look-ups one step further before any of them takes the next: each step begins with a load that
// depends on the step before, and the loads of one step do not depend on each other. What a step does with what it has
// loaded is little, so that the processor has many of them under way.
func (v *View) lookupGroup(of []Placement) {
	var group [lookupsAtOnce]struct {
		key   key
		hash  uint64
		place **page // nil when it is known that there is nothing
		page  *page
		head  uint64 // of the page
		bits  uint64 // of the record that it probably is
	}
	for i := range of {
		of[i].Entry, of[i].Owner = placement.Entry{}, nil
		kind, ok := v.kinds.get(of[i].Identity.Kind)
		if !ok || v.table.buckets == 0 {
			continue
		}
		g := &group[i]
		g.key.set(kind, of[i].Identity.Key)
		g.hash = g.key.hash(v.table.seed)
		b := v.table.bucket(g.hash)
		g.place = &v.table.chunk(b).page[uint(b)%chunkPages]
	}
	for i := range of {
		if g := &group[i]; g.place != nil {
			g.page = *g.place
		}
	}
	for i := range of {
		if g := &group[i]; g.page != nil {
			g.head = g.page.head
		}
	}
	for i := range of {
		if g := &group[i]; g.page != nil {
			g.bits = g.page.word(g.page.candidate(tagOf(g.hash)))
		}
	}
	for i := range of {
		g := &group[i]
		if at := g.page.find(tagOf(g.hash), &g.key); at != 0 {
			of[i].Owner = v.see(g.page.value(at), &of[i].Entry)
		}
	}
}
