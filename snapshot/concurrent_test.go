package snapshot

import (
	"io"
	"sync"
	"testing"

	"github.com/seed13d31b7f/berth/internal/underrace"
	"github.com/seed13d31b7f/berth/placement"
)

// Views are read, in every way there is, while the editor that published them goes on. The race detector watches: nothing else here has
// goroutines, so `make race` runs this test of the package alone.
func TestView_ReadWhileItIsEdited(t *testing.T) {
	for seed := range uint64(underrace.Rounds(4, 1)) {
		views := make(chan *View, 16)
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				var last *View
				for v := range views {
					readAll(t, last, v)
					last = v
				}
			})
		}
		run(t, seed, nil, func(v *View) {
			if v.Index%3 == 0 {
				views <- v
			}
		})
		close(views)
		readers.Wait()
	}
}

// readAll reads all that a view has, and what became different since another one, nil for none.
func readAll(t *testing.T, last, v *View) {
	if v.RecomputeDigest() != v.Digest() {
		t.Errorf("at index %d the digest is not that of what is there", v.Index)
	}
	if err := v.Encode(io.Discard); err != nil {
		t.Errorf("at index %d: %v", v.Index, err)
	}
	var batch []Placement
	for p := range v.Placements() {
		if e, _ := v.Lookup(p.Identity); e != p.Entry {
			t.Errorf("at index %d %v is %+v, and %+v among all", v.Index, p.Identity, e, p.Entry)
		}
		_, _ = v.Move(p.Identity)
		_, _ = v.Crash(p.Identity)
		batch = append(batch, Placement{Identity: p.Identity})
	}
	v.LookupBatch(batch)
	_, _ = v.When(v.Index)
	for m := range v.Members() {
		_, _ = v.MemberKindLoad(m.Incarnation, "cart"), v.Owned(m.Incarnation)
		v.ScanEnded(m.Incarnation, 0, 100, func(placement.Identity, placement.Entry) bool { return true })
	}
	_ = v.Eligible(nil, "room")
	for l := range v.Locks("") {
		for c := range l.Claims() {
			_, _, _ = v.ClaimOf(c.Session, l.Name)
		}
	}
	if last != nil && last.Index < v.Index {
		for range Diff(last, v) {
		}
	}
}
