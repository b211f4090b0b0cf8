package snapshot

import (
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// pageOf is a page with n packed keys, all of one tag, of kind 1, and with one that is not packed when it is to be mixed.
func pageOf(n int, mixed bool, tag byte) *page {
	var p *page
	for i := range n {
		p = p.with(1, tag, &key{kind: 1, packed: true, uuid: uuid{uint64(i), 7}}, storedEntry(placement.Entry{Phase: placement.Settled, Epoch: placement.Epoch(i)}, 0))
	}
	if mixed {
		p = p.with(1, tag, &key{kind: 1, text: "text"}, storedEntry(placement.Entry{Phase: placement.Settled, Epoch: 99}, 0))
	}
	return p
}

func TestPage_Find_TellsKeysOfOneTagApart(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		for n := range 60 {
			p := pageOf(n, mixed, 5)
			for i := range n + 1 {
				k := key{kind: 1, packed: true, uuid: uuid{uint64(i), 7}}
				at := p.find(5, &k)
				if (at != 0) != (i < n) || at != 0 && p.value(at).number != uint64(i) {
					t.Fatalf("key %d of %d is at %d", i, n, at)
				}
				other := k
				other.kind = 2
				tail := k
				tail.uuid.hi = 8
				if p.find(5, &other) != 0 || p.find(5, &tail) != 0 || p.find(6, &k) != 0 {
					t.Fatalf("key %d of %d is found under another kind, with another end or by another tag", i, n)
				}
			}
			if at := p.find(5, &key{kind: 1, text: "text"}); (at != 0) != mixed || at != 0 && p.value(at).number != 99 {
				t.Fatalf("the text beside %d is at %d", n, at)
			}
			if p.find(5, &key{kind: 1, text: "tex"}) != 0 || p.find(5, &key{kind: 2, text: "text"}) != 0 {
				t.Fatal("another text is found")
			}
		}
	}
}

func TestPage_Candidate_IsARecord(t *testing.T) {
	for _, mixed := range []bool{false, true} {
		for n := 1; n < 60; n++ {
			p := pageOf(n, mixed, 5)
			for _, tag := range []byte{0, 4, 5, 6, 255} {
				if at := p.candidate(tag); at < recordsAt(p.count(), mixed) || at+recordHeaderBytes > p.size() {
					t.Fatalf("the candidate of tag %d among %d records is at %d, the page has %d bytes", tag, n, at, p.size())
				}
			}
		}
	}
}

// A page without offsets takes sizes that the allocator has, so that no room is lost and no record lies across two lines
// of the cache.
func TestPage_PackedRecords_AreAligned(t *testing.T) {
	for n := 1; n <= 15; n++ {
		if p := pageOf(n, false, 1); p.size() != 32*(n+1) || packedAt(n)%32 != 0 {
			t.Errorf("a page of %d has %d bytes, and its records begin at %d", n, p.size(), packedAt(n))
		}
	}
}
