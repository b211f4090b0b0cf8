package snapshot

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
)

// Digest is a hash of everything that a view means. Replicas that applied the same log have the same digest at the
// same index, whatever the order in which their memory came to hold it: it is a sum over the records, kept up to date
// by each change. It finds accidents, not forgeries.
type Digest uint64

// String is the digest as 16 hexadecimal digits.
func (d Digest) String() string { return fmt.Sprintf("%016x", uint64(d)) }

// Digest returns the digest as carried along by the changes. Its cost does not depend on the number of placements.
func (v *View) Digest() Digest {
	return v.digest(sums{records: v.records, locks: v.tables.digest, blocks: v.blocks.digest, moves: v.moves.digest, marks: v.timeline.digest, crashes: v.crashes.digest})
}

// sums are the sums of the digests of the records of which there may be many.
type sums struct{ records, locks, blocks, moves, marks, crashes uint64 }

// RecomputeDigest computes the digest anew from everything in the view. Where it differs from Digest, memory or code
// is broken.
func (v *View) RecomputeDigest() Digest {
	var sum sums
	for b := range v.Blocks() {
		sum.blocks += b.digest()
	}
	for m := range v.Moves() {
		sum.moves += m.digest()
	}
	for c := range v.Crashes() {
		sum.crashes += c.digest()
	}
	for r := range v.storedRecords() {
		s := r.value()
		if v.hides(s) {
			continue
		}
		k := r.key()
		sum.records += v.recordDigest(k.hash(v.table.seed), s)
	}
	sum.locks, sum.marks = v.sumLocks(), v.sumMarks()
	return v.digest(sum)
}

// hides says that a record means nothing any more and only waits to be taken out of memory.
func (v *View) hides(s stored) bool {
	if s.phase() == placement.Tombstone {
		return s.number <= v.Barrier
	}
	return v.slots.at(s.slot()).hidden
}

// recordDigest is the share of one record.
func (v *View) recordDigest(hash uint64, s stored) uint64 {
	x := uint64(s.phase()) | uint64(s.attempt())<<8 | uint64(s.reason())<<16
	if s.draining() {
		x |= 1 << 24
	}
	owner := placement.Incarnation(0)
	if s.phase() != placement.Tombstone {
		owner = v.slots.at(s.slot()).member.Incarnation
	}
	return fold(fold(fold(hash, x), uint64(owner)), s.number)
}

// fold mixes y into x, with splitmix64's finaliser.
func fold(x, y uint64) uint64 {
	z := x + (y+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func foldText(x uint64, s string) uint64 { return fold(x, xxh3.HashString(s)) }

func (v *View) digest(sum sums) Digest {
	x := fold(v.Index, v.Term)
	x = fold(fold(x, v.Time), v.Barrier)
	x = v.Cluster.fold(x)
	x = fold(x, sum.records)
	x = fold(x, v.membersDigest())
	for _, name := range v.kindNames {
		x = foldText(x, name)
	}
	for name, s := range v.settings.all() {
		x = fold(foldText(foldText(x, name), s.Strategy), uint64(s.Attempts))
		x = foldSettings(x, &s)
	}
	for s := range v.Servers() {
		x = s.fold(x)
	}
	x = fold(fold(fold(x, v.results.forgotten), uint64(v.results.count)), v.results.digest)
	x = v.foldLocks(x, sum.locks)
	// What old files know nothing of leaves no trace when there is none of it.
	if n := v.BlockCount(); n > 0 {
		x = fold(fold(x, uint64(n)), sum.blocks)
	}
	if n := v.MoveCount(); n > 0 {
		x = fold(fold(x, uint64(n)<<32), sum.moves)
	}
	if n := len(v.timeline.marks); n > 0 {
		x = fold(fold(x, uint64(n)<<48), sum.marks)
	}
	if n := v.CrashCount(); n > 0 {
		x = fold(fold(x, uint64(n)|1<<40), sum.crashes)
	}
	return Digest(x)
}

// foldSettings mixes in what a kind has beside strategy and attempts, when that is not the defaults.
func foldSettings(x uint64, s *placement.KindSettings) uint64 {
	if plain := (placement.KindSettings{Strategy: s.Strategy, Attempts: s.Attempts, Settle: placement.SettleOnConfirm}); *s == plain {
		return x
	}
	x = fold(fold(x, uint64(s.Settle)), uint64(s.MemberCapacity)<<32|uint64(s.ConfirmMs))
	for _, l := range s.Required() {
		x = foldText(foldText(x, l.Name), l.Value)
	}
	return x
}

func (c *Cluster) fold(x uint64) uint64 {
	x = fold(foldText(x, c.ID), c.Seed)
	x = fold(fold(x, uint64(c.Generation)), c.EpochBase)
	return fold(fold(fold(x, uint64(c.FeatureLevel)), c.MaxReadLease), c.MaxMemberTTL)
}

func (s *Server) fold(x uint64) uint64 {
	for _, t := range []string{s.Name, s.Incarnation, s.RaftAddress, s.GRPCAddress, s.HTTPAddress, s.Version} {
		x = foldText(x, t)
	}
	if s.Removed {
		x++
	}
	return fold(x, uint64(s.FeatureLevel))
}

// membersDigest is a sum, since slots have no order that replicas agree on.
func (v *View) membersDigest() (sum uint64) {
	for m := range v.Members() {
		x := fold(foldText(uint64(m.Incarnation), string(m.ID)), uint64(m.State)<<56|m.Ended)
		x = fold(foldText(x, m.Address), uint64(m.Weight)<<32|uint64(m.Capacity))
		for _, k := range m.Kinds {
			x = foldText(x, k)
		}
		for _, l := range m.Labels {
			x = foldText(foldText(x, l.Name), l.Value)
		}
		if m.Drained {
			x = fold(x, 1)
		}
		if m.DrainRate != 0 {
			x = fold(x, 1<<32|uint64(m.DrainRate))
		}
		sum += x
	}
	return sum
}
