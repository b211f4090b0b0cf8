package snapshot

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/seed13d31b7f/berth/placement"
)

const (
	// MarksMax is how many marks a timeline has at most. Not more: each view's change of them copies 16 KiB, once a second
	// at most. Not fewer: with as many, a moment of long ago is known to 2 % of its age.
	MarksMax = 1024
	// markEvery is how far two marks are apart at least, in milliseconds.
	markEvery = 1000
)

// mark says that the log had an index at a moment of the replicated clock, in milliseconds since 1970.
type mark struct{ index, time uint64 }

// timeline tells when log entries were applied. It is part of the state, so that every server tells the same; the older
// the moment, the fewer marks are kept of it. A timeline is a value: marks that a view has seen do not change.
type timeline struct {
	marks  []mark // ascending by both; the array may be shared, and is only appended to
	digest uint64 // sum over the marks
}

func (m mark) digest() uint64 { return fold(fold(m.index, 12), m.time) }

// add takes the moment of an entry in, when it is worth a mark.
func (t *timeline) add(index, time uint64) {
	n := len(t.marks)
	if n > 0 && (index <= t.marks[n-1].index || time < t.marks[n-1].time+markEvery) || time == 0 {
		return
	}
	t.marks = append(t.marks, mark{index, time})
	t.digest += t.marks[n].digest()
	if n+1 > MarksMax {
		t.thin()
	}
}

// thin takes away the mark whose neighbours are closest to each other for their age: what is left of the past is as exact,
// for its age, wherever one looks. The first mark and the newest two stay.
func (t *timeline) thin() {
	now := t.marks[len(t.marks)-1].time
	least, leastGap, leastAge := 1, uint64(1), uint64(0)
	for i := 1; i < len(t.marks)-2; i++ {
		gap, age := t.marks[i+1].time-t.marks[i-1].time, now-t.marks[i-1].time
		if lessRatio(gap, age, leastGap, leastAge) {
			least, leastGap, leastAge = i, gap, age
		}
	}
	t.digest -= t.marks[least].digest()
	kept := make([]mark, 0, MarksMax+1)
	t.marks = append(append(kept, t.marks[:least]...), t.marks[least+1:]...)
}

// lessRatio says whether a/b is less than c/d, in integers. What is divided by zero is larger than all else.
func lessRatio(a, b, c, d uint64) bool {
	hi1, lo1 := bits.Mul64(a, d)
	hi2, lo2 := bits.Mul64(c, b)
	if b == 0 || d == 0 {
		return d == 0 && b != 0
	}
	return hi1 < hi2 || hi1 == hi2 && lo1 < lo2
}

// When says between which moments of the replicated clock the log came to an index, in milliseconds since 1970. From is
// zero when nothing is known of a time so early; both are zero for an index that this view has not reached. What is long
// ago is known to about 2 % of its age, and to a second at best.
func (v *View) When(index uint64) (from, to uint64) {
	if index > v.Index {
		return 0, 0
	}
	marks := v.timeline.marks
	i, exact := slices.BinarySearchFunc(marks, index, func(m mark, index uint64) int { return cmp.Compare(m.index, index) })
	switch {
	case exact:
		return marks[i].time, marks[i].time
	case i < len(marks):
		to = marks[i].time
	default:
		to = v.Time
	}
	if i > 0 {
		from = marks[i-1].time
	}
	return from, to
}

func (v *View) sumMarks() (sum uint64) {
	for _, m := range v.timeline.marks {
		sum += m.digest()
	}
	return sum
}

// IndexOf is the log index at which an epoch was made; ok is false for those of a former generation.
func (c *Cluster) IndexOf(e placement.Epoch) (index uint64, ok bool) {
	return c.EpochBase + e.Offset(), e != 0 && e.Generation() == c.Generation
}
