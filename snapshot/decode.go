package snapshot

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// Decode reads one whole snapshot. It fails with a *CorruptError, a *NewerFormatError, or an error of r; it never
// returns a view that differs from the one that was encoded, and it does not panic, whatever the bytes are. r is read
// to its end.
func Decode(r io.Reader) (*View, error) {
	f, err := newFrameReader(r)
	if err != nil {
		return nil, err
	}
	defer f.close()
	d := decoder{f: f, e: NewEditor(Empty()), names: map[placement.MemberID]bool{}}
	d.e.v.incarnations = d.e.v.incarnations.copy()
	return d.decode()
}

type decoder struct {
	f      *frameReader
	e      *Editor
	header snapshotpb.Header
	page   pageBuilder
	roster []*placement.Member // those that stand for their names
	names  map[placement.MemberID]bool

	session placement.SessionID // the newest that was read
	lock    string              // the last that was read
	oldest  uint64              // of the removals that the barrier has not passed; zero for none
}

// removed notes a removal that the barrier has not passed.
func (d *decoder) removed(at uint64) {
	if d.oldest == 0 || at < d.oldest {
		d.oldest = at
	}
}

func (d *decoder) decode() (*View, error) {
	if err := d.decodeHeader(); err != nil {
		return nil, err
	}
	for {
		t, payload, err := d.f.next()
		if err != nil {
			return nil, err
		}
		if t == frameEnd {
			return d.finish()
		}
		if err := d.frame(t, payload); err != nil {
			return nil, err
		}
	}
}

func (d *decoder) frame(t frameType, payload []byte) error {
	switch t {
	case frameKinds:
		return d.decodeKinds(payload)
	case frameServers:
		return d.decodeServers(payload)
	case frameSlots:
		return d.decodeSlots(payload)
	case frameResults:
		return d.decodeResults(payload)
	case framePlacements:
		return d.decodePlacements(payload)
	case frameTimeline:
		return d.decodeTimeline(payload)
	case frameSessions:
		return d.decodeSessions(payload)
	case frameLocks:
		return d.decodeLocks(payload)
	case frameBlocks:
		return d.decodeBlocks(payload)
	case frameMoves:
		return d.decodeMoves(payload)
	case frameCrashes:
		return d.decodeCrashes(payload)
	}
	return newer("a frame of type %d", t)
}

// message decodes the payload of a frame that holds one message.
func (d *decoder) message(payload []byte, m proto.Message) error {
	if err := proto.Unmarshal(payload, m); err != nil {
		return d.f.corrupt("a frame's message cannot be read", err)
	}
	if hasUnknown(m.ProtoReflect()) {
		return newer("fields in its %s", m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// newer is the error for what only a newer version can have written: the checksum of its frame is right.
func newer(format string, args ...any) error {
	return &NewerFormatError{Format: Format, Known: Format, What: fmt.Sprintf(format, args...)}
}

// hasUnknown says whether a message, or one in it, has fields that this version does not know.
func hasUnknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				found = found || hasUnknown(v.List().Get(i).Message())
			}
		default:
			found = hasUnknown(v.Message())
		}
		return !found
	})
	return found
}

func (d *decoder) decodeHeader() error {
	t, payload, err := d.f.next()
	if err != nil {
		return err
	}
	if t != frameHeader {
		return d.f.corrupt("the first frame is not the header", nil)
	}
	if err := d.message(payload, &d.header); err != nil {
		return err
	}
	h, c := &d.header, d.header.GetCluster()
	if h.Buckets > bucketsMax || c.GetGeneration() > 1<<16-1 {
		return d.f.corrupt("the header makes no sense", nil)
	}
	v := &d.e.v
	v.Index, v.Term, v.Time, v.Barrier, v.results.forgotten = h.Index, h.Term, h.TimeMs, h.Barrier, h.ForgottenIndex
	d.e.SetCluster(Cluster{
		ID: c.GetId(), Seed: c.GetSeed(), Generation: uint16(c.GetGeneration()), EpochBase: c.GetEpochBase(),
		FeatureLevel: c.GetFeatureLevel(), MaxReadLease: c.GetMaxReadLeaseNs(), MaxMemberTTL: c.GetMaxMemberTtlNs(),
		MaxSessionTTL: c.GetMaxSessionTtlNs(),
	})
	d.page = newPageBuilder(&v.table, d.e.gen, int(h.Buckets))
	return nil
}

