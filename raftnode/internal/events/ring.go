package events

import (
	"sync"

	"github.com/zeebo/xxh3"

	"github.com/seed13d31b7f/berth/fsm"
	"github.com/seed13d31b7f/berth/placement"
)

const (
	// EventsMax is how many events are kept at most. Not more: each takes 152 bytes beside its texts, so all of them some
	// 10 MB, on every server. Not fewer: at 1,000 placements a second, of two events each, they last for half a minute.
	EventsMax = chunks * chunkEvents
	// TextBytesMax is how long the names in them may be together: keys may be long.
	TextBytesMax = 8 << 20

	chunks      = 64
	chunkEvents = 1024
	headsMask   = 1<<16 - 1
)

// Ring has the newest events. One goroutine adds, any number read.
type Ring struct {
	mu sync.RWMutex
	// after is the log index behind which every event is here.
	after uint64
	// first and next number the events: all from first on are kept, and next comes next.
	first, next uint64
	textBytes   int
	chunk       [chunks]*[chunkEvents]kept
	heads       [headsMask + 1]uint64 // by hash: one more than the number of the newest event; zero for none
}

// kept is an event and the number, plus one, of the one before it with the same hash.
type kept struct {
	Event
	before uint64
}

// Begin forgets everything: the state is that of a log index, and what led there is not known.
func (r *Ring) Begin(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.heads[:])
	clear(r.chunk[:])
	r.after, r.first, r.textBytes = index, r.next, 0
}

// Add takes what entries did, in the order of the log.
func (r *Ring) Add(outputs []*fsm.Output) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, out := range outputs {
		for i := range out.Changes {
			list, n := of(out, &out.Changes[i])
			for j := range n {
				r.addLocked(&list[j])
			}
		}
	}
}

func (r *Ring) addLocked(e *Event) {
	for r.first < r.next && (r.next-r.first == EventsMax || r.textBytes > TextBytesMax) {
		old := r.at(r.first)
		r.after = old.Index
		r.textBytes -= textBytes(&old.Event)
		r.first++
	}
	c := &r.chunk[r.next/chunkEvents%chunks]
	if *c == nil {
		*c = new([chunkEvents]kept)
	}
	head := &r.heads[hashOf(e)&headsMask]
	(*c)[r.next%chunkEvents] = kept{*e, *head}
	r.next++
	*head = r.next
	r.textBytes += textBytes(e)
}

// at is the event of a number that is kept.
func (r *Ring) at(number uint64) *kept {
	return &r.chunk[number/chunkEvents%chunks][number%chunkEvents]
}

// textBytes is what an event keeps in memory beside itself. The name of a member is that of the member.
func textBytes(e *Event) int {
	return len(e.Identity.Kind) + len(e.Identity.Key) + len(e.Failure.Text)
}

// hashOf tells the threads of events apart: an identity has one, and so has a member's life.
func hashOf(e *Event) uint64 {
	if e.Type == MemberEnded {
		return lifeHash(e.Incarnation)
	}
	return identityHash(e.Identity)
}

func identityHash(id placement.Identity) uint64 {
	return xxh3.HashStringSeed(id.Key, uint64(len(id.Kind)))
}

func lifeHash(inc placement.Incarnation) uint64 { return uint64(inc) * 0x9e3779b97f4a7c15 >> 32 }

// thread calls f with the events of one hash, the newest first, until it returns false.
func (r *Ring) thread(hash uint64, f func(number uint64, e *Event) bool) {
	for n := r.heads[hash&headsMask]; n > r.first; {
		k := r.at(n - 1)
		if !f(n-1, &k.Event) {
			return
		}
		n = k.before
	}
}
