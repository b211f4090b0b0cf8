package lookupclient

import (
	"fmt"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// remembers is what the test below looks at.
type remembers interface {
	put(Placement)
	get(placement.Identity) (Placement, bool)
}

// makesRoom says whether a cache that is full makes room when something new comes, and only then, and not always with what came
// first.
func makesRoom(open func() remembers, limit int) error {
	c := open()
	for i := range limit {
		c.put(cached(i, 1, 1))
	}
	for i := range limit { // each of them is known as of a later index
		c.put(cached(i, 2, 2))
	}
	for i := range limit {
		if p, ok := c.get(cached(i, 0, 0).Identity); !ok || p.Epoch != 2 {
			return fmt.Errorf("one that was replaced took the place of number %d: %+v, %t", i, p, ok)
		}
	}
	c = open()
	for i := range limit {
		c.put(cached(i, 1, 1))
	}
	for i := range limit {
		c.get(cached(0, 0, 0).Identity)
		c.put(cached(limit+i, 3, 3))
	}
	if _, ok := c.get(cached(0, 0, 0).Identity); !ok {
		return fmt.Errorf("what came first and is asked for all the time is gone")
	}
	return nil
}

// firstGoes is a cache that drops what came first, also when it only replaces something.
type firstGoes struct {
	limit int
	also  bool // also when it replaces
	order []placement.Identity
	all   map[placement.Identity]Placement
}

func (f *firstGoes) put(p Placement) {
	_, there := f.all[p.Identity]
	if len(f.all) == f.limit && (!there || f.also) {
		delete(f.all, f.order[0])
		f.order = f.order[1:]
	}
	if _, there := f.all[p.Identity]; !there {
		f.order = append(f.order, p.Identity)
	}
	f.all[p.Identity] = p
}

func (f *firstGoes) get(id placement.Identity) (Placement, bool) {
	p, ok := f.all[id]
	return p, ok
}

// A placement that is replaced costs no other one its place, and what came first is not the first to go. Caches that do
// otherwise are seen.
func TestCache_Replaced_NobodyElseGoes(t *testing.T) {
	for _, limit := range []int{2, 7, 100} {
		open := func() remembers {
			c := newCache(limit)
			c.clear(1)
			return c
		}
		if err := makesRoom(open, limit); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		for _, also := range []bool{false, true} {
			broken := func() remembers {
				return &firstGoes{limit: limit, also: also, all: map[placement.Identity]Placement{}}
			}
			if makesRoom(broken, limit) == nil {
				t.Errorf("limit %d: a cache that drops what came first is not seen (also when it replaces: %t)", limit, also)
			}
		}
	}
}
