package snapshot

import (
	"encoding/binary"
	"iter"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/placement"
	"github.com/seed13d31b7f/berth/snapshot/snapshotpb"
)

// CrashesMax is the number of identities whose crashes are remembered. Not larger: they are mistakes of programs, and take
// memory from what works.
const CrashesMax = 1 << 16

// Crash is what is remembered of the crashes of an identity.
type Crash struct {
	Identity placement.Identity
	// Count is how many there were in a row, at least one.
	Count uint32
	// Last is when the last one was, by the replicated clock, in milliseconds since 1970.
	Last uint64
}

// Forgotten is when the crashes count no more.
func (c *Crash) Forgotten() uint64 {
	after := placement.CrashBackoffMs(c.Count) + placement.CrashForgetMs
	return c.Last + min(after, timeMax-c.Last)
}

// timeMax is the last moment of the replicated clock.
const timeMax = 1<<64 - 1

func (c *Crash) digest() uint64 {
	x := foldText(foldText(3, c.Identity.Kind), c.Identity.Key)
	return fold(fold(x, uint64(c.Count)), c.Last)
}

// crashes are those of a view, by the texts of their identities.
type crashes struct {
	all    *dict[Crash]
	digest uint64 // sum of the digests of all of them
}

// Crash returns what is remembered of the crashes of an identity; ok is false when that is nothing.
func (v *View) Crash(id placement.Identity) (c Crash, ok bool) {
	if v.crashes.all.len() == 0 {
		return Crash{}, false
	}
	return v.crashes.all.get(id.String())
}

// Crashes yields what is remembered of crashes, in the order of the identities' texts.
func (v *View) Crashes() iter.Seq[Crash] {
	return func(yield func(Crash) bool) {
		for _, c := range v.crashes.all.all() {
			if !yield(c) {
				return
			}
		}
	}
}

// CrashCount is the number of identities whose crashes are remembered, at most CrashesMax.
func (v *View) CrashCount() int { return v.crashes.all.len() }

// PutCrash remembers the crashes of an identity in place of what was remembered of it. When there are CrashesMax others, the
// one goes that would be forgotten first.
func (e *Editor) PutCrash(c Crash) {
	key := c.Identity.String()
	if old, ok := e.v.crashes.all.get(key); ok {
		e.forgetCrash(key, &old)
	} else if e.v.crashes.all.len() >= CrashesMax {
		first, _, _ := e.crashEnds.after("")
		e.dropCrash(first[8:])
	}
	e.v.crashes.all = e.v.crashes.all.with(key, c)
	e.noteCrash(key, &c)
}

// noteCrash adds a crash to the sum and to the list of ends.
func (e *Editor) noteCrash(key string, c *Crash) {
	e.v.crashes.digest += c.digest()
	d := deadlineOf(c.Forgotten(), key)
	e.crashEnds.add(0, d, xxh3.HashString(d), struct{}{})
}

// DropCrash forgets the crashes of an identity.
func (e *Editor) DropCrash(id placement.Identity) { e.dropCrash(id.String()) }

func (e *Editor) dropCrash(key string) {
	if old, ok := e.v.crashes.all.get(key); ok {
		e.forgetCrash(key, &old)
		e.v.crashes.all = e.v.crashes.all.without(key)
	}
}

// forgetCrash takes a crash out of the sum and of the list of ends.
func (e *Editor) forgetCrash(key string, c *Crash) {
	e.v.crashes.digest -= c.digest()
	e.crashEnds.remove(0, deadlineOf(c.Forgotten(), key))
}

// ForgetCrashes forgets the crashes that count no more by the replicated clock, n of them at most, in the order of their
// times. Which they are does not depend on how the editor came to its state.
func (e *Editor) ForgetCrashes(n int) {
	for range n {
		d, _, ok := e.crashEnds.after("")
		if !ok || binary.BigEndian.Uint64([]byte(d)) > e.v.Time {
			return
		}
		e.dropCrash(d[8:])
	}
}

// findCrashEnds makes the list of the crashes' ends from the view.
func (e *Editor) findCrashEnds() {
	for key, c := range e.v.crashes.all.all() {
		d := deadlineOf(c.Forgotten(), key)
		e.crashEnds.add(0, d, xxh3.HashString(d), struct{}{})
	}
}

func (v *View) encodeCrashes(f *frameWriter) error {
	var m snapshotpb.Crashes
	left := v.CrashCount()
	for c := range v.Crashes() {
		left--
		m.Crashes = append(m.Crashes, &snapshotpb.Crash{Kind: c.Identity.Kind, Key: c.Identity.Key, Count: c.Count, LastMs: c.Last})
		if len(m.Crashes) == recordsPerFrame || left == 0 {
			if err := f.message(frameCrashes, &m); err != nil {
				return err
			}
			m.Crashes = nil
		}
	}
	return nil
}

func (d *decoder) decodeCrashes(payload []byte) error {
	var m snapshotpb.Crashes
	if err := d.message(payload, &m); err != nil {
		return err
	}
	for _, p := range m.Crashes {
		c := Crash{Identity: placement.Identity{Kind: p.Kind, Key: p.Key}, Count: p.Count, Last: p.LastMs}
		if err := c.Identity.Validate(); err != nil || c.Count == 0 {
			return d.f.corrupt("a crash is not valid", err)
		}
		if _, ok := d.e.v.Crash(c.Identity); ok || d.e.v.CrashCount() == CrashesMax {
			return d.f.corrupt("there are too many crashes, or one stands twice", nil)
		}
		if d.e.v.crashes.all == nil {
			d.e.v.crashes.all = d.e.v.crashes.all.copy()
		}
		key := c.Identity.String()
		d.e.v.crashes.all.put(key, c)
		d.e.noteCrash(key, &c)
	}
	return nil
}
