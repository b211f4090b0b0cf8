package snapshot

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

var update = flag.Bool("update", false, "write golden files that are missing")

// goldenView is the view in testdata/format1.berth. It must not be changed: the file is of a released format.
func goldenView() *View {
	e := newTestEditor()
	e.SetPosition(70, 3)
	e.AdvanceTime(1_700_000_000_000)
	e.v.timeline = timeline{} // the file is older than those
	e.SetBarrier(41)
	e.SetCluster(Cluster{ID: "golden", Seed: 7, Generation: 2, EpochBase: 5, FeatureLevel: 1, MaxReadLease: 3e9, MaxMemberTTL: 5e9})
	for i := range placement.Incarnation(5) {
		e.Join(member(fmt.Sprintf("m%d", i), 1000+i))
	}
	for i := range 200 {
		id := placement.Identity{Kind: []string{"cart", "room"}[i%2], Key: fmt.Sprintf("key-%d/日本", i)}
		if i%4 == 0 {
			id.Key = fmt.Sprintf("f81d4fae-7dec-11d0-a765-%012x", i)
		}
		entry := placement.Entry{
			Phase: placement.Phase(1 + i%2), Owner: placement.Incarnation(1000 + i%5), Epoch: placement.MakeEpoch(2, uint64(i), i),
			Attempt: uint8(i % 3), Reason: placement.ReasonRendezvous, Draining: i%10 == 1,
		}
		if i%7 == 0 {
			entry = placement.Entry{Phase: placement.Tombstone, Removed: 42 + uint64(i%20)}
		}
		e.Seek(id)
		e.Put(entry)
	}
	e.End(1003, placement.MemberExpired)
	for i := range 3 {
		_ = e.PutServer(Server{Name: fmt.Sprint("s", i+1), Incarnation: "01J", RaftAddress: "h:1", GRPCAddress: "h:2", HTTPAddress: "h:3", FeatureLevel: 1, Version: "0.1", Removed: i == 2})
		e.Remember(Result{Request: RequestID{byte(i), 1}, Body: 9, Index: 60 + uint64(i), Verdict: placement.Done, Entry: placement.Entry{Phase: placement.Pending, Owner: 1000, Epoch: 12, Attempt: 1, Reason: 3}})
	}
	return e.Publish()
}

// goldenKindsView is the view in testdata/format1-kinds.berth: the same, with kinds that have settings.
func goldenKindsView() *View {
	e := NewEditor(goldenView())
	for _, k := range []struct {
		name string
		s    placement.KindSettings
	}{
		{"room", placement.KindSettings{Strategy: "protoactor-go/1"}}, {"cart", placement.KindSettings{Attempts: 16}},
		{"lobby", placement.KindSettings{Strategy: "least-loaded", Attempts: 1}}, {"plain", placement.KindSettings{}},
	} {
		_ = e.SetKind(k.name, k.s)
	}
	return e.Publish()
}

// goldenBlocksView is the view in testdata/format1-blocks.berth: the same, with blocks, moves and every setting of a kind.
func goldenBlocksView() *View {
	e := NewEditor(goldenKindsView())
	_ = e.SetKind("room", placement.KindSettings{
		Settle: placement.SettleOnPlace, Require: [placement.RequireMax]placement.Label{{Name: "zone", Value: "a"}, {Name: "disk"}}, MemberCapacity: 1000, ConfirmMs: 2500,
	})
	for _, b := range []Block{
		{Subject: Subject{Member: "m1"}, Reason: "bad disk: ü", By: "ops@desk", Since: 1_600_000_000_000, Until: 1_800_000_000_000},
		{Subject: Subject{Member: "not-there"}, Since: 5},
		{Subject: Subject{Identity: placement.Identity{Kind: "cart", Key: "a/b c"}}, Reason: "poison", Until: 1 << 63},
		{Subject: Subject{Identity: placement.Identity{Kind: "never", Key: "heard"}}},
	} {
		_ = e.PutBlock(b)
	}
	m := *e.View().Roster.Find("m1")
	m.State, m.Drained = placement.MemberBlocked, true
	e.SetMember(&m)
	for i := range 3 {
		_ = e.PutMove(Move{placement.Identity{Kind: "cart", Key: fmt.Sprint("on its way ", i)}, placement.MemberID(fmt.Sprint("m", i))})
	}
	return e.Publish()
}

