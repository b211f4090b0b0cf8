package snapshot

import (
	"slices"

	"github.com/seed13d31b7f/berth/placement"
)

// SetBarrier says that removals up to log index b are visible to everybody for good. From now on they are seen as
// Absent, all at once; Collect takes them out of memory step by step. The barrier never goes back. SetBarrier says
// whether there were any that it had not passed before.
func (e *Editor) SetBarrier(b uint64) (completed bool) {
	if b <= e.v.Barrier {
		return false
	}
	e.v.Barrier = b
	n := 0
	for ; n < len(e.tombstones) && e.tombstones[n].at <= b; n++ {
		g := &e.tombstones[n]
		e.v.records -= g.digest
		e.buried = append(e.buried, g.hashes...)
	}
	e.tombstones = slices.Delete(e.tombstones, 0, n)
	completed = n > 0
	for n = 0; n < len(e.deaths) && e.deaths[n].at <= b; n++ {
		e.hide(e.deaths[n].slot)
	}
	e.deaths = slices.Delete(e.deaths, 0, n)
	return completed || n > 0
}

// hide takes all that an ended incarnation owned out of sight.
func (e *Editor) hide(i uint32) {
	s := e.v.slots.edit(e.gen, i)
	s.hidden = true
	e.v.records -= s.digest
	s.digest = 0
	s.kinds = nil
	e.garbage += int(s.settled) + int(s.pending)
	e.freeIfUnused(i)
}

// tombstone notes a removal that the barrier has not passed.
func (e *Editor) tombstone(at, hash, digest uint64) {
	n := len(e.tombstones)
	if n == 0 || e.tombstones[n-1].at != at {
		e.tombstones = append(e.tombstones, tombGroup{at: at})
		n++
	}
	g := &e.tombstones[n-1]
	g.digest += digest
	g.hashes = append(g.hashes, hash)
}

func (e *Editor) oldestRemoval() uint64 {
	var oldest uint64
	if len(e.tombstones) > 0 {
		oldest = e.tombstones[0].at
	}
	if len(e.deaths) > 0 && (oldest == 0 || e.deaths[0].at < oldest) {
		oldest = e.deaths[0].at
	}
	return oldest
}

// Collect takes records that mean nothing any more out of memory, looking at about that many buckets at most. It
// changes nothing that anybody can see, so replicas need not do it in step.
func (e *Editor) Collect(buckets int) {
	for ; buckets > 0 && len(e.buried) > 0; buckets-- {
		n := len(e.buried) - 1
		hash := e.buried[n]
		e.buried = e.buried[:n]
		if e.v.table.buckets > 0 {
			e.collectBucket(e.v.table.bucket(hash))
		}
	}
	for ; buckets > 0 && e.garbage > 0; buckets-- {
		if e.cursor >= e.v.table.buckets {
			e.cursor = 0
		}
		e.collectBucket(e.cursor)
		e.cursor++
	}
}

func (e *Editor) collectBucket(b int) {
	var owners []uint32
	e.v.table.remove(e.gen, b, func(r record) bool {
		s := r.value()
		if !e.v.hides(s) {
			return false
		}
		if s.phase() != placement.Tombstone {
			slot := e.v.slots.edit(e.gen, s.slot())
			if s.phase() == placement.Pending {
				slot.pending--
			} else {
				slot.settled--
			}
			e.garbage--
			owners = append(owners, s.slot())
		}
		return true
	})
	for _, i := range owners {
		e.freeIfUnused(i)
	}
}

// findDeaths makes the list of members that ended, and the free slots, from the view.
func (e *Editor) findDeaths() {
	for i := range uint32(e.v.slots.count) {
		s := e.v.slots.at(i)
		switch {
		case s.member == nil:
			e.free = append(e.free, i)
		case s.hidden:
			e.garbage += int(s.settled) + int(s.pending)
		case !s.member.State.Alive():
			e.deaths = append(e.deaths, death{s.member.Ended, i})
		}
	}
	slices.SortFunc(e.deaths, func(a, b death) int { return compare(a.at, b.at) })
}

// findTombstones makes the list of removals from the view.
func (e *Editor) findTombstones() {
	groups := map[uint64]*tombGroup{}
	for r := range e.v.storedRecords() {
		s := r.value()
		if s.phase() != placement.Tombstone {
			continue
		}
		k := r.key()
		hash := k.hash(e.v.table.seed)
		if s.number <= e.v.Barrier {
			e.buried = append(e.buried, hash)
			continue
		}
		g := groups[s.number]
		if g == nil {
			g = &tombGroup{at: s.number}
			groups[s.number] = g
		}
		g.digest += e.v.recordDigest(hash, s)
		g.hashes = append(g.hashes, hash)
	}
	for _, g := range groups { // any order: sorted below
		e.tombstones = append(e.tombstones, *g)
	}
	slices.SortFunc(e.tombstones, func(a, b tombGroup) int { return compare(a.at, b.at) })
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
