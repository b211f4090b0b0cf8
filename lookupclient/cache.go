package lookupclient

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"unique"

	"github.com/seed13d31b7f/berth/placement"
)

const (
	// CacheMax is the largest Config.Cache.
	CacheMax = 10_000_000

	// A cache of cacheSplit placements and more has cacheShards parts, each with a lock of its own.
	cacheSplit  = 1024
	cacheShards = 64
)

// cache remembers settled placements, no more than a number of them. A placement is known as of a log index, and gives way to
// whatever is known as of a later one.
type cache struct {
	seed   maphash.Seed
	shards []cacheShard
}

// cacheShard is a part of a cache. When it is full, one that was not asked for lately makes room.
type cacheShard struct {
	mu    sync.Mutex
	limit int
	floor uint64 // what was so as of an earlier log index may have ended since
	at    map[uint64]int32
	slots []cacheSlot
	free  []int32
	hand  int // where the search for room goes on
}

// cacheSlot is one placement. A slot that is free has no owner.
type cacheSlot struct {
	hash  uint64
	kind  unique.Handle[string]
	key   string
	owner unique.Handle[cacheOwner]
	epoch placement.Epoch
	index uint64 // as of which it is known; the highest bit says that it was asked for
}

// cacheOwner is what placements of one member have in common.
type cacheOwner struct {
	member   placement.MemberID
	address  string
	draining bool
}

const slotUsed = 1 << 63

func newCache(limit int) *cache {
	n := 1
	if limit >= cacheSplit {
		n = cacheShards
	}
	c := &cache{seed: maphash.MakeSeed(), shards: make([]cacheShard, n)}
	for i := range c.shards {
		s := &c.shards[i]
		s.limit, s.at = limit/n, map[uint64]int32{}
		s.floor = ^uint64(0) // nothing is known of what ends
	}
	return c
}

// shard returns the part that an identity belongs to, and its hash.
func (c *cache) shard(id placement.Identity) (*cacheShard, uint64) {
	h := maphash.String(c.seed, id.Key) ^ bits.RotateLeft64(maphash.String(c.seed, id.Kind), 1)
	return &c.shards[h>>32%uint64(len(c.shards))], h
}

// get returns what is remembered of an identity.
func (c *cache) get(id placement.Identity) (Placement, bool) {
	s, h := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	n, ok := s.find(h, id)
	if !ok {
		return Placement{}, false
	}
	x := &s.slots[n]
	x.index |= slotUsed
	o := x.owner.Value()
	return Placement{
		Identity: id, Phase: placement.Settled, Member: o.member, Address: o.address, Epoch: x.epoch, Draining: o.draining,
		Index: x.index &^ slotUsed, Level: Stale, Age: -1, Cached: true,
	}, true
}

// put remembers a placement, unless it is not settled, may have ended already, or another one is known under a larger epoch
// or as of a later index.
func (c *cache) put(p Placement) {
	if p.Phase != placement.Settled || p.Level == Stale {
		return
	}
	s, h := c.shard(p.Identity)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Index < s.floor {
		return
	}
	n, ok := s.at[h]
	if ok {
		x := &s.slots[n]
		if x.is(p.Identity) && (x.epoch > p.Epoch || x.index&^slotUsed > p.Index) {
			return
		}
	} else {
		n = s.room()
		s.at[h] = n
	}
	s.slots[n] = cacheSlot{
		hash: h, kind: unique.Make(p.Identity.Kind), key: p.Identity.Key, epoch: p.Epoch, index: p.Index,
		owner: unique.Make(cacheOwner{p.Member, p.Address, p.Draining}),
	}
}

// forget drops a placement when its epoch is not larger; an epoch of zero drops whatever there is.
func (c *cache) forget(id placement.Identity, epoch placement.Epoch) {
	s, h := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.find(h, id); ok && (epoch == 0 || s.slots[n].epoch <= epoch) {
		s.drop(n)
	}
}

// ended drops what is known of an identity as of an earlier index than the one at which its placement ended or changed.
// Answers that are as old and arrive later are not remembered either.
func (c *cache) ended(id placement.Identity, index uint64) {
	s, h := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = max(s.floor, index)
	if n, ok := s.find(h, id); ok && s.slots[n].index&^slotUsed < index {
		s.drop(n)
	}
}

// memberEnded does the same with everything that a member owned.
func (c *cache) memberEnded(member placement.MemberID, index uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.floor = max(s.floor, index)
		for n := range s.slots {
			x := &s.slots[n]
			if x.taken() && x.index&^slotUsed < index && x.owner.Value().member == member {
				s.drop(int32(n))
			}
		}
		s.mu.Unlock()
	}
}

// clear drops everything, and remembers nothing that is older than the index.
func (c *cache) clear(floor uint64) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.floor, s.at, s.slots, s.free, s.hand = floor, map[uint64]int32{}, nil, nil, 0
		s.mu.Unlock()
	}
}

// size is the number of placements that are remembered.
func (c *cache) size() (n int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		n += len(s.at)
		s.mu.Unlock()
	}
	return n
}

func (x *cacheSlot) taken() bool { return x.owner != unique.Handle[cacheOwner]{} }

func (x *cacheSlot) is(id placement.Identity) bool {
	return x.key == id.Key && x.kind.Value() == id.Kind
}

// find returns the slot of an identity. Two identities of one hash take turns.
func (s *cacheShard) find(h uint64, id placement.Identity) (int32, bool) {
	n, ok := s.at[h]
	return n, ok && s.slots[n].is(id)
}

func (s *cacheShard) drop(n int32) {
	delete(s.at, s.slots[n].hash)
	s.slots[n] = cacheSlot{}
	s.free = append(s.free, n)
}

// room returns a slot that is free.
func (s *cacheShard) room() int32 {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot
	}
	if n := len(s.slots); n < s.limit {
		if n == cap(s.slots) {
			s.slots = slices.Grow(s.slots, min(max(n/2, 8), s.limit-n))
		}
		s.slots = append(s.slots, cacheSlot{})
		return int32(n)
	}
	for {
		n := s.hand
		s.hand = (s.hand + 1) % len(s.slots)
		if x := &s.slots[n]; x.index&slotUsed != 0 {
			x.index &^= slotUsed
			continue
		}
		delete(s.at, s.slots[n].hash)
		return int32(n)
	}
}
