package snapshot

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// Whatever the pace of the log, every moment lies where the timeline says, and is known to a small part of its age.
func TestTimeline_KnowsEveryMoment(t *testing.T) {
	for name, pace := range map[string]func(*rand.Rand) uint64{
		"busy":   func(rng *rand.Rand) uint64 { return rng.Uint64N(40) },
		"idle":   func(*rand.Rand) uint64 { return 500 },
		"uneven": func(rng *rand.Rand) uint64 { return rng.Uint64N(1 << rng.UintN(22)) },
	} {
		rng := rand.New(rand.NewPCG(1, 9))
		e := newTestEditor()
		now := uint64(1_700_000_000_000)
		times := []uint64{0, 0}
		for index := uint64(2); index < 60_000; index++ {
			now += pace(rng)
			e.SetPosition(index, 1)
			e.AdvanceTime(now)
			times = append(times, now)
			if index%7919 == 0 {
				e = NewEditor(recode(t, e.Publish()))
			}
		}
		v := e.Publish()
		if n := len(v.timeline.marks); n > MarksMax || name != "busy" && n < MarksMax*9/10 {
			t.Errorf("%s: %d marks", name, n)
		}
		if v.Digest() != v.RecomputeDigest() {
			t.Errorf("%s: the digest is off", name)
		}
		worst := uint64(0)
		for index := uint64(2); index < 60_000; index++ {
			from, to := v.When(index)
			if from > times[index] || to < times[index] || from == 0 {
				t.Fatalf("%s: index %d was at %d, and is said to be between %d and %d", name, index, times[index], from, to)
			}
			step := uint64(0) // no timeline is finer than the log itself: two marks may stand on both sides of a pause
			for i := index; i > 2 && times[index]-times[i] <= markEvery; i-- {
				step = max(step, times[i]-times[i-1])
			}
			for i := index; int(i)+1 < len(times) && times[i]-times[index] <= markEvery; i++ {
				step = max(step, times[i+1]-times[i])
			}
			if slack := 2*markEvery + 2*step; to-from > slack {
				worst = max(worst, (to-from-slack)*1000/(now-from))
			}
		}
		if worst > 25 {
			t.Errorf("%s: a moment is known to %d ‰ of its age, want 25 at most", name, worst)
		}
		if from, to := v.When(v.Index + 1); from != 0 || to != 0 {
			t.Errorf("%s: what has not been was between %d and %d", name, from, to)
		}
	}
	if from, to := Empty().When(0); from != 0 || to != 0 {
		t.Errorf("nothing was between %d and %d", from, to)
	}
}

// Views that were published keep their marks, and two editors of one view do not write into each other's.
func TestTimeline_PublishedViewsDoNotChange(t *testing.T) {
	e := newTestEditor()
	type seen struct {
		v      *View
		digest Digest
	}
	var views []seen
	for i := range uint64(3 * MarksMax) {
		e.SetPosition(10+i, 1)
		e.AdvanceTime(1 + i*markEvery)
		if i%50 == 0 {
			v := e.Publish()
			views = append(views, seen{v, v.Digest()})
			other := NewEditor(v)
			other.SetPosition(11+i, 1)
			other.AdvanceTime(1 << 50)
		}
	}
	for _, s := range views {
		if got := s.v.RecomputeDigest(); got != s.digest {
			t.Fatalf("at index %d the digest was %v and is %v", s.v.Index, s.digest, got)
		}
	}
}

func TestDecode_TimelineThatMakesNoSense_IsRefused(t *testing.T) {
	many := &snapshotpb.Timeline{}
	for i := range uint64(MarksMax + 1) {
		many.Indexes, many.TimesMs = append(many.Indexes, i+1), append(many.TimesMs, (i+1)*markEvery)
	}
	for name, m := range map[string]*snapshotpb.Timeline{
		"nothing":           {},
		"a time is missing": {Indexes: []uint64{1, 2}, TimesMs: []uint64{1}},
		"ahead":             {Indexes: []uint64{8000}, TimesMs: []uint64{1}},
		"later than now":    {Indexes: []uint64{1}, TimesMs: []uint64{1 << 50}},
		"indexes descend":   {Indexes: []uint64{2, 1}, TimesMs: []uint64{1000, 2000}},
		"times descend":     {Indexes: []uint64{1, 2}, TimesMs: []uint64{3000, 2000}},
		"too close":         {Indexes: []uint64{1, 2}, TimesMs: []uint64{3000, 3999}},
		"no time":           {Indexes: []uint64{1}, TimesMs: []uint64{0}},
		"too many":          many,
	} {
		e := newTestEditor()
		e.SetPosition(5000, 1)
		e.AdvanceTime(1 << 40)
		v := e.Publish()
		payload, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		d := decoder{f: &frameReader{}, e: e}
		if e.v.timeline = (timeline{}); d.decodeTimeline(payload) == nil {
			t.Errorf("%s: it is taken", name)
		}
		if e.v.timeline = v.timeline; d.decodeTimeline(payload) == nil {
			t.Errorf("%s: a second one is taken", name)
		}
	}
	if _, err := Decode(bytes.NewReader(bytesOf(t, goldenTimelineView()))); err != nil {
		t.Errorf("a good one: %v", err)
	}
}
