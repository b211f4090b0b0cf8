package snapshot

import (
	"iter"
	"maps"
	"slices"

	"github.com/zeebo/xxh3"
)

const dictShards = 256 // a change copies the array of shards and one of them: 2 KiB and 1/256 of the entries

// dict is an immutable map from names to values; with and without make another one and share what did not change.
// A nil dict is empty.
type dict[V any] struct {
	count  int
	shards [dictShards]map[string]V
}

func dictShard(name string) uint8 { return uint8(xxh3.HashString(name)) }

func (d *dict[V]) len() int {
	if d == nil {
		return 0
	}
	return d.count
}

func (d *dict[V]) get(name string) (V, bool) {
	if d == nil {
		var zero V
		return zero, false
	}
	v, ok := d.shards[dictShard(name)][name]
	return v, ok
}

// with returns a dict in which name has the value v.
func (d *dict[V]) with(name string, v V) *dict[V] {
	next := d.copy()
	i := dictShard(name)
	shard := maps.Clone(next.shards[i])
	if shard == nil {
		shard = map[string]V{}
	}
	if _, ok := shard[name]; !ok {
		next.count++
	}
	shard[name] = v
	next.shards[i] = shard
	return next
}

// put sets the value of a name in a dict that nobody else has seen: with is dear when there are many.
func (d *dict[V]) put(name string, v V) {
	i := dictShard(name)
	if d.shards[i] == nil {
		d.shards[i] = map[string]V{}
	}
	if _, ok := d.shards[i][name]; !ok {
		d.count++
	}
	d.shards[i][name] = v
}

// without returns a dict in which name has no value.
func (d *dict[V]) without(name string) *dict[V] {
	if _, ok := d.get(name); !ok {
		return d
	}
	next := d.copy()
	i := dictShard(name)
	shard := maps.Clone(next.shards[i])
	delete(shard, name)
	next.shards[i] = shard
	next.count--
	return next
}

func (d *dict[V]) copy() *dict[V] {
	if d == nil {
		return new(dict[V])
	}
	next := *d
	return &next
}

// all yields the entries in ascending order of their names.
func (d *dict[V]) all() iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		if d == nil {
			return
		}
		names := make([]string, 0, d.count)
		for i := range d.shards {
			names = slices.AppendSeq(names, maps.Keys(d.shards[i]))
		}
		slices.Sort(names)
		for _, name := range names {
			if !yield(name, d.shards[dictShard(name)][name]) {
				return
			}
		}
	}
}
