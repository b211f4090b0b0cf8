package snapshot

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/seed13d31b7f/berth/placement"
)

// What Seek finds is the same whatever was expected: in that order, in another one, twice, not at all, or changed since.
func TestEditor_Expect_SeekFindsTheSame(t *testing.T) {
	e, ids := mixedEditor()
	e.Publish()
	rng := rand.New(rand.NewPCG(1, 2))
	changed := map[placement.Identity]placement.Entry{}
	for round := range 200 {
		e.SetPosition(uint64(10+round), 1)
		var told []placement.Identity
		for range rng.IntN(80) {
			told = append(told, ids[rng.IntN(len(ids))])
		}
		e.Expect(told)
		for range 80 {
			id := ids[rng.IntN(len(ids))]
			if len(told) > 0 && rng.IntN(4) > 0 {
				id = told[0]
				told = told[rng.IntN(2):] // some are asked for again
			}
			want, ok := changed[id]
			if !ok {
				want, _ = e.View().Lookup(id)
			}
			if got := e.Seek(id); got != want {
				t.Fatalf("round %d: %v is %+v, want %+v", round, id, got, want)
			}
			if want.Phase == placement.Pending {
				want.Attempt ^= 1
				e.Put(want)
				changed[id] = want
			}
		}
		if v := e.Publish(); v.Digest() != v.RecomputeDigest() {
			t.Fatalf("round %d: the digest is not that of the records", round)
		}
	}
	if len(changed) < 500 {
		t.Errorf("%d were changed: the test shows little", len(changed))
	}
}

// The texts are those of an entry, whose memory may be another entry's at the next index.
func TestEditor_Expect_IsForgottenWithItsEntry(t *testing.T) {
	e, ids := mixedEditor()
	text := []byte(ids[0].Key)
	id := placement.Identity{Kind: ids[0].Kind, Key: unsafe.String(&text[0], len(text))}
	e.Expect([]placement.Identity{id})
	e.SetPosition(10, 1)
	copy(text, ids[6].Key)
	if want, _ := e.View().Lookup(ids[6]); e.Seek(id) != want || want.Epoch != 7 {
		t.Errorf("%v is what was expected before, and not %+v", id, want)
	}
}
