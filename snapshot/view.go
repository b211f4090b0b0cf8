package snapshot

import (
	"iter"
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// Limits of a view's tables.
const (
	// KindsMax is the number of kinds that a cluster may know: a kind's number has 16 bits.
	KindsMax = 65000
	// ServersMax is the number of server names that a cluster remembers, removed ones included.
	ServersMax = 1024
	// ResultsMax is the number of results of requests that are remembered. At a failover no command is applied,
	// so what counts is that all requests which are in flight at one moment fit.
	ResultsMax = 1 << 16
)

// View is the state of the cluster as of one log index. It is immutable and safe for any number of readers; a look-up
// takes no lock and allocates nothing. It may be held as long as one likes: what it shares with newer views is shared,
// the rest stays in memory with it.
type View struct {
	// Index and Term are the log position of the newest command applied. Entries that Raft makes for itself do
	// not count.
	Index, Term uint64
	// Time is the replicated clock, in milliseconds since 1970: the newest of the times at which leaders made
	// their batches. It never goes back, it informs, and nothing is decided by it.
	Time uint64
	// Barrier is the log index up to which removals are visible to everybody for good.
	Barrier uint64
	// Cluster says which cluster this is.
	Cluster Cluster
	// Roster has the incarnation that stands for each member's name.
	Roster placement.Roster

	table        table
	slots        slots
	incarnations *dict[uint32] // slot by incarnationKey
	kinds        *kinds
	kindNames    []string                      // by number; views share one array and differ in length
	settings     *dict[placement.KindSettings] // of the kinds that have others than the defaults
	servers      *dict[Server]
	results      results
	tables       lockTables
	blocks       blocks
	moves        moves
	records      uint64 // sum of the digests of all records that mean something
	oldest       uint64 // see OldestRemoval
	timeline     timeline
	crashes      crashes
}

// OldestRemoval is the log index of the oldest removal that the barrier has not passed; zero when there is none.
func (v *View) OldestRemoval() uint64 { return v.oldest }

// Cluster says which cluster a view is of, and holds what all of its tenures have in common.
type Cluster struct {
	// ID names the cluster; empty before its first command.
	ID string
	// Seed spreads the identities over the index. It is secret enough: it keeps strangers from choosing
	// identities that fall into one place.
	Seed uint64
	// Generation is the recovery generation: it grows whenever log indexes may be used again.
	Generation uint16
	// EpochBase is the log index from which the epochs of the generation are counted.
	EpochBase uint64
	// FeatureLevel is the set of commands and fields that every server is known to understand.
	FeatureLevel uint32
	// MaxReadLease and MaxMemberTTL are the longest read lease and member TTL that any leader ever announced, in
	// nanoseconds.
	MaxReadLease, MaxMemberTTL uint64
	// MaxSessionTTL is the longest TTL that any session ever had, in nanoseconds.
	MaxSessionTTL uint64
}

// Server is one registered server of the Raft group.
type Server struct {
	// Name is chosen by the operator and kept for ever; a name that was removed is not used again.
	Name string
	// Incarnation is the identity of the server's disk.
	Incarnation string
	// RaftAddress, GRPCAddress and HTTPAddress are where others reach it, host:port.
	RaftAddress, GRPCAddress, HTTPAddress string
	// FeatureLevel is the newest that it understands.
	FeatureLevel uint32
	// Version is the version of its binary.
	Version string
	// Removed says that it is no longer part of the cluster.
	Removed bool
}

// Empty returns the view of a cluster that has applied nothing.
func Empty() *View { return &View{} }

// Lookup returns what everybody must see of an identity as of this view, and the member that owns it: nil unless the
// entry is Pending or Settled. The member must not be changed.
func (v *View) Lookup(id placement.Identity) (e placement.Entry, owner *placement.Member) {
	kind, ok := v.kinds.get(id.Kind)
	if !ok || v.table.buckets == 0 {
		return e, nil
	}
	if len(id.Key) == uuidTextBytes {
		p, at, u, hash := seekUUID(&v.table, unsafe.StringData(id.Key), packedSeed(v.table.seed, kind), kind)
		if at == seekInPage {
			at = p.findUUID(tagOf(hash), kind, u)
		}
		if at > 0 {
			owner = v.see(p.value(at), &e)
			return e, owner
		}
		if at == 0 {
			return e, nil
		}
	}
	owner = v.lookupText(kind, id.Key, &e)
	return e, owner
}

// lookupText is Lookup where there is no short way.
//
//go:noinline
func (v *View) lookupText(kind KindNumber, text string, e *placement.Entry) *placement.Member {
	var k key
	hash := k.set(kind, text, v.table.seed)
	p, at := v.table.get(hash, &k)
	if at == 0 {
		return nil
	}
	return v.see(p.value(at), e)
}

// see sets e, which is zero, to the entry that everybody must see in place of a record, and returns its owner. It goes by
// single fields and a pointer: a structure of this size that is assigned as a whole is written in small parts and at
// once read in large ones, for which a processor waits as long as for the rest of the look-up.
func (v *View) see(s stored, e *placement.Entry) *placement.Member {
	if s.phase() != placement.Tombstone {
		owner := v.slots.at(s.slot()).member
		e.Phase, e.Attempt, e.Draining, e.Reason = s.phase(), s.attempt(), s.draining(), s.reason()
		e.Owner, e.Epoch = owner.Incarnation, placement.Epoch(s.number)
		if owner.Ended == 0 {
			return owner
		}
		v.seeAgain(e, owner.Ended)
		return nil // it has no owner any more
	}
	e.Phase, e.Removed = placement.Tombstone, s.number
	v.seeAgain(e, 0)
	return nil
}

// seeAgain is apart from see, since the copies that it makes would be room on the stack of every look-up.
//
//go:noinline
func (v *View) seeAgain(e *placement.Entry, died uint64) { *e = e.Seen(died, v.Barrier) }

// Placement is one identity with what is known of it.
type Placement struct {
	Identity placement.Identity
	Entry    placement.Entry
	// Owner is the member that owns a Pending or Settled entry, nil otherwise. It must not be changed.
	Owner *placement.Member
}

// Placements yields every identity that is not Absent, in the order of the index, which is no order that means anything
// but is the same each time for one view.
func (v *View) Placements() iter.Seq[Placement] {
	return func(yield func(Placement) bool) { v.Scan(Filter{}, 0, scanAll, yield) }
}

// storedRecords yields the records of the index, bucket by bucket.
func (v *View) storedRecords() iter.Seq[record] {
	return func(yield func(record) bool) {
		for b := range v.table.buckets {
			p := v.table.page(b)
			if p == nil {
				continue
			}
			for i := range p.count() {
				if !yield(p.record(i)) {
					return
				}
			}
		}
	}
}

// Load is what one incarnation owns.
type Load struct{ Settled, Pending uint32 }

// MemberLoad returns what an incarnation owns as of this view; zeros when it is not alive.
func (v *View) MemberLoad(inc placement.Incarnation) Load {
	i, ok := v.incarnations.get(incarnationKey(inc))
	if !ok {
		return Load{}
	}
	s := v.slots.at(i)
	if !s.member.State.Alive() {
		return Load{}
	}
	return Load{s.settled, s.pending}
}

// Owned returns how many identities an incarnation owns as of this view or, when it has ended, owned then: the barrier has not
// passed its end. Zero for all others.
func (v *View) Owned(inc placement.Incarnation) uint32 {
	i, ok := v.incarnations.get(incarnationKey(inc))
	if !ok || v.slots.at(i).hidden {
		return 0
	}
	s := v.slots.at(i)
	return s.settled + s.pending
}

// MemberKindLoad returns how many identities of a kind an incarnation owns as of this view; zero when it is not alive.
func (v *View) MemberKindLoad(inc placement.Incarnation, kind string) uint32 {
	i, ok := v.incarnations.get(incarnationKey(inc))
	number, known := v.kinds.get(kind)
	if !ok || !known {
		return 0
	}
	s := v.slots.at(i)
	if !s.member.State.Alive() || s.kinds == nil {
		return 0
	}
	n, ok := s.kinds.find(number)
	if !ok {
		return 0
	}
	return s.kinds.list[n].n
}

// Eligible appends to dst the members that may be given new placements of the kind, ascending by name, and returns it:
// those that are live, host it and carry the labels that it requires. Whether they have room is not looked at.
func (v *View) Eligible(dst []*placement.Member, kind string) []*placement.Member {
	settings, n := v.KindSettings(kind), len(dst)
	dst = v.Roster.Eligible(dst, kind)
	if len(settings.Required()) == 0 {
		return dst
	}
	kept := dst[:n]
	for _, m := range dst[n:] {
		if _, missing := settings.Missing(m); !missing {
			kept = append(kept, m)
		}
	}
	return kept
}

// Incarnation returns the member of that incarnation: alive, or ended and still owning what not everybody has seen
// removed. It is nil for all others. The member must not be changed.
func (v *View) Incarnation(inc placement.Incarnation) *placement.Member {
	i, ok := v.incarnations.get(incarnationKey(inc))
	if !ok || v.slots.at(i).hidden {
		return nil
	}
	return v.slots.at(i).member
}

// Members yields every incarnation that is alive, and those that ended above the barrier: nobody may be told yet that
// they are gone. They come in no particular order.
func (v *View) Members() iter.Seq2[*placement.Member, Load] {
	return func(yield func(*placement.Member, Load) bool) {
		for i := range v.slots.count {
			s := v.slots.at(uint32(i))
			if s.member == nil || s.hidden {
				continue
			}
			if !yield(s.member, Load{s.settled, s.pending}) {
				return
			}
		}
	}
}

// Count is the number of placements that are Pending or Settled.
func (v *View) Count() (settled, pending int) {
	for m, load := range v.Members() {
		if m.State.Alive() {
			settled += int(load.Settled)
			pending += int(load.Pending)
		}
	}
	return settled, pending
}

// Kinds yields the kinds that the cluster knows, ascending.
func (v *View) Kinds() iter.Seq[string] { return v.kinds.names() }

// HasKind says whether the cluster knows the kind.
func (v *View) HasKind(name string) bool {
	_, ok := v.kinds.get(name)
	return ok
}

// KindSettings are the settings of a kind: the defaults when it was never given any, or is not known.
func (v *View) KindSettings(name string) placement.KindSettings {
	s, _ := v.settings.get(name)
	s.Normalize()
	return s
}

func (v *View) kindName(n KindNumber) string { return v.kindNames[n] }

// Servers yields the registered servers, removed ones too, ascending by name.
func (v *View) Servers() iter.Seq[Server] {
	return func(yield func(Server) bool) {
		for _, s := range v.servers.all() {
			if !yield(s) {
				return
			}
		}
	}
}

// Server returns the registered server of that name.
func (v *View) Server(name string) (Server, bool) { return v.servers.get(name) }

// KindCount is the number of kinds that the cluster knows, at most KindsMax.
func (v *View) KindCount() int { return len(v.kindNames) }
