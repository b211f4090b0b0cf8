package snapshot

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A tree is a map in order, in every generation, and what was published stays as it was.
func TestTree_AgreesWithAMap(t *testing.T) {
	type published struct {
		tree tree[string, int]
		want map[string]int
	}
	rng := rand.New(rand.NewPCG(1, 2))
	var now tree[string, int]
	want := map[string]int{}
	var past []published
	for gen := uint64(1); gen < 300; gen++ {
		for range rng.IntN(40) {
			k := fmt.Sprint(rng.IntN(400))
			_, there := want[k]
			switch {
			case !there:
				now.add(gen, k, fold(1, uint64(len(k)))^foldText(2, k), int(gen))
				want[k] = int(gen)
			case rng.IntN(2) == 0:
				now.remove(gen, k)
				delete(want, k)
			default:
				*now.edit(gen, k) = int(-gen)
				want[k] = int(-gen)
			}
		}
		past = append(past, published{now, maps.Clone(want)})
	}
	for _, p := range past {
		keys := slices.Sorted(maps.Keys(p.want))
		if p.tree.count != len(keys) {
			t.Fatalf("%d entries, want %d", p.tree.count, len(keys))
		}
		from := []string{"", "2", "399x"}[rng.IntN(3)]
		i, _ := slices.BinarySearch(keys, from)
		if i < len(keys) && keys[i] == from {
			i++
		}
		if k, v, ok := p.tree.after(from); ok != (i < len(keys)) || ok && (k != keys[i] || *v != p.want[k]) {
			t.Fatalf("after %q comes %q, %t", from, k, ok)
		}
		for k, v := range p.tree.from(from) {
			if k != keys[i] || *v != p.want[k] || p.tree.get(k) != v {
				t.Fatalf("%q is %d, want %q, which is %d", k, *v, keys[i], p.want[keys[i]])
			}
			i++
		}
		if i != len(keys) {
			t.Fatalf("%d of %d entries are yielded", i, len(keys))
		}
		for k := range p.tree.from("") {
			if k != keys[0] {
				t.Fatalf("the first is %q, want %q", k, keys[0])
			}
			break
		}
	}
	if now.get("nobody") != nil {
		t.Error("a key that is not there has a value")
	}
}

func (n *treeNode[K, V]) depth() int {
	if n == nil {
		return 0
	}
	return 1 + max(n.left.depth(), n.right.depth())
}

// Keys that only grow, as tokens do, make no list of the tree; and its shape follows from its keys.
func TestTree_GrowingKeys_IsNotDeep(t *testing.T) {
	var up, down tree[uint64, struct{}]
	const n = 100_000
	for i := uint64(1); i <= n; i++ {
		up.add(1, i, fold(7, i), struct{}{})
		down.add(1, n+1-i, fold(7, n+1-i), struct{}{})
	}
	if d := up.root.depth(); d > 60 || d != down.root.depth() {
		t.Errorf("%d keys are %d deep, in the other order %d", n, d, down.root.depth())
	}
	for i := uint64(1); i <= n; i += 2 {
		up.remove(1, i)
	}
	if up.count != n/2 || up.get(2) == nil || up.get(3) != nil || up.root.depth() > 60 {
		t.Errorf("after half was removed: %d keys, %d deep", up.count, up.root.depth())
	}
}