// goldenTimelineView is the view in testdata/format1-timeline.berth: the same, with what it remembers of when.
func goldenTimelineView() *View {
	e := NewEditor(goldenView())
	at := uint64(1_700_000_000_000)
	for i := range uint64(1100) {
		at += 1000 + i%7*400
		e.SetPosition(71+3*i, 3)
		e.AdvanceTime(at)
	}
	return e.Publish()
}

// goldenRatesView is the view in testdata/format1-rates.berth: the same, with a member that drains at a rate.
func goldenRatesView() *View {
	e := NewEditor(goldenView())
	m := *e.View().Roster.All()[0]
	m.State, m.DrainRate = placement.MemberDraining, 200
	e.SetMember(&m)
	return e.Publish()
}

// goldenCrashesView is the view in testdata/format1-crashes.berth: the same, with what is remembered of crashes.
func goldenCrashesView() *View {
	e := NewEditor(goldenView())
	for i := range uint32(3) {
		e.PutCrash(Crash{placement.Identity{Kind: "cart", Key: fmt.Sprint("c", i)}, 1 + i*7, 1_700_000_000_000 + uint64(i)})
	}
	e.PutCrash(Crash{placement.Identity{Kind: "other", Key: "ü/1"}, 1<<32 - 1, timeMax})
	return e.Publish()
}

func TestDecode_Golden(t *testing.T) {
	testGolden(t, "testdata/format1-crashes.berth", goldenCrashesView())
	testGolden(t, "testdata/format1-rates.berth", goldenRatesView())
	testGolden(t, "testdata/format1-timeline.berth", goldenTimelineView())
	testGolden(t, "testdata/format1.berth", goldenView())
	testGolden(t, "testdata/format1-kinds.berth", goldenKindsView())
	testGolden(t, "testdata/format1-blocks.berth", goldenBlocksView())
}