func (d *decoder) decodeKinds(payload []byte) error {
	var m snapshotpb.Kinds
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, k := range m.Kinds {
		if int(k.Number) != len(d.e.v.kindNames) || d.e.v.HasKind(k.Name) {
			return d.f.corrupt("the kinds are not numbered in order", nil)
		}
		if err := placement.ValidateKind(k.Name); err != nil {
			return d.f.corrupt("a kind is not valid", err)
		}
		s, ok := settingsOf(k)
		if err := s.Validate(); err != nil || !ok {
			return d.f.corrupt("the settings of a kind are not valid", err)
		}
		if placement.StrategyNamed(s.Strategy) == nil {
			return newer("the strategy %.80q for the kind %s", s.Strategy, k.Name)
		}
		if err := d.e.SetKind(k.Name, s); err != nil {
			return d.f.corrupt("too many kinds", err)
		}
	}
	return nil
}

func (d *decoder) decodeServers(payload []byte) error {
	var m snapshotpb.Servers
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, s := range m.Servers {
		if err := d.e.PutServer(Server{
			Name: s.Name, Incarnation: s.Incarnation, RaftAddress: s.RaftAddress, GRPCAddress: s.GrpcAddress, HTTPAddress: s.HttpAddress,
			FeatureLevel: s.FeatureLevel, Version: s.Version, Removed: s.Removed,
		}); err != nil {
			return d.f.corrupt("too many servers", err)
		}
	}
	return nil
}

