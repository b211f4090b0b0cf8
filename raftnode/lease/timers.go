package lease

import "container/heap"

// Timers are keys with the instants at which they are due. Setting one again is cheap, so an instant that moves on with
// every sign of life may be set at each. The zero value is empty. They belong to whoever holds the lock around them.
type Timers[K comparable] struct {
	at   map[K]Instant
	heap timerHeap[K] // at least one for each key, not later than it is due, and some for keys that are gone
}

type timer[K comparable] struct {
	key K
	at  Instant
}

// Set makes a key due at an instant. One that it had before is forgotten.
func (t *Timers[K]) Set(k K, at Instant) {
	if t.at == nil {
		t.at = map[K]Instant{}
	}
	old, ok := t.at[k]
	t.at[k] = at
	if !ok || at < old {
		heap.Push(&t.heap, timer[K]{k, at})
	}
	if len(t.heap) > 2*len(t.at)+16 {
		t.sweep()
	}
}

// Drop forgets a key.
func (t *Timers[K]) Drop(k K) { delete(t.at, k) }

// At is when a key is due; ok is false when it is not there.
func (t *Timers[K]) At(k K) (at Instant, ok bool) {
	at, ok = t.at[k]
	return at, ok
}

// Len is the number of keys.
func (t *Timers[K]) Len() int { return len(t.at) }

// Due takes out the keys that are due, at most so many, the earliest first.
func (t *Timers[K]) Due(now Instant, most int) []K {
	var due []K
	for len(due) < most && len(t.heap) > 0 && t.heap[0].at <= now {
		top := heap.Pop(&t.heap).(timer[K])
		switch at, ok := t.at[top.key]; {
		case !ok:
		case at > now:
			heap.Push(&t.heap, timer[K]{top.key, at})
		default:
			delete(t.at, top.key)
			due = append(due, top.key)
		}
	}
	return due
}

// sweep throws away what stands for nothing any more.
func (t *Timers[K]) sweep() {
	kept, seen := t.heap[:0], make(map[K]bool, len(t.at))
	for _, x := range t.heap {
		if at, ok := t.at[x.key]; ok && !seen[x.key] {
			kept, seen[x.key] = append(kept, timer[K]{x.key, at}), true
		}
	}
	clear(t.heap[len(kept):])
	t.heap = kept
	heap.Init(&t.heap)
}

type timerHeap[K comparable] []timer[K]

func (h timerHeap[K]) Len() int           { return len(h) }
func (h timerHeap[K]) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap[K]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timerHeap[K]) Push(x any)        { *h = append(*h, x.(timer[K])) }
func (h *timerHeap[K]) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
