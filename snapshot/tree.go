package snapshot

import (
	"cmp"
	"iter"
)

// tree is an immutable map in the order of its keys: a treap (Aragon and Seidel 1989) whose priorities are hashes of the
// keys. Its shape follows from its keys alone, and its depth is about 2 log2 of their number, so a change copies some tens
// of nodes, each once a generation. The zero value is empty.
//
// A tree is a value. Its methods that change something write only to nodes of generation gen, which no published view
// holds.
type tree[K cmp.Ordered, V any] struct {
	root  *treeNode[K, V]
	count int
}

type treeNode[K cmp.Ordered, V any] struct {
	gen         uint64
	priority    uint64
	key         K
	value       V
	left, right *treeNode[K, V]
}

// get returns the value of a key, nil when there is none. It must not be changed.
func (t *tree[K, V]) get(k K) *V {
	n := t.root
	for n != nil {
		switch c := cmp.Compare(k, n.key); {
		case c < 0:
			n = n.left
		case c > 0:
			n = n.right
		default:
			return &n.value
		}
	}
	return nil
}

// edit returns the value of a key to write to, until the next change of the tree or the next generation. There must be one.
func (t *tree[K, V]) edit(gen uint64, k K) *V {
	at := &t.root
	for {
		n := (*at).own(gen)
		*at = n
		switch c := cmp.Compare(k, n.key); {
		case c < 0:
			at = &n.left
		case c > 0:
			at = &n.right
		default:
			return &n.value
		}
	}
}

// add adds a key, which must not be there. priority is a hash of it.
func (t *tree[K, V]) add(gen uint64, k K, priority uint64, v V) {
	at := &t.root
	for *at != nil && (*at).priority >= priority {
		n := (*at).own(gen)
		*at = n
		if cmp.Less(k, n.key) {
			at = &n.left
		} else {
			at = &n.right
		}
	}
	left, right := split(gen, *at, k)
	*at = &treeNode[K, V]{gen: gen, priority: priority, key: k, value: v, left: left, right: right}
	t.count++
}

// remove takes a key away, which must be there.
func (t *tree[K, V]) remove(gen uint64, k K) {
	at := &t.root
	for (*at).key != k {
		n := (*at).own(gen)
		*at = n
		if cmp.Less(k, n.key) {
			at = &n.left
		} else {
			at = &n.right
		}
	}
	*at = join(gen, (*at).left, (*at).right)
	t.count--
}

// own returns the node as one of generation gen.
func (n *treeNode[K, V]) own(gen uint64) *treeNode[K, V] {
	if n.gen == gen {
		return n
	}
	next := *n
	next.gen = gen
	return &next
}

// split cuts a tree into the keys below k and those above it.
func split[K cmp.Ordered, V any](gen uint64, n *treeNode[K, V], k K) (below, above *treeNode[K, V]) {
	if n == nil {
		return nil, nil
	}
	n = n.own(gen)
	if cmp.Less(n.key, k) {
		n.right, above = split(gen, n.right, k)
		return n, above
	}
	below, n.left = split(gen, n.left, k)
	return below, n
}

// join makes one tree of two, of which all keys of the first are below those of the second.
func join[K cmp.Ordered, V any](gen uint64, a, b *treeNode[K, V]) *treeNode[K, V] {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.priority >= b.priority:
		a = a.own(gen)
		a.right = join(gen, a.right, b)
		return a
	}
	b = b.own(gen)
	b.left = join(gen, a, b.left)
	return b
}

// after returns the smallest key that is above k, and its value; ok is false when there is none.
func (t *tree[K, V]) after(k K) (key K, value *V, ok bool) {
	for n := t.root; n != nil; {
		if cmp.Less(k, n.key) {
			key, value, ok = n.key, &n.value, true
			n = n.left
		} else {
			n = n.right
		}
	}
	return key, value, ok
}

// from yields the entries whose keys are above k, ascending. The values must not be changed.
func (t *tree[K, V]) from(k K) iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) { t.root.walk(k, yield) }
}

func (n *treeNode[K, V]) walk(k K, yield func(K, *V) bool) bool {
	if n == nil {
		return true
	}
	if !cmp.Less(k, n.key) {
		return n.right.walk(k, yield)
	}
	return n.left.walk(k, yield) && yield(n.key, &n.value) && n.right.walk(k, yield)
}
