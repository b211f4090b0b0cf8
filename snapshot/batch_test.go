package snapshot

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed13d31b7f/berth/placement"
)

// mixedEditor has identities of all shapes in its index, some of them removed, some owned by a member that ended.
func mixedEditor() (*Editor, []placement.Identity) {
	e := newTestEditor()
	e.Join(member("m1", 1))
	e.Join(member("m2", 2))
	var ids []placement.Identity
	for i := range 3000 {
		id := placement.Identity{Kind: []string{"cart", "room"}[i%2], Key: fmt.Sprint("key-", i)}
		switch i % 3 {
		case 0:
			id.Key = uuidIdentity(uint64(i)).Key
		case 1:
			id.Key = strings.Repeat("x", i%placement.KeyBytesMax) + fmt.Sprint(i)
		}
		ids = append(ids, id)
		if i%10 == 9 {
			continue // not placed
		}
		entry := placement.Entry{Phase: placement.Phase(1 + i%2), Owner: placement.Incarnation(1 + i%2), Epoch: placement.Epoch(i + 1), Attempt: uint8(i % 16), Reason: 1}
		if i%7 == 0 {
			entry = placement.Entry{Phase: placement.Tombstone, Removed: 1}
		}
		e.Seek(id)
		e.Put(entry)
	}
	ids = append(ids, placement.Identity{Kind: "none", Key: "1"}, placement.Identity{}, placement.Identity{Kind: "cart"})
	e.SetPosition(9, 1)
	e.End(2, placement.MemberExpired)
	return e, ids
}

func TestView_LookupBatch_IsLookupOfEach(t *testing.T) {
	e, ids := mixedEditor()
	for _, v := range []*View{e.Publish(), Empty()} {
		for _, n := range []int{0, 1, 63, 64, 65, len(ids)} {
			batch := make([]Placement, n)
			for i := range batch {
				batch[i] = Placement{Identity: ids[i], Entry: placement.Entry{Phase: placement.Settled, Removed: 7}, Owner: &placement.Member{}}
			}
			v.LookupBatch(batch)
			for i, p := range batch {
				entry, owner := v.Lookup(ids[i])
				if p.Identity != ids[i] || p.Entry != entry || p.Owner != owner {
					t.Fatalf("%d of %d: %+v, want %+v of %+v", i, n, p, entry, owner)
				}
			}
		}
	}
}

func TestView_LookupBatch_AllocatesNothing(t *testing.T) {
	e, ids := mixedEditor()
	v := e.Publish()
	batch := make([]Placement, len(ids))
	for i := range batch {
		batch[i].Identity = ids[i]
	}
	if n := testing.AllocsPerRun(10, func() { v.LookupBatch(batch) }); n != 0 {
		t.Errorf("LookupBatch allocates %v times", n)
	}
}

func TestEditor_Expect_ChangesNothing(t *testing.T) {
	e, ids := mixedEditor()
	before := e.Publish()
	e.Expect(ids)
	if e.v.table.rootGen == e.gen || e.Publish().RecomputeDigest() != before.Digest() {
		t.Error("what is expected changes the state")
	}
	for _, id := range ids {
		want, _ := before.Lookup(id)
		if got := e.Seek(id); got != want {
			t.Fatalf("%v is %+v, want %+v", id, got, want)
		}
	}
	if n := testing.AllocsPerRun(10, func() { e.Expect(ids) }); n != 0 {
		t.Errorf("Expect allocates %v times", n)
	}
}
