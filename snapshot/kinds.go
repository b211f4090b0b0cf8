package snapshot

import (
	"iter"
	"math/bits"
)

// kinds is an immutable table of the numbers of kinds; with makes another one. A nil one is empty.
type kinds struct {
	all *dict[KindNumber]
	// near has the short names that came first for their place. A cluster has a dozen kinds, and every look-up asks for
	// one: most find it here without a hash of the name and without a call.
	near [nearKinds]nearKind
}

const (
	nearKinds     = 1 << nearKindsBits
	nearKindsBits = 6
)

// nearKind is a kind whose name has 4 to 16 bytes.
type nearKind struct {
	name   shortName
	number KindNumber
}

// shortName is a name of 4 to 16 bytes: its first and its last eight, or four of each when it has less than eight, and its
// length. Zero is none.
type shortName struct {
	first, last uint64
	length      int
}

func shortNameOf(s string) shortName {
	switch n := len(s); {
	case n < 4 || n > 16:
		return shortName{}
	case n < 8:
		return shortName{uint64(text4(s)), uint64(text4(s[n-4:])), n}
	default:
		return shortName{text8(s), text8(s[n-8:]), n}
	}
}

func (n shortName) place() uint64 {
	return (n.first ^ bits.RotateLeft64(n.last, 32)) * 0x9e3779b97f4a7c15 >> (64 - nearKindsBits)
}

func (t *kinds) get(name string) (KindNumber, bool) {
	if t == nil {
		return 0, false
	}
	short := shortNameOf(name)
	if near := &t.near[short.place()]; near.name == short && short.length != 0 {
		return near.number, true
	}
	return t.all.get(name)
}

// with returns a table in which the kind has the number.
func (t *kinds) with(name string, number KindNumber) *kinds {
	next := &kinds{}
	if t != nil {
		*next = *t
	}
	next.all = next.all.with(name, number)
	short := shortNameOf(name)
	if near := &next.near[short.place()]; near.name.length == 0 {
		*near = nearKind{short, number}
	}
	return next
}

// names yields the kinds in ascending order.
func (t *kinds) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		if t == nil {
			return
		}
		for name := range t.all.all() {
			if !yield(name) {
				return
			}
		}
	}
}