func testGolden(t *testing.T, file string, want *View) {
	if _, err := os.Stat(file); *update && os.IsNotExist(err) {
		var b bytes.Buffer
		if err := want.Encode(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if v.Digest() != want.Digest() {
		t.Errorf("%s: its digest is %v, want %v", file, v.Digest(), want.Digest())
	}
	for name := range want.Kinds() {
		if got := v.KindSettings(name); got != want.KindSettings(name) || !v.HasKind(name) {
			t.Errorf("%s: the settings of %s are %+v, want %+v", file, name, got, want.KindSettings(name))
		}
	}
	if got, want := slices.Collect(v.Blocks()), slices.Collect(want.Blocks()); !slices.Equal(got, want) {
		t.Errorf("%s: its blocks are %+v, want %+v", file, got, want)
	}
	if got, want := slices.Collect(v.Moves()), slices.Collect(want.Moves()); !slices.Equal(got, want) {
		t.Errorf("%s: its moves are %+v, want %+v", file, got, want)
	}
	for i, m := range want.Roster.All() {
		if got := v.Roster.All()[i]; got.State != m.State || got.DrainRate != m.DrainRate {
			t.Errorf("%s: the member is %+v, want %+v", file, got, m)
		}
	}
	if got, want := slices.Collect(v.Crashes()), slices.Collect(want.Crashes()); !slices.Equal(got, want) {
		t.Errorf("%s: its crashes are %+v, want %+v", file, got, want)
	}
	for p := range want.Placements() {
		if got, _ := v.Lookup(p.Identity); got != p.Entry {
			t.Errorf("%v is %+v, want %+v", p.Identity, got, p.Entry)
		}
	}
}

func goldenBytes(t testing.TB) []byte {
	return bytesOf(t, goldenBlocksView())
}

func bytesOf(t testing.TB, v *View) []byte {
	var b bytes.Buffer
	if err := v.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Removals that the barrier has not passed are known of a state that was read as of one that came about: of members that ended, of what was
// removed by itself, and of both.
func TestDecode_RemovalsUnderWay_OldestIsKnown(t *testing.T) {
	removed := func(e *Editor, at ...uint64) {
		for i, at := range at {
			e.SetPosition(at, 3)
			e.Seek(placement.Identity{Kind: "cart", Key: fmt.Sprint("removed ", i)})
			e.Put(placement.Entry{Phase: placement.Tombstone, Removed: at})
		}
	}
	ended := func(e *Editor, at ...uint64) {
		for i, at := range at {
			e.SetPosition(at, 3)
			e.End(placement.Incarnation(1000+i), placement.MemberExpired)
		}
	}
	for name, change := range map[string]func(e *Editor){
		"none":             func(*Editor) {},
		"members":          func(e *Editor) { ended(e, 72, 75) },
		"placements":       func(e *Editor) { removed(e, 71, 73, 77, 78, 80) },
		"a member first":   func(e *Editor) { ended(e, 72); removed(e, 73, 74) },
		"a placement last": func(e *Editor) { removed(e, 73, 74); ended(e, 75) },
	} {
		e := newTestEditor()
		e.SetPosition(70, 3)
		e.SetBarrier(41)
		for i := range placement.Incarnation(2) {
			e.Join(member(fmt.Sprintf("m%d", i), 1000+i))
		}
		change(e)
		want := e.Publish()
		var file bytes.Buffer
		if err := want.Encode(&file); err != nil {
			t.Fatal(err)
		}
		got, err := Decode(&file)
		if err != nil || got.OldestRemoval() != want.OldestRemoval() || (want.OldestRemoval() == 0) != (name == "none") {
			t.Errorf("%s: the oldest is at %d, and was at %d (%v)", name, got.OldestRemoval(), want.OldestRemoval(), err)
		}
	}
}

func TestDecode_TruncatedAtEveryByte_IsCorrupt(t *testing.T) {
	whole := goldenBytes(t)
	for n := range whole {
		_, err := Decode(bytes.NewReader(whole[:n]))
		var c *CorruptError
		if !errors.As(err, &c) {
			t.Fatalf("%d of %d bytes: %v, want a CorruptError", n, len(whole), err)
		}
	}
	_, err := Decode(bytes.NewReader(append(append([]byte(nil), whole...), 0)))
	var c *CorruptError
	if !errors.As(err, &c) {
		t.Errorf("one byte more: %v, want a CorruptError", err)
	}
}

func TestDecode_EveryBitFlipped_IsRefused(t *testing.T) {
	whole := goldenBytes(t)
	for i := range whole {
		for n := range underrace.Rounds(8, 1) {
			bad, bit := append([]byte(nil), whole...), (i+n)%8
			bad[i] ^= 1 << bit
			_, err := Decode(bytes.NewReader(bad))
			var c *CorruptError
			var n *NewerFormatError
			if !errors.As(err, &c) && !errors.As(err, &n) {
				t.Fatalf("bit %d of byte %d flipped: %v, want a typed refusal", bit, i, err)
			}
		}
	}
}

func TestDecode_NewerFormat_IsNamed(t *testing.T) {
	b := goldenBytes(t)
	b[len(magic)] = 2
	_, err := Decode(bytes.NewReader(b))
	var n *NewerFormatError
	if !errors.As(err, &n) || n.Format != 2 || n.Known != 1 {
		t.Errorf("format 2: %v", err)
	}
}

// What only a newer version can have written is called that, and not damaged: the checksums are right.
func TestDecode_OfANewerVersion_IsNamed(t *testing.T) {
	unknown := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 1)
	}
	header := unknown(&snapshotpb.Header{Cluster: &snapshotpb.Cluster{}})
	plain, _ := proto.Marshal(&snapshotpb.Header{Cluster: &snapshotpb.Cluster{}})
	slot := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), unknown(&snapshotpb.Member{Id: "m"})))
	kinds, _ := proto.Marshal(&snapshotpb.Kinds{Kinds: []*snapshotpb.Kind{{Name: "cart", Strategy: "of-a-later-version"}}})
	for what, frames := range map[string]map[frameType][]byte{
		"a frame of type 254":      {frameHeader: plain, 254: []byte("x")},
		"fields in its Header":     {frameHeader: header},
		"fields in its Slots":      {frameHeader: plain, frameSlots: slot},
		`"of-a-later-version" for`: {frameHeader: plain, frameKinds: kinds},
	} {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for f := range 255 {
			if payload, ok := frames[frameType(f)]; ok {
				if err := w.frame(frameType(f), payload); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		var n *NewerFormatError
		if _, err := Decode(&b); !errors.As(err, &n) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want a NewerFormatError that says so", what, err)
		}
	}
}

