package snapshot

import (
	"encoding/binary"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// Encode writes the view to w in the form of FORMAT.md. It may run beside the editor that made the view. An error is
// one of w; what was written until then is no snapshot.
func (v *View) Encode(w io.Writer) error {
	f, err := newFrameWriter(w)
	if err != nil {
		return err
	}
	for _, section := range []func(*frameWriter) error{
		v.encodeHeader, v.encodeKinds, v.encodeServers, v.encodeSlots, v.encodeResults, v.encodePlacements,
		v.encodeSessions, v.encodeLocks, v.encodeBlocks, v.encodeMoves, v.encodeTimeline,
		v.encodeCrashes,
	} {
		if err := section(f); err != nil {
			return err
		}
	}
	return f.end()
}

func (f *frameWriter) message(t frameType, m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return f.frame(t, b)
}

func (v *View) encodeHeader(f *frameWriter) error {
	return f.message(frameHeader, &snapshotpb.Header{
		Index: v.Index, Term: v.Term, TimeMs: v.Time, Barrier: v.Barrier,
		Cluster: &snapshotpb.Cluster{
			Id: v.Cluster.ID, Seed: v.Cluster.Seed, Generation: uint32(v.Cluster.Generation), EpochBase: v.Cluster.EpochBase,
			FeatureLevel: v.Cluster.FeatureLevel, MaxReadLeaseNs: v.Cluster.MaxReadLease, MaxMemberTtlNs: v.Cluster.MaxMemberTTL,
			MaxSessionTtlNs: v.Cluster.MaxSessionTTL,
		},
		Buckets: uint32(v.table.buckets), Digest: uint64(v.Digest()), ForgottenIndex: v.results.forgotten,
	})
}

// Messages are split into frames of a few hundred records, so that none comes near the largest frame.
const recordsPerFrame = 512

func (v *View) encodeKinds(f *frameWriter) error {
	var m snapshotpb.Kinds
	for i, name := range v.kindNames {
		s, _ := v.settings.get(name) // nothing for the defaults
		m.Kinds = append(m.Kinds, kindMessage(i, name, &s))
		if len(m.Kinds) == recordsPerFrame || i == len(v.kindNames)-1 {
			if err := f.message(frameKinds, &m); err != nil {
				return err
			}
			m.Kinds = nil
		}
	}
	return nil
}

func (v *View) encodeServers(f *frameWriter) error {
	var m snapshotpb.Servers
	for s := range v.Servers() {
		m.Servers = append(m.Servers, &snapshotpb.Server{
			Name: s.Name, Incarnation: s.Incarnation, RaftAddress: s.RaftAddress, GrpcAddress: s.GRPCAddress, HttpAddress: s.HTTPAddress,
			FeatureLevel: s.FeatureLevel, Version: s.Version, Removed: s.Removed,
		})
	}
	if len(m.Servers) == 0 {
		return nil
	}
	return f.message(frameServers, &m)
}

// A member may be tens of kilobytes long, by its kinds.
const slotsPerFrame = 16

// encodeSlots writes the slots that have a member, numbered without gaps.
func (v *View) encodeSlots(f *frameWriter) error {
	var m snapshotpb.Slots
	flush := func() error {
		if len(m.Slots) == 0 {
			return nil
		}
		err := f.message(frameSlots, &m)
		m.Slots = nil
		return err
	}
	for i, number := range v.slotNumbers() {
		if number == noSlot {
			continue
		}
		m.Slots = append(m.Slots, &snapshotpb.Slot{Slot: number, Member: memberMessage(v.slots.at(uint32(i)).member)})
		if len(m.Slots) == slotsPerFrame {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

const noSlot = ^uint32(0)

// slotNumbers gives each slot its number in a file, noSlot to those that are not written.
func (v *View) slotNumbers() []uint32 {
	numbers := make([]uint32, v.slots.count)
	next := uint32(0)
	for i := range numbers {
		if s := v.slots.at(uint32(i)); s.member == nil || s.hidden {
			numbers[i] = noSlot
			continue
		}
		numbers[i] = next
		next++
	}
	return numbers
}

func memberMessage(m *placement.Member) *snapshotpb.Member {
	out := &snapshotpb.Member{
		Id: string(m.ID), Incarnation: uint64(m.Incarnation), Address: m.Address, Kinds: m.Kinds,
		Weight: m.Weight, Capacity: m.Capacity, State: uint32(m.State), Ended: m.Ended, Drained: m.Drained, DrainRate: m.DrainRate,
	}
	for _, l := range m.Labels {
		out.Labels = append(out.Labels, &snapshotpb.Label{Name: l.Name, Value: l.Value})
	}
	return out
}

func (v *View) encodeResults(f *frameWriter) (err error) {
	var m snapshotpb.Results
	left := v.results.count
	v.results.all(func(r *Result) {
		left--
		if err != nil {
			return
		}
		m.Results = append(m.Results, &snapshotpb.Result{
			RequestId: r.Request[:], BodyHash: r.Body, Index: r.Index, Verdict: uint32(r.Verdict),
			Phase: uint32(r.Entry.Phase), Owner: uint64(r.Entry.Owner), Epoch: uint64(r.Entry.Epoch), Removed: r.Entry.Removed,
			Incarnation: uint64(r.Incarnation), Draining: r.Entry.Draining,
			Attempt: uint32(r.Entry.Attempt), Reason: uint32(r.Entry.Reason),
			Session: uint64(r.Session), Token: uint64(r.Token), Queued: r.Queued,
		})
		if len(m.Results) == recordsPerFrame || left == 0 {
			err = f.message(frameResults, &m)
			m.Results = nil
		}
	})
	return err
}

func (v *View) encodePlacements(f *frameWriter) error {
	out := make([]byte, 0, frameBytes+recordBytesMax)
	numbers := v.slotNumbers()
	for r := range v.storedRecords() {
		s := r.value()
		if v.hides(s) {
			continue
		}
		if s.phase() != placement.Tombstone {
			s = s.withSlot(numbers[s.slot()])
		}
		k := r.key()
		out = appendRecord(out, &k, s)
		if len(out) >= frameBytes {
			if err := f.frame(framePlacements, out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	if len(out) == 0 {
		return nil
	}
	return f.frame(framePlacements, out)
}

const recordBytesMax = 2 + 4*binary.MaxVarintLen64 + placement.KeyBytesMax

func appendRecord(b []byte, k *key, s stored) []byte {
	flags := byte(s.bits)
	if k.packed {
		flags |= flagPacked
	}
	b = append(b, flags, byte(s.reason()))
	b = binary.AppendUvarint(b, uint64(k.kind))
	b = binary.AppendUvarint(b, uint64(s.slot()))
	b = binary.AppendUvarint(b, s.number)
	if k.packed {
		b = binary.LittleEndian.AppendUint64(b, k.uuid.lo)
		return binary.LittleEndian.AppendUint64(b, k.uuid.hi)
	}
	b = binary.AppendUvarint(b, uint64(len(k.text)))
	return append(b, k.text...)
}
