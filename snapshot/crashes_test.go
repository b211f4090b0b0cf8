package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// stepCrashes remembers and forgets crashes, on the editor and on the model.
func (m *model) stepCrashes(rng *rand.Rand, e *Editor, keys []placement.Identity) {
	id := keys[rng.IntN(20)]
	switch rng.IntN(4) {
	case 0:
		c := Crash{Identity: id, Count: 1 + rng.Uint32N(12), Last: rng.Uint64N(10_000)}
		e.PutCrash(c)
		m.crashes[id] = c
	case 1:
		e.DropCrash(id)
		delete(m.crashes, id)
	}
}

func (m *model) checkCrashes(t *testing.T, v *View) {
	t.Helper()
	n := 0
	for c := range v.Crashes() {
		if n++; m.crashes[c.Identity] != c {
			t.Fatalf("at index %d: the crash %+v, want %+v", v.Index, c, m.crashes[c.Identity])
		}
		if got, ok := v.Crash(c.Identity); !ok || got != c {
			t.Fatalf("at index %d: Crash(%v) = %+v, %t", v.Index, c.Identity, got, ok)
		}
	}
	if n != len(m.crashes) || v.CrashCount() != n {
		t.Fatalf("at index %d: %d crashes are listed, %d counted, want %d", v.Index, n, v.CrashCount(), len(m.crashes))
	}
}

func crashed(key string, count uint32, last uint64) Crash {
	return Crash{placement.Identity{Kind: "cart", Key: key}, count, last}
}

// Crashes are forgotten when they are said to be, a few at a time, in one order, and leave no trace.
func TestEditor_Crashes_AreForgotten(t *testing.T) {
	e := newTestEditor()
	for i := range 10 {
		e.PutCrash(crashed(fmt.Sprint(i), 1+uint32(i%3), uint64(i%3*500)))
	}
	e = NewEditor(recode(t, e.Publish())) // the order does not depend on how the editor came to it
	for _, tt := range []struct {
		at   uint64
		n    int
		left int
	}{{599_999, 10, 10}, {600_000, 1, 9}, {600_000, 10, 6}, {600_500, 2, 4}, {600_500, 2, 3}, {601_999, 9, 3}, {602_000, 9, 0}} {
		e.AdvanceTime(tt.at)
		e.ForgetCrashes(tt.n)
		if v := e.Publish(); v.CrashCount() != tt.left || v.Digest() != v.RecomputeDigest() {
			t.Errorf("at %d ms: %d are left, want %d", tt.at, v.CrashCount(), tt.left)
		}
	}
	fresh := newTestEditor()
	for _, at := range []uint64{599_999, 600_000, 600_000, 600_500, 600_500, 601_999, 602_000} {
		fresh.AdvanceTime(at)
	}
	if e.Publish().Digest() != fresh.Publish().Digest() {
		t.Error("crashes that are forgotten leave a trace")
	}
}

func TestEditor_Crashes_AreBounded(t *testing.T) {
	e := newTestEditor()
	for i := range CrashesMax {
		e.PutCrash(crashed(fmt.Sprint(i), 1, uint64(CrashesMax-i)))
	}
	e.PutCrash(crashed("7", 2, 5)) // is there already
	if _, ok := e.v.Crash(crashed(fmt.Sprint(CrashesMax-1), 0, 0).Identity); !ok || e.v.CrashCount() != CrashesMax {
		t.Errorf("one that is there took the place of another: %d are left", e.v.CrashCount())
	}
	e.PutCrash(crashed("one more", 1, 1))
	if _, ok := e.v.Crash(crashed(fmt.Sprint(CrashesMax-1), 0, 0).Identity); ok || e.v.CrashCount() != CrashesMax {
		t.Errorf("the one that would be forgotten first is there still, of %d", e.v.CrashCount())
	}
	v := e.Publish()
	if got := recode(t, v); got.CrashCount() != CrashesMax || got.RecomputeDigest() != v.Digest() {
		t.Errorf("%d come back from a file", got.CrashCount())
	}
}

// Whatever a crash says is part of the digest.
func TestDigest_Crashes_EveryFactCounts(t *testing.T) {
	seen := map[Digest]int{}
	for i, list := range [][]Crash{
		nil, {crashed("1", 1, 1)}, {crashed("2", 1, 1)}, {crashed("1", 2, 1)}, {crashed("1", 1, 2)}, {{placement.Identity{Kind: "room", Key: "1"}, 1, 1}},
		{crashed("1", 1, 1), crashed("2", 1, 1)}, {crashed("1", 1, 1), crashed("2", 1, 2)},
	} {
		e := newTestEditor()
		for _, c := range list {
			e.PutCrash(c)
		}
		v := e.Publish()
		if other, ok := seen[v.Digest()]; ok {
			t.Errorf("the crashes %d and %d have one digest", i, other)
		}
		seen[v.Digest()] = i
		if v.RecomputeDigest() != v.Digest() {
			t.Errorf("crashes %d: the digest is off", i)
		}
	}
}

// What no machine could have written is refused, behind the checksums too.
func TestDecode_CrashesThatMakeNoSense_AreRefused(t *testing.T) {
	for name, list := range map[string][]*snapshotpb.Crash{
		"of nothing":                     {{Count: 1}},
		"of an identity that is none":    {{Kind: "cart", Key: "\x00", Count: 1}},
		"that never was":                 {{Kind: "cart", Key: "1"}},
		"twice":                          {{Kind: "cart", Key: "1", Count: 1}, {Kind: "cart", Key: "1", Count: 2}},
		"twice, with another in between": {{Kind: "cart", Key: "1", Count: 1}, {Kind: "cart", Key: "2", Count: 1}, {Kind: "cart", Key: "1", Count: 1}},
	} {
		var b bytes.Buffer
		w, err := newFrameWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.message(frameHeader, &snapshotpb.Header{Cluster: &snapshotpb.Cluster{}}), w.message(frameCrashes, &snapshotpb.Crashes{Crashes: list}), w.end()); err != nil {
			t.Fatal(err)
		}
		var c *CorruptError
		if _, err := Decode(&b); !errors.As(err, &c) || strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: %v, want a CorruptError that is not about the digest", name, err)
		}
	}
}
