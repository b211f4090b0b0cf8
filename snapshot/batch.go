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

// lookupGroup finds all of them, and then looks at what it found.
func (v *View) lookupGroup(of []Placement) {
	var g group
	for i := range of {
		g.begin(v, i, of[i].Identity)
	}
	g.load(len(of))
	for i := range of {
		p, l := &of[i], &g[i]
		p.Entry, p.Owner = placement.Entry{}, nil
		if at := l.page.find(tagOf(l.hash), &l.key); at != 0 {
			p.Owner = v.see(l.page.value(at), &p.Entry)
		}
	}
}

// Expect brings what Seek will need for each of the identities near by: the loads from memory, which are most of the cost
// of a change in a large index, are waited for together. It changes nothing, and need not be called.
func (e *Editor) Expect(ids []placement.Identity) {
	for len(ids) > 0 {
		n := min(len(ids), lookupsAtOnce)
		var g group
		for i, id := range ids[:n] {
			g.begin(&e.v, i, id)
		}
		g.load(n)
		ids = ids[n:]
	}
}

// group is a number of look-ups that go on together: all are taken one step further before any of them takes the next.
// Each step begins with a load that depends on the step before, and the loads of one step do not depend on each other.
// What a step does with what it has loaded is little, so that the processor has many of them under way.
type group [lookupsAtOnce]struct {
	key   key
	hash  uint64
	place **page // nil when it is known that there is nothing
	page  *page
	head  uint64 // of the page
	bits  uint64 // of the record that it probably is
}

// begin is the first step of the i-th look-up.
func (g *group) begin(v *View, i int, id placement.Identity) {
	kind, ok := v.kinds.get(id.Kind)
	if !ok || v.table.buckets == 0 {
		return
	}
	l := &g[i]
	l.key.set(kind, id.Key)
	l.hash = l.key.hash(v.table.seed)
	b := v.table.bucket(l.hash)
	l.place = &v.table.chunk(b).page[uint(b)%chunkPages]
}

// load takes the steps that wait for memory, for the first n look-ups.
func (g *group) load(n int) {
	of := g[:n]
	for i := range of {
		if l := &of[i]; l.place != nil {
			l.page = *l.place
		}
	}
	for i := range of {
		if l := &of[i]; l.page != nil {
			l.head = l.page.head
		}
	}
	for i := range of {
		if l := &of[i]; l.page != nil {
			l.bits = l.page.word(l.page.candidate(tagOf(l.hash)))
		}
	}
}