func (d *decoder) decodeSlots(payload []byte) error {
	var m snapshotpb.Slots
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, s := range m.Slots {
		if err := d.slot(s); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) slot(s *snapshotpb.Slot) error {
	v := &d.e.v
	if int(s.Slot) != v.slots.count || s.Member == nil {
		return d.f.corrupt("the slots are not numbered in order", nil)
	}
	m := memberOf(s.Member)
	if err := m.Validate(); err != nil {
		return d.f.corrupt("a member is not valid", err)
	}
	alive := m.State.Alive()
	if s.Member.State > 255 || !m.State.Known() || alive != (m.Ended == 0) || !alive && m.Ended <= v.Barrier || m.Ended > v.Index ||
		m.Drained && m.State != placement.MemberBlocked || m.DrainRate != 0 && m.State != placement.MemberDraining && !m.Drained {
		return d.f.corrupt("a member's state makes no sense", nil)
	}
	if _, ok := v.incarnations.get(incarnationKey(m.Incarnation)); ok || m.Incarnation == 0 {
		return d.f.corrupt("an incarnation stands twice", nil)
	}
	if !alive {
		d.removed(m.Ended)
	}
	v.slots.edit(d.e.gen, v.slots.add(d.e.gen)).member = m
	v.incarnations.put(incarnationKey(m.Incarnation), s.Slot)
	if m.State.Stands() {
		if d.names[m.ID] {
			return d.f.corrupt("two incarnations stand for one name", nil)
		}
		d.names[m.ID] = true
		d.roster = append(d.roster, m)
	}
	return nil
}

func memberOf(p *snapshotpb.Member) *placement.Member {
	m := &placement.Member{
		ID: placement.MemberID(p.Id), Incarnation: placement.Incarnation(p.Incarnation), Address: p.Address, Kinds: p.Kinds,
		Weight: p.Weight, Capacity: p.Capacity, State: placement.MemberState(p.State), Ended: p.Ended, Drained: p.Drained, DrainRate: p.DrainRate,
	}
	for _, l := range p.Labels {
		m.Labels = append(m.Labels, placement.Label{Name: l.GetName(), Value: l.GetValue()})
	}
	m.Normalize()
	return m
}

func (d *decoder) decodeResults(payload []byte) error {
	var m snapshotpb.Results
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, r := range m.Results {
		if len(r.RequestId) != len(RequestID{}) || r.Verdict > 255 || r.Phase > uint32(placement.Tombstone) || r.Attempt >= placement.AttemptsMax || r.Reason > 255 {
			return d.f.corrupt("a result makes no sense", nil)
		}
		if d.e.v.results.count == ResultsMax+resultChunk || d.e.Recall(RequestID(r.RequestId)) != nil {
			return d.f.corrupt("there are too many results, or one stands twice", nil)
		}
		result := Result{
			Request: RequestID(r.RequestId), Body: r.BodyHash, Index: r.Index, Verdict: placement.Verdict(r.Verdict),
			Incarnation: placement.Incarnation(r.Incarnation), Session: placement.SessionID(r.Session), Token: placement.Epoch(r.Token), Queued: r.Queued,
			Entry: placement.Entry{
				Phase: placement.Phase(r.Phase), Owner: placement.Incarnation(r.Owner), Epoch: placement.Epoch(r.Epoch),
				Attempt: uint8(r.Attempt), Draining: r.Draining, Reason: placement.Reason(r.Reason), Removed: r.Removed,
			},
		}
		d.e.recalled[result.Request] = d.e.v.results.add(result)
	}
	return nil
}

func (d *decoder) decodePlacements(payload []byte) error {
	for len(payload) > 0 {
		k, s, rest, ok := readRecord(payload)
		if !ok {
			return d.f.corrupt("a placement cannot be read", nil)
		}
		payload = rest
		if what := d.placement(&k, s); what != "" {
			return d.f.corrupt(what, nil)
		}
	}
	return nil
}

// placement checks one record and puts it in its place. It returns what is wrong, or nothing.
func (d *decoder) placement(k *key, s stored) string {
	v := &d.e.v
	if int(k.kind) >= len(v.kindNames) {
		return "a placement has a kind that is not there"
	}
	if !k.packed && (k.text == "" || len(k.text) > placement.KeyBytesMax || !utf8.ValidString(k.text)) {
		return "a placement has a key that is not valid"
	}
	if k.repacks() {
		return "a placement has a key in the wrong form"
	}
	hash := k.hash(v.table.seed)
	if s.phase() == placement.Tombstone {
		if s.bits != uint64(placement.Tombstone) || s.number <= v.Barrier || s.number > v.Index {
			return "a tombstone makes no sense"
		}
		d.removed(s.number)
	} else if s.slot() >= uint32(v.slots.count) {
		return "a placement names a slot that is not there"
	}
	if what := d.page.add(hash, k, s); what != "" {
		return what
	}
	d.e.account(hash, k.kind, s)
	return ""
}

// repacks says that the key is a UUID that should have been packed.
func (k *key) repacks() bool {
	_, ok := packUUID(k.text)
	return ok && !k.packed
}

// readRecord cuts one record off b. The key's text points into b.
func readRecord(b []byte) (k key, s stored, rest []byte, ok bool) {
	if len(b) < 2 || b[0]&flagPhase == 0 {
		return k, s, nil, false
	}
	flags, reason := b[0], b[1]
	b = b[2:]
	var numbers [3]uint64
	for i := range numbers {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			return k, s, nil, false
		}
		numbers[i], b = n, b[size:]
	}
	if numbers[0] >= KindsMax || numbers[1] > 1<<32-1 {
		return k, s, nil, false
	}
	k.kind, k.packed = KindNumber(numbers[0]), flags&flagPacked != 0
	s = stored{uint64(flags&^flagPacked) | uint64(reason)<<shiftReason | numbers[1]<<shiftSlot, numbers[2]}
	if k.packed {
		if len(b) < 16 {
			return k, s, nil, false
		}
		k.uuid = uuidOf(b)
		return k, s, b[16:], true
	}
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return k, s, nil, false
	}
	b = b[size:]
	k.text = unsafe.String(unsafe.SliceData(b), int(n))
	return k, s, b[n:], true
}

func (d *decoder) finish() (*View, error) {
	d.page.finish()
	e := d.e
	e.v.Roster = placement.NewRoster(d.roster)
	if what := d.crossCheck(); what != "" {
		return nil, d.f.corrupt(what, nil)
	}
	v := e.Publish()
	v.oldest = d.oldest // the editor has not seen them come about
	if got, want := v.Digest(), Digest(d.header.Digest); got != want {
		return nil, d.f.corrupt(fmt.Sprintf("the state has digest %v, the header says %v", got, want), nil)
	}
	return v, nil
}