// A file with settings that this version does not have is refused: a server that went on with others would decide otherwise
// than the rest.
func TestDecode_SettingsOfNoKind_AreRefused(t *testing.T) {
	label := func(name string) *snapshotpb.Label { return &snapshotpb.Label{Name: name} }
	for _, k := range []*snapshotpb.Kind{
		{Name: "cart", Settle: 3}, {Name: "cart", Settle: 1 << 30}, {Name: "cart", ConfirmMs: 99}, {Name: "cart", ConfirmMs: 1 << 31},
		{Name: "cart", Require: []*snapshotpb.Label{label("a"), label("a")}}, {Name: "cart", Require: []*snapshotpb.Label{label("a b")}},
		{Name: "cart", Require: []*snapshotpb.Label{label("a"), label("b"), label("c"), label("d"), label("e")}},
		{Name: "cart", Strategy: "a b"}, {Name: "cart", Attempts: 17}, {Name: "cart", Attempts: 1 << 31},
		{Name: "cart", Strategy: strings.Repeat("s", 65)},
	} {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{
			w.message(frameHeader, &snapshotpb.Header{Cluster: &snapshotpb.Cluster{}}), w.message(frameKinds, &snapshotpb.Kinds{Kinds: []*snapshotpb.Kind{k}}), w.end(),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		var c *CorruptError
		if _, err := Decode(&b); !errors.As(err, &c) || !strings.Contains(err.Error(), "kind") || len(err.Error()) > 300 {
			t.Errorf("%v: %v, want a CorruptError about the kind", k, err)
		}
	}
}

func TestDecode_ReaderFails_ErrorIsTheReaders(t *testing.T) {
	boom := errors.New("boom")
	_, err := Decode(iotest.TimeoutReader(bytes.NewReader(goldenBytes(t))))
	if err == nil {
		t.Error("no error from a reader that times out")
	}
	_, err = Decode(iotest.ErrReader(boom))
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want the reader's error", err)
	}
	if _, err := Decode(iotest.OneByteReader(bytes.NewReader(goldenBytes(t)))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

func TestEncode_WriterFails_ErrorIsReturned(t *testing.T) {
	v := goldenBlocksView()
	for n := 0; n < len(goldenBytes(t)); n += 97 {
		if err := v.Encode(&failingWriter{n}); err == nil || err.Error() != "disk full" {
			t.Fatalf("disk full after %d bytes: %v", n, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	whole := goldenBytes(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytesOf(f, goldenLocksView()))
	f.Add([]byte(magic))
	var empty bytes.Buffer
	if err := Empty().Encode(&empty); err != nil {
		f.Fatal(err)
	}
	f.Add(empty.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := Decode(bytes.NewReader(b))
		if err != nil {
			return
		}
		if v.Digest() != v.RecomputeDigest() {
			t.Fatal("a decoded view has a wrong digest")
		}
		recode(t, v)
	})
}

// FuzzDecodeFrames reaches behind the checksums: the input is the payloads of frames.
func FuzzDecodeFrames(f *testing.F) {
	seed := func(v *View) {
		var b bytes.Buffer
		_ = v.Encode(&b)
		r, err := newFrameReader(&b)
		if err != nil {
			f.Fatal(err)
		}
		var payloads [frameCrashes + 1][]byte
		for {
			t, p, err := r.next()
			if err != nil || t == frameEnd {
				break
			}
			payloads[t] = append([]byte(nil), p...)
		}
		f.Add(payloads[1], payloads[2], payloads[3], payloads[4], payloads[5], payloads[6], payloads[7], payloads[8], payloads[9], payloads[10], payloads[12], payloads[13])
	}
	seed(goldenView())
	seed(goldenKindsView())
	seed(goldenLocksView())
	seed(goldenBlocksView())
	seed(goldenTimelineView())
	seed(goldenCrashesView())
	seed(goldenRatesView())
	seed(Empty())
	f.Fuzz(func(t *testing.T, header, kinds, servers, slots, results, placements, sessions, locks, blocks, moves, marks, crashes []byte) {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range [...][]byte{1: header, kinds, servers, slots, results, placements, sessions, locks, frameBlocks: blocks, frameMoves: moves, frameTimeline: marks, frameCrashes: crashes} {
			if len(p) > frameBytesMax || len(p) == 0 && i != int(frameHeader) {
				continue
			}
			if err := w.frame(frameType(i), p); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.end(); err != nil {
			t.Fatal(err)
		}
		v, err := Decode(&b)
		if err != nil {
			return
		}
		for range v.Placements() {
		}
		if v.Digest() != v.RecomputeDigest() {
			t.Fatal("a decoded view has a wrong digest")
		}
		recode(t, v)
	})
}
